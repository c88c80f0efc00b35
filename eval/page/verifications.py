"""What eval.prm left in a folder, as the report shows it: how often the right note is found, and notes by position.

found = read_verification("prm", Path("runs/eval/prm"))
figures([found])                             # what was said of right and of wrong positions
graded_notes(found, most=5000)               # p(+) by position: kinds, numbers and labels, no text
graded_notes(found, 5000, True, data)        # and the texts, the conversation and the name of the case
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from common import record
from common.commands import UserError
from data_prep.clinical import graded
from eval.page import drawing as draw
from eval.page.cases import SEED, data_file
from eval.page.figure import Figure
from eval.verification.store import KIND
from reward_fns.clinical_note.alterations import CAUSES
from reward_fns.clinical_note.notes import END, NOTE_COMPLETE, PROBLEM, PROBLEM_COMPLETE, RIGHT, STEP

SHOWN = ("case", "candidate", "best", "kinds", "labels", "causes", "right")  # of per_case.parquet
CALLED = {PROBLEM_COMPLETE: "complete", NOTE_COMPLETE: "all problems", END: "the whole note"}


@dataclass(frozen=True)
class Verification:
    """The scores of a model over the cases of a set."""

    name: str
    folder: Path
    run: dict[str, Any]
    scores: dict[str, Any]

    @property
    def recall(self) -> dict[str, dict[str, Any]]:
        """The share of labels that are right, by kind of position and by error; empty where no label is known."""
        return self.scores["positions"].get("recall", {})


def is_verification(folder: Path) -> bool:
    return folder.is_dir() and record.read(folder).get("kind") == KIND


def read_verification(name: str, folder: Path) -> Verification:
    """What eval.prm left in a folder; a sentence when it did not finish there."""
    try:
        scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
        columns = pq.read_schema(folder / "per_case.parquet").names
    except (OSError, ValueError):
        scores, columns = {}, []
    if not {"accuracy", "positions", "paper"} <= scores.keys() or not set(SHOWN) <= set(columns):
        raise UserError(f"{folder} holds no finished verification of this version; run its `python -m eval.prm` again")
    return Verification(name, folder, record.read(folder), scores)


def figures(some: Sequence[Verification]) -> list[Figure]:
    """What was said of the positions of every kind of error, and of the right ones, by every run with labels."""
    found = []
    for number, one in enumerate(some, 1):
        said = {cause: 1 - one.recall[cause]["value"] for cause in CAUSES[:-1] if cause in one.recall}
        right = [f"{kind} {RIGHT}" for kind in (PROBLEM, STEP, PROBLEM_COMPLETE)]
        said |= {name: one.recall[name]["value"] for name in right if name in one.recall}
        if said:  # the share of each that was called right
            names = [f"{name} ({one.recall[name]['n']:,})" for name in said]
            panel = {one.name: [[share, 1 - share] for share in said.values()]}
            task = partial(draw.confusion, names=names, said=["right", "wrong"], panels=panel)
            caption = "Percent of the positions with each kind of error, and of the right ones (+), by what was said."
            found.append(Figure(f"verification-{number}", f"{one.name}: positions by error", caption, task))
    return found


def graded_notes(one: Verification, most: int, texts: bool = False, data: Path | None = None) -> dict[str, Any]:
    """The candidates of at most so many cases, drawn at random: a position is its name, p(+), label, cause and text."""
    rows = pq.read_table(one.folder / "per_case.parquet").to_pylist()
    cases = list(dict.fromkeys(row["case"] for row in rows))
    number = {cases[at]: int(at) for at in sorted(np.random.default_rng(SEED).permutation(len(cases))[:most])}
    said = {}
    if texts:
        path = data_file(one.folder, one.run["settings"]["data"], data)
        said = {(row["case"], row["candidate"]): row for row in graded.read(path)}
    by = [name for name in one.scores["accuracy"] if name in rows[0]]
    packed: dict[str, dict[str, Any]] = {}
    for row in (row for row in rows if row["case"] in number):
        here = packed.setdefault(row["case"], {"number": number[row["case"]], "notes": []})
        text: Any = [""] * len(row["kinds"])
        if source := said.get((row["case"], row["candidate"])):
            here |= {"id": row["case"], "dialogue": source["dialogue"]}
            text = [position.text for position in source["positions"]]
        columns = (_named(row["kinds"]), [round(p, 4) for p in row["right"]], row["labels"], row["causes"], text)
        note = {"no": row["candidate"], "best": row["best"], "scores": {name: round(row[name], 3) for name in by}}
        here["notes"].append(note | {"positions": list(zip(*columns, strict=True))})
    return {"title": one.name, "total": len(cases), "cases": list(packed.values())}


def _named(kinds: Sequence[str]) -> Iterator[str]:
    problem = step = 0
    for kind in kinds:
        problem, step = (problem + 1, 0) if kind == PROBLEM else (problem, step + (kind == STEP))
        inner = {PROBLEM: "title", STEP: f"step {step}"}.get(kind, CALLED.get(kind, kind))
        yield f"problem {problem}, {inner}" if kind in (PROBLEM, STEP, PROBLEM_COMPLETE) else inner
