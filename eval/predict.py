"""Code a note with a model: several samples vote, and what most of them say is the answer.

    echo "Chest pain, no infarction." | python -m eval.predict --model outputs/demo/sft --task drg --note -

--note is a text file, - for standard input, or a CSV with a column text (and hadm_id), a note a row. Sampling is that
of the task's paper unless a flag says otherwise; with the seed, and the number of a row as its index, completions are
those of eval.generate. Shows the answer with its share of the votes, the votes at every other level, the alternatives,
the official title of a code, and a reasoning that led to the answer. Sets of codes have every code that at least half
of the samples say. --abstain-below SHARE, or --accuracy with a folder that eval.score --risk has seen, holds back what
too few samples say. Nothing is stored unless --out names a file.
"""

import csv
import hashlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, fields, make_dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa

from common.commands import UserError, existing, run
from common.files import whole_file
from common.settings import filled, flags, layers, setting
from data_prep import parquet, prompts
from data_prep.prompts import control_tokens
from eval.generation import filling
from eval.generation.endpoint import Endpoint
from eval.generation.engines import SEQUENCES_ON_CPU, Engine, prompt_tokens
from eval.generation.ray_session import quiet, vllm_is_for_cpu
from eval.generation.settings import RECIPES, SAMPLING, Settings
from eval.generation.sources import Engines, Source
from eval.predicting.said import predicted, shown
from eval.scoring import votes
from reward_fns.task import TASKS, Task

NOT_HERE = {"data", "out", "limit", "ray_address", "price"}  # settings of eval.generate
SHARE = ("be between 0 and 1", lambda value: 0 <= value <= 1)


@dataclass
class Own:
    """What is said here and not to eval.generate."""

    task: str = setting(f"what is coded: {', '.join(TASKS)}", must=(f"be {' or '.join(TASKS)}", TASKS.__contains__))
    note: str = setting("file with a note, CSV with a column text, or - for standard input")
    json: bool = setting("print JSON", False)
    out: str | None = setting("file for the JSON", None)
    abstain_below: float | None = setting("give no answer that a smaller share of the samples says", None, must=SHARE)
    accuracy: float | None = setting("abstain as --scored says for this share of right answers", None, must=SHARE)
    scored: str | None = setting("a folder that eval.score --risk has seen, for --accuracy and the share of sets", None)
    prompt_dir: str | None = setting("folder with prompt files of your own", None)


_shared = [
    (one.name, one.type, field(default=one.default, metadata=one.metadata))
    for one in fields(Settings)
    if one.name not in NOT_HERE
]
Wanted: Any = make_dataclass("Wanted", _shared, bases=(Own,))


def main(argv: list[str] | None = None) -> None:
    path, said = flags(Wanted, argv, __doc__, config="YAML of the sampling (default: that of the task's paper)")
    if path is None:
        if said.get("task") not in TASKS:
            raise UserError(f"--task must be {' or '.join(TASKS)}; it says what is coded")
        path = RECIPES / TASKS[said["task"]].paper / "eval" / "default.yaml"
    wanted, _ = filled(Wanted, layers(path, {name for name, *_ in _shared}), said, path)
    if wanted.temperature == 0 and wanted.n > 1:
        raise UserError("--temperature 0 gives the same completion every time; add --n 1")
    task = TASKS[wanted.task]
    if not task.example:
        raise UserError(f"the task {task.key} names no example of a gold; add one to its task.py")
    below, least = thresholds(wanted, task)
    names, notes = read_notes(wanted.note)
    prompt = prompts.load(task.key, wanted.prompt_dir)
    chats = [prompts.fill(prompt, control_tokens.plain(note)) for note in notes]
    rows = completions(wanted, task, names, chats)
    found = [predicted(task, name, row, wanted.prefill, below, least) for name, row in zip(names, rows, strict=True)]
    content = json.dumps(found if wanted.note.endswith(".csv") else found[0], indent=2, ensure_ascii=False) + "\n"
    if wanted.out:
        with whole_file(wanted.out) as made:
            made.write_text(content, encoding="utf-8")
    print(content if wanted.json else "\n\n".join(map(shown, found)))


def read_notes(note: str) -> tuple[list[str], list[str]]:
    """Names and texts: of the rows of a CSV by hadm_id or number, of a file or standard input the one text."""
    try:
        path = note if note == "-" else existing(note, "the note", "give a text file, a CSV with a column text, or -")
        text = sys.stdin.read() if note == "-" else Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{note} is not UTF-8 text; save it as UTF-8") from error
    except IsADirectoryError as error:
        raise UserError(f"{note} is a folder; give a file with one note, or a CSV") from error
    rows = [{"text": text, "hadm_id": Path(note).name}]
    if note.endswith(".csv"):
        reader = csv.DictReader(io.StringIO(text, newline=""))
        if "text" not in (reader.fieldnames or ()):
            raise UserError(f"{note}, line 1: the column text is missing; name the column of the notes so")
        rows = list(reader)
    for number, row in enumerate(rows):
        if not (row["text"] or "").strip():
            where = f" in row {number}" if len(rows) > 1 else ""
            raise UserError(f"{note} has no text{where}; a note must say something")
    if not rows:
        raise UserError(f"{note} has no rows; give a note a row")
    return [row.get("hadm_id") or str(number) for number, row in enumerate(rows)], [row["text"] for row in rows]


