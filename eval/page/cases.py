"""The cases behind the numbers, packed for the report's case browser.

groups = pack(evaluations, most=5000)                           # answers, verdicts and numbers only
groups = pack(evaluations, most=5000, texts=True, data=data)    # and notes, completions and how rewards came about

A group is the runs of one task over the same cases. Texts are deflated a few cases at a time: the browser inflates what
it shows and searches.
"""

import base64
import json
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from tqdm import tqdm

from common.commands import UserError
from common.files import sha256
from data_prep import parquet
from eval.page.runs import Evaluation
from eval.scoring.metrics import majority
from reward_fns.explain import explain

CHUNK = 25  # cases
SEED = 0


@dataclass(frozen=True)
class Group:
    """What the browser is given of one group: its data, and its texts in chunks of CHUNK cases."""

    total: int  # cases, of which data may hold a sample
    data: dict[str, Any]
    chunks: list[str]


def notes_of(evaluation: Evaluation, data: Path | None) -> dict[int, str]:
    """What the model was shown, by the index of the case; `data` is the file or a folder that holds it."""
    path = data_file(evaluation.folder, evaluation.run["settings"]["data"], data)
    table = pq.read_table(path, columns=["prompt", "extra_info"], partitioning=None)
    prompts = zip(parquet.infos(table, "index"), table["prompt"].to_pylist(), strict=True)
    return {index: prompt[-1]["content"] for index, prompt in prompts}


def data_file(folder: Path, wanted: Mapping[str, str], data: Path | None) -> Path:
    """The very file that the run of a folder read: `data` is it or a folder that holds it, else it is where it was."""
    place = data or Path(wanted["name"])
    files = sorted(place.rglob("*.parquet")) if place.is_dir() else [place] if place.exists() else []
    path = next((path for path in files if sha256(path) == wanted["sha256"]), None)
    if path is None:
        raise UserError(
            f"the notes of {folder} are in {wanted['name']} (SHA-256 {wanted['sha256'][:12]}), which is "
            f"not at {place}; give that file or its folder as --data"
        )
    return path


def pack(evaluations: Sequence[Evaluation], most: int, texts: bool = False, data: Path | None = None) -> list[Group]:
    """The groups in the order of their first runs; of more than `most` cases a random sample.

    Notes come from `data`, a file or a folder that holds it, or else from where the runs read them.
    """
    groups: dict[int, list[Evaluation]] = {}
    for each in evaluations:
        first = next(i for i, other in enumerate(evaluations) if other.samples.same_cases(each.samples))
        groups.setdefault(first, []).append(each)
    return [_pack(group, most, texts, data) for group in groups.values()]


def _pack(runs: list[Evaluation], most: int, texts: bool, notes: Path | None) -> Group:
    cases, task = runs[0].samples.cases, runs[0].samples.task
    chosen = np.sort(np.random.default_rng(SEED).permutation(cases.num_rows)[:most])
    labels: dict[str, int] = {}

    def place(text: str) -> int:
        return labels.setdefault(text, len(labels))

    known = [*dict.fromkeys(["acc", *(level.flag for level in task.levels), "format"])]  # acc is bit 0
    packed = [_numbers(run, chosen, place, known) for run in runs]
    rows = [
        {"index": case["index"], "gold": place(case["ground_truth"]), "runs": list(of_runs)}
        | ({"id": str(case["hadm_id"])} if texts else {})  # identifiers only where the notes are, too
        for case, *of_runs in zip(cases.take(chosen).to_pylist(), *packed, strict=True)
    ]
    data = {
        "title": ", ".join(run.name for run in runs),
        "runs": [{"name": run.name} for run in runs],
        "levels": [{"title": level.title, "flag": 1 << known.index(level.flag)} for level in task.levels],
        "format": 1 << known.index("format"),
        "chunk": CHUNK if texts else 0,
        "cases": rows,
        "labels": list(labels),
    }
    chunks = list(_chunks(runs, chosen, notes)) if texts else []
    return Group(cases.num_rows, data, chunks)


def _numbers(run: Evaluation, chosen: np.ndarray, place: Any, known: list[str]) -> list[dict[str, Any]]:
    """Per case: what each sample says, its flags as bits, tokens, reward; whether the vote is right (2) or tied (1)."""
    samples, finest = run.samples, run.samples.task.finest
    votes = majority(samples.labelled.said[:, :, finest], samples.labelled.gold[:, finest])
    bits = sum(samples.numbers[name][chosen].astype(int) << i for i, name in enumerate(known))
    return [
        {
            "verdict": 2 if votes[row] == 1 else 1 if votes[row] else 0,
            "pred": [place(text) for text in samples.pred[row]],
            "flags": bits[i].tolist(),
            "tokens": samples.numbers["n_tokens"][row].astype(int).tolist(),
            "reward": [round(reward, 3) for reward in samples.numbers["reward"][row].tolist()],
        }
        for i, row in enumerate(chosen)
    ]


def _chunks(runs: list[Evaluation], chosen: np.ndarray, data: Path | None) -> Iterator[str]:
    notes = notes_of(runs[0], data)
    cases = runs[0].samples.cases.take(chosen).select(["index", "ground_truth"])
    wanted = set(cases["index"].to_pylist())
    said = [(run, run.samples.completions(wanted)) for run in runs]
    with tqdm(total=len(chosen), desc="embedding notes", unit=" cases", file=sys.stderr, mininterval=1) as bar:
        for batch in cases.combine_chunks().to_batches(CHUNK):
            chunk = [
                {"note": notes[index], "runs": [_texts(run, completions[index], gold) for run, completions in said]}
                for index, gold in zip(*batch.to_pydict().values(), strict=True)
            ]
            yield base64.b64encode(zlib.compress(json.dumps(chunk).encode(), 6)).decode()
            bar.update(len(chunk))


def _texts(run: Evaluation, completions: list[str], gold: str) -> dict[str, Any]:
    """The completions of a case, and for each how its reward came about (equal completions share it)."""
    task = run.samples.task
    options = {"prefill": run.run["settings"]["prefill"], **task.options}
    place = {text: i for i, text in enumerate(dict.fromkeys(completions))}
    explained = ["\n".join(explain(task, text, gold, **options)) for text in place]
    return {"completions": completions, "explained": explained, "of": [place[text] for text in completions]}
