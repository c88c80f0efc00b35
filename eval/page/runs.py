"""Scored evaluations as the report reads them, and the differences between them.

before, after = (read_evaluation(name, Path("runs") / name) for name in ("before", "after"))
paired([before, after])[0].cells("drg")  # after - before: Pass@1, Pass@n, Maj@n
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.commands import UserError, existing
from eval.generation import parts
from eval.score import compare
from eval.scoring.intervals import Bootstrap
from eval.scoring.measure import measure
from eval.scoring.samples import Samples, read_samples
from reward_fns.task import TASKS


@dataclass(frozen=True)
class Scored:
    """Metrics of samples, under a name."""

    name: str
    samples: Samples
    scores: dict[str, Any]

    def cells(self, level: str) -> list[dict[str, Any]]:
        """The metrics of the main table."""
        return [self.scores["metrics"][name] for name in columns(self.samples, level)]


class Evaluation(Scored):
    """A scored folder of generations."""

    @property
    def folder(self) -> Path:
        return self.samples.folder

    @property
    def run(self) -> dict[str, Any]:
        return self.samples.run


class Difference(Scored):
    """A later evaluation minus the first one of the same cases."""


def columns(samples: Samples, level: str) -> list[str]:
    """The metrics of the main table, as the task's paper has them."""
    return [f"{level}/{name.replace('@n', f'@{samples.n}')}" for name in samples.task.columns]


def read_evaluation(name: str, folder: Path) -> Evaluation:
    """What eval.score left in a folder; a sentence when it has not been there."""
    existing(folder, "the run folder", "check --runs")
    if not (folder / "scores.json").exists():
        if parts.paths(folder):
            raise UserError(f"{folder} has no scores.json; run `python -m eval.score --generations {folder}` first")
        raise UserError(f"{folder} has neither scores.json (an evaluation) nor metrics.jsonl (a training run)")
    samples = read_samples(folder)
    again = f"run `python -m eval.score --generations {folder}` again"
    scores = read_json(folder / "scores.json", again)
    wanted = [column for level in samples.task.levels for column in columns(samples, level.key)]
    if not set(wanted) <= set(scores.get("metrics", {})):
        raise UserError(f"{folder}/scores.json lacks metrics of this version; {again}")
    return Evaluation(name, samples, scores)


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """The object that a JSON file holds."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is damaged; {remedy}") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} is damaged; {remedy}")
    return found


def paired(evaluations: list[Evaluation]) -> list[Difference]:
    """Every later evaluation minus the first one that has the same cases and as many samples."""
    found = []
    for i, later in enumerate(evaluations):
        for first in evaluations[:i]:
            if first.samples.n == later.samples.n and first.samples.same_cases(later.samples):
                bootstrap = Bootstrap(later.scores["bootstrap"]["draws"], later.scores["bootstrap"]["seed"])
                mine, yours = (measure(each.samples, bootstrap, later.scores["ties"]) for each in (later, first))
                scores = compare(later.samples, mine, first.samples, yours)
                found.append(Difference(f"{later.name} - {first.name}", later.samples, scores))
                break
    return found


def by_task(some: Sequence[Any]) -> dict[str, list[Any]]:
    """Evaluations or differences by their tasks, in the order of tables."""
    found = {task: [each for each in some if each.samples.task.key == task] for task in TASKS}
    return {task: each for task, each in found.items() if each}