def thresholds(wanted: Any, task: Task) -> tuple[float, float]:
    """The share of votes below which there is no answer, and the share that a member of a set needs."""
    if wanted.scored is None:
        if wanted.accuracy is not None:
            raise UserError("--accuracy needs --scored, the folder that says how right answers are")
        return wanted.abstain_below or 0.0, votes.LEAST
    again = f"run `python -m eval.score --generations {wanted.scored} --risk`"
    path = existing(Path(wanted.scored) / "risk_coverage.json", "the file", again)
    try:
        risk = json.loads(path.read_text(encoding="utf-8"))
        same, n, least, table = risk["task"] == task.key, risk["samples"], risk["least"], risk["table"]
        share = None if wanted.accuracy is None else votes.recommended(table, wanted.accuracy)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged; {again}") from error
    if not same or n != wanted.n:
        raise UserError(f"{path} is of {n} samples for {risk['task']}, and this is --n {wanted.n} for {task.key}")
    if wanted.accuracy is not None and share is None:
        best = max(row["accuracy"] for row in table)
        raise UserError(f"no share of votes in {path} comes to --accuracy {wanted.accuracy}; the best has {best:.3f}")
    return max(wanted.abstain_below or 0.0, share or 0.0), least


def completions(wanted: Any, task: Task, names: list[str], chats: list[list[dict[str, str]]]) -> list[list[str]]:
    """The samples of every note, in the order of the notes."""
    source: Source
    if wanted.endpoint:
        source = Endpoint(wanted, wanted.prefill)
    else:
        source = Alone(wanted.model, wanted.dtype)
        _check_lengths(source.folder, wanted, names, chats)
    sha = hashlib.sha256(json.dumps(chats).encode()).hexdigest()
    sampling = {name: getattr(wanted, name) for name in SAMPLING}
    about = {"name": wanted.note, "sha256": sha, "limit": None}
    made = filling.settings(source, about, sampling, wanted.seed, wanted.prefill)
    made |= {"context": wanted.context} if wanted.context else {}
    index = pa.array(range(len(chats)), pa.int64())
    cases = pa.table(
        dict.fromkeys(("index", "hadm_id", "subject_id"), index)
        | {"data_source": [task.source] * len(chats), "ground_truth": [""] * len(chats)}
        | {"prompt": pa.array(chats, parquet.MESSAGES)}
    )
    found: dict[int, list[str]] = {}
    with tempfile.TemporaryDirectory() as place:
        log = Path(place) / "generate.log"
        try:
            with quiet(log), closing(source.complete(cases, made)) as tables:
                for table in tables:
                    found |= dict(zip(table["index"].to_pylist(), table["completions"].to_pylist(), strict=True))
        except UserError:
            raise
        except Exception as error:  # of whatever vLLM stumbles over
            print("".join(log.read_text(errors="replace").splitlines(keepends=True)[-20:]), file=sys.stderr)
            last = (str(error).splitlines() or [type(error).__name__])[-1]
            raise UserError(f"vLLM failed on {wanted.model}: {last}; the lines above are the last it said") from error
    return [found[i] for i in range(len(chats))]


class Alone(Engines):
    """One vLLM in a process of its own: a few notes are coded before Ray has started."""

    def complete(self, cases: pa.Table, settings: dict[str, Any]) -> Generator[pa.Table, None, None]:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            yield pool.submit(_answers, str(self.folder), settings, cases).result()


def _answers(folder: str, settings: dict[str, Any], cases: pa.Table) -> pa.Table:
    threads = len(os.sched_getaffinity(0)) if vllm_is_for_cpu() else 0
    return Engine(folder, settings, SEQUENCES_ON_CPU, 1, threads)(cases)


def _check_lengths(folder: Path, wanted: Any, names: list[str], chats: list[list[dict[str, str]]]) -> None:
    """Every note fits, before anything starts that takes long."""
    from transformers import AutoConfig, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    longest = wanted.context or AutoConfig.from_pretrained(folder).max_position_embeddings
    for name, chat in zip(names, chats, strict=True):
        if (tokens := len(prompt_tokens(tokenizer, chat, wanted.prefill))) >= longest:
            raise UserError(
                f"the prompt with note {name} has {tokens} tokens and {wanted.model} takes {longest} with the "
                "completion; shorten the note"
            )


if __name__ == "__main__":
    run(main)
