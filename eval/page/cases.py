"""The cases behind the numbers, packed for the report's case browser.

groups = pack(evaluations, most=5000, texts=None)          # answers, verdicts and numbers only
groups = pack(evaluations, most=5000, texts=Texts(data))   # and notes, completions and how rewards came about

A group is the runs of one task over the same cases. Texts are deflated a few cases at a time: the browser inflates what
it shows and searches.
"""

import base64
import json
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from tqdm import tqdm

from common.commands import UserError
from common.files import sha256
from eval.generation import parts
from eval.page.runs import Evaluation
from eval.scoring.metrics import majority
from reward_fns.explain import explain

CHUNK = 25  # cases
SEED = 0


@dataclass(frozen=True)
class Group:
    """What the browser is given of one group: its data, and its texts in chunks of CHUNK cases."""

    title: str
    total: int
    data: dict[str, Any]
    chunks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Texts:
    """Where notes come from: a data file, a folder that holds it, or None for the file that a run names."""

    data: Path | None

    def notes(self, evaluation: Evaluation) -> dict[int, str]:
        """What the model was shown, by the index of the case."""
        wanted = evaluation.run["settings"]["data"]
        place = self.data or Path(wanted["name"])
        files = sorted(place.rglob("*.parquet")) if place.is_dir() else [place] if place.exists() else []
        path = next((path for path in files if sha256(path) == wanted["sha256"]), None)
        if path is None:
            raise UserError(
                f"the notes of {evaluation.folder} are in {wanted['name']} (SHA-256 {wanted['sha256'][:12]}), which is "
                f"not at {place}; give that file or its folder as --data"
            )
        table = pq.read_table(path, columns=["prompt", "extra_info"], partitioning=None)
        indices = table["extra_info"].combine_chunks().field("index").to_pylist()
        prompts = table["prompt"].to_pylist()
        return {index: prompt[-1]["content"] for index, prompt in zip(indices, prompts, strict=True)}


def pack(evaluations: Sequence[Evaluation], most: int, texts: Texts | None) -> list[Group]:
    """The groups in the order of their first runs; of more than `most` cases a random sample."""
    groups: list[list[Evaluation]] = []
    for each in evaluations:
        same = next((group for group in groups if _same_cases(group[0], each)), None)
        if same is None:
            groups.append([each])
        else:
            same.append(each)
    return [_pack(group, most, texts) for group in groups]


def _same_cases(one: Evaluation, other: Evaluation) -> bool:
    return one.samples.task == other.samples.task and one.samples.cases.equals(other.samples.cases)


def _pack(runs: list[Evaluation], most: int, texts: Texts | None) -> Group:
    samples = runs[0].samples
    total = samples.cases.num_rows
    chosen = np.sort(np.random.default_rng(SEED).permutation(total)[:most])
    task = samples.task
    labels: dict[str, int] = {}

    def place(text: str) -> int:
        return labels.setdefault(text, len(labels))

    flags = [level.flag for level in task.levels]
    known = [*dict.fromkeys(["acc", *flags, "format"])]  # acc is bit 0
    packed = [_numbers(run, chosen, place, known) for run in runs]
    cases = samples.cases.take(chosen)
    golds = cases["ground_truth"].to_pylist()
    rows = [
        {"index": index, "gold": place(gold), "runs": [run[i] for run in packed]}
        for i, (index, gold) in enumerate(zip(cases["index"].to_pylist(), golds, strict=True))
    ]
    if texts:  # identifiers only where the notes are, too
        for row, hadm_id in zip(rows, cases["hadm_id"].to_pylist(), strict=True):
            row["id"] = str(hadm_id)
    data = {
        "title": ", ".join(run.name for run in runs),
        "runs": [{"name": run.name} for run in runs],
        "levels": [{"title": level.title, "flag": 1 << known.index(level.flag)} for level in task.levels],
        "format": 1 << known.index("format"),
        "chunk": CHUNK if texts else 0,
        "cases": rows,
        "labels": list(labels),
    }
    chunks = list(_chunks(runs, chosen, texts)) if texts else []
    return Group(data["title"], total, data, chunks)


def _numbers(run: Evaluation, chosen: np.ndarray, place: Any, known: list[str]) -> list[dict[str, Any]]:
    """Per case: what each sample says, its flags as bits, tokens, reward; whether the vote is right (2) or tied (1)."""
    samples, finest = run.samples, run.samples.task.finest
    votes = majority(samples.said[:, :, finest], samples.gold[:, finest])
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


def _chunks(runs: list[Evaluation], chosen: np.ndarray, texts: Texts) -> Iterator[str]:
    notes = texts.notes(runs[0])
    cases = runs[0].samples.cases.take(chosen)
    indices, golds = cases["index"].to_pylist(), cases["ground_truth"].to_pylist()
    said = [_completions(run, set(indices)) for run in runs]
    bar = tqdm(total=len(indices), desc="embedding notes", unit=" cases", file=sys.stderr, mininterval=1)
    for start in range(0, len(indices), CHUNK):
        chunk = [
            {
                "note": notes[index],
                "runs": [_texts(run, completions[index], gold) for run, completions in zip(runs, said, strict=True)],
            }
            for index, gold in zip(indices[start : start + CHUNK], golds[start : start + CHUNK], strict=True)
        ]
        yield base64.b64encode(zlib.compress(json.dumps(chunk).encode(), 6)).decode()
        bar.update(len(chunk))
    bar.close()


def _completions(run: Evaluation, wanted: set[int]) -> dict[int, list[str]]:
    found = {}
    for _, table in parts.read(run.folder, run.run["settings"], ["index", "completions"]):
        for index, completions in zip(table["index"].to_pylist(), table["completions"].to_pylist(), strict=True):
            if index in wanted:
                found[index] = completions
    if missing := wanted - set(found):
        raise UserError(f"{run.folder} lacks the completions of case {min(missing)}; restore its parts")
    return found


def _texts(run: Evaluation, completions: list[str], gold: str) -> dict[str, Any]:
    """The completions of a case, and for each how its reward came about (equal completions share it)."""
    task = run.samples.task
    options = {"prefill": run.run["settings"]["prefill"], **task.options}
    place = {text: i for i, text in enumerate(dict.fromkeys(completions))}
    explained = ["\n".join(explain(task, text, gold, **options)) for text in place]
    return {"completions": completions, "explained": explained, "of": [place[text] for text in completions]}
