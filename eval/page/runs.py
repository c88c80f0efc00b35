"""Scored evaluations as the report reads them, and the differences between them.

before, after = (read_evaluation(name, Path("runs") / name) for name in ("before", "after"))
paired([before, after])[0].cells("drg")  # after - before: Pass@1, Pass@n, Maj@n
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.commands import UserError, existing
from eval.generation import parts
from eval.score import compare
from eval.scoring.intervals import Bootstrap
from eval.scoring.measure import measure
from eval.scoring.samples import Samples, read_samples


@dataclass(frozen=True)
class Evaluation:
    """A scored folder of generations."""

    name: str
    folder: Path
    run: dict[str, Any]
    scores: dict[str, Any]
    samples: Samples

    def cells(self, level: str) -> list[dict[str, Any]]:
        """The metrics of the main table."""
        return [self.scores["metrics"][name] for name in columns(self.samples, level)]


@dataclass(frozen=True)
class Difference:
    """A later evaluation minus the first one of the same cases."""

    name: str
    samples: Samples
    scores: dict[str, Any]

    def cells(self, level: str) -> list[dict[str, Any]]:
        """The differences in the metrics of the main table."""
        return [self.scores["metrics"][name] for name in columns(self.samples, level)]


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
    scores = _json(folder / "scores.json", again)
    wanted = [column for level in samples.task.levels for column in columns(samples, level.key)]
    if not set(wanted) <= set(scores.get("metrics", {})):
        raise UserError(f"{folder}/scores.json lacks metrics of this version; {again}")
    return Evaluation(name, folder, samples.run, scores, samples)


def _json(path: Path, remedy: str) -> dict[str, Any]:
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
            same = first.samples.task is later.samples.task and first.samples.n == later.samples.n
            if same and first.samples.cases.equals(later.samples.cases):
                bootstrap = Bootstrap(later.scores["bootstrap"]["draws"], later.scores["bootstrap"]["seed"])
                mine, yours = (measure(each.samples, bootstrap, later.scores["ties"]) for each in (later, first))
                scores = compare(later.samples, mine, first.samples, yours)
                found.append(Difference(f"{later.name} - {first.name}", later.samples, scores))
                break
    return found


def text(cell: dict[str, Any], sign: str = "", scale: float = 100, digits: int = 1) -> str:
    """A metric as `value [low, high]`, in percent."""
    low, high = (f"{scale * bound:{sign}.{digits}f}" for bound in cell["interval"])
    return f"{scale * cell['value']:{sign}.{digits}f} [{low}, {high}]"
