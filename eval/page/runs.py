"""Scored evaluations as the report reads them, and the differences between them.

before, after = (read_evaluation(name, Path("runs") / name) for name in ("before", "after"))
paired([before, after])[0].cells()["DRG"]  # after - before: Pass@1, Pass@n, Maj@n
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.commands import UserError, existing
from eval.generation import parts
from eval.page.lineage import Lineage, lineage
from eval.score import compare
from eval.scoring.intervals import Bootstrap
from eval.scoring.measure import measure
from eval.scoring.samples import Samples, read_samples
from reward_fns.task import TASKS


def metric_title(name: str) -> str:
    """Pass@1, F1, micro F1 …"""
    kind, _, name = name.rpartition("_")
    title = {"recall": "recall", "precision": "precision", "f1": "F1"}.get(name, name.capitalize())
    return f"{kind} {title}" if kind else title


@dataclass(frozen=True)
class Scored:
    """Metrics of samples, under a name: an evaluation's, or a later evaluation minus the first one of its cases."""

    name: str
    samples: Samples
    scores: dict[str, Any]

    @property
    def columns(self) -> dict[str, dict[str, str]]:
        """The metrics of the main table: by the title of a level, their names and short titles."""
        task = self.samples.task
        shown = [name.replace("@n", f"@{self.samples.n}") for name in task.columns]
        return {level.title: {f"{level.key}/{name}": metric_title(name) for name in shown} for level in task.levels}

    def cells(self) -> dict[str, list[dict[str, Any]]]:
        """What the main table shows of them."""
        return {title: [self.scores["metrics"][name] for name in names] for title, names in self.columns.items()}


@dataclass(frozen=True)
class Evaluation(Scored):
    """A scored folder of generations, and where its model comes from."""

    line: Lineage

    @property
    def folder(self) -> Path:
        return self.samples.folder

    @property
    def run(self) -> dict[str, Any]:
        return self.samples.run


def read_evaluation(name: str, folder: Path) -> Evaluation:
    """What eval.score left in a folder; a sentence when it has not been there."""
    existing(folder, "the run folder", "check --runs")
    if not (folder / "scores.json").exists():
        if parts.paths(folder):
            raise UserError(f"{folder} has no scores.json; run `python -m eval.score --generations {folder}` first")
        raise UserError(f"{folder} has neither scores.json (an evaluation) nor metrics.jsonl (a training run)")
    samples = read_samples(folder)
    again = f"run `python -m eval.score --generations {folder}` again"
    try:
        scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
        known = set(scores.get("metrics", {}))
    except (ValueError, AttributeError) as error:
        raise UserError(f"{folder / 'scores.json'} is damaged; {again}") from error
    found = Evaluation(name, samples, scores, lineage(name, samples.run))
    if not known >= set().union(*found.columns.values()):
        raise UserError(f"{folder}/scores.json lacks metrics of this version; {again}")
    return found


def paired(evaluations: list[Evaluation]) -> list[Scored]:
    """Every later evaluation minus the first one that has the same cases and as many samples."""
    found = []
    for i, later in enumerate(evaluations):
        for first in evaluations[:i]:
            if first.samples.n == later.samples.n and first.samples.same_cases(later.samples):
                bootstrap = Bootstrap(later.scores["bootstrap"]["draws"], later.scores["bootstrap"]["seed"])
                mine, yours = (measure(each.samples, bootstrap, later.scores["ties"]) for each in (later, first))
                scores = compare(later.samples, mine, first.samples, yours)
                found.append(Scored(f"{later.name} - {first.name}", later.samples, scores))
                break
    return found


def by_task(some: Sequence[Any]) -> dict[str, list[Any]]:
    """Evaluations or differences by their tasks, in the order of tables."""
    found = {task: [each for each in some if each.samples.task.key == task] for task in TASKS}
    return {task: each for task, each in found.items() if each}
