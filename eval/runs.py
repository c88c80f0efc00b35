"""Scored evaluations and training runs as the report reads them.

evaluations, trainings = read(["before=runs/before", "after=runs/after", "runs/grpo"])
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands import UserError, existing
from eval import parts
from eval.bootstrap import Bootstrap
from eval.measure import measure
from eval.samples import Samples, read_samples
from eval.score import compare

# What a training run is shown by, the keys that verl logs it under (the first that is there counts), its digits.
CURVES = {
    "reward": ("Mean reward", ("critic/score/mean", "critic/rewards/mean"), 3),
    "length": ("Completion length (tokens)", ("response_length/mean",), 1),
    "kl": ("KL to the reference", ("actor/kl_loss", "actor/reward_kl_penalty"), 4),
    "agreement": ("Rollout/actor correlation", ("training/rollout_actor_probs_pearson_corr",), 4),
}
MOST_ROWS = 12


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


@dataclass(frozen=True)
class Training:
    """A training run: its steps and, by the keys of CURVES, a number or None for each."""

    name: str
    folder: Path
    run: dict[str, Any]
    steps: list[int]
    curves: dict[str, list[float | None]]


def columns(samples: Samples, level: str) -> list[str]:
    """The metrics of the main table, as the task's paper has them."""
    n = samples.n
    names = ("pass@1", f"pass@{n}", f"maj@{n}") if samples.task.key == "drg" else ("recall", "precision", "f1")
    return [f"{level}/{name}" for name in names]


def read(runs: list[str]) -> tuple[list[Evaluation], list[Training]]:
    """The evaluations and the training runs among the arguments, in their order."""
    named = [_named(argument) for argument in runs]
    evaluations, trainings = [], []
    for name, folder in named:
        if [other for other, _ in named].count(name) > 1:
            name = str(folder)
        existing(folder, "the run folder", "check --runs")
        if (folder / "scores.json").exists():
            evaluations.append(_evaluation(name, folder))
        elif (folder / "metrics.jsonl").exists():
            trainings.append(_training(name, folder))
        elif parts.paths(folder):
            raise UserError(f"{folder} has no scores.json; run `python -m eval.score --generations {folder}` first")
        else:
            raise UserError(f"{folder} has neither scores.json (an evaluation) nor metrics.jsonl (a training run)")
    return evaluations, trainings


def _named(argument: str) -> tuple[str, Path]:
    name, equals, folder = argument.partition("=")
    if equals and not Path(argument).exists():
        return name, Path(folder)
    return Path(argument).resolve().name, Path(argument)


def _evaluation(name: str, folder: Path) -> Evaluation:
    samples = read_samples(folder)
    again = f"run `python -m eval.score --generations {folder}` again"
    scores = _json(folder / "scores.json", again)
    wanted = [column for level in samples.task.levels for column in columns(samples, level)]
    if not set(wanted) <= set(scores.get("metrics", {})):
        raise UserError(f"{folder}/scores.json lacks metrics of this version; {again}")
    return Evaluation(name, folder, samples.run, scores, samples)


def _training(name: str, folder: Path) -> Training:
    path = folder / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    rows: dict[int, dict[str, Any]] = {}
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            rows[int(row["step"])] = row["data"]  # the last row of a step counts: a resumed run repeats steps
        except (ValueError, KeyError, TypeError) as error:
            if number < len(lines):  # the last line may be in the writing
                raise UserError(f"{path}: line {number} is no row of verl's file logger; restore the file") from error
    curves = {
        curve: {step: value for step in sorted(rows) if (value := _first(rows[step], keys)) is not None}
        for curve, (_, keys, _) in CURVES.items()
    }
    steps = sorted(set().union(*curves.values()))
    if not steps:
        raise UserError(f"{path} has no training step yet; wait for the first one or leave the run out")
    about = _json(folder / "run.json", "restore the file") if (folder / "run.json").exists() else {}
    return Training(name, folder, about, steps, {key: [found.get(s) for s in steps] for key, found in curves.items()})


def _first(row: dict[str, Any], keys: tuple[str, ...]) -> float | None:
    return next((float(row[key]) for key in keys if isinstance(row.get(key), int | float)), None)


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


def thinned(training: Training) -> list[tuple[int, dict[str, float | None]]]:
    """At most MOST_ROWS steps with their values, spread evenly, the first and the last among them."""
    last = len(training.steps) - 1
    rows = min(MOST_ROWS, last + 1)
    kept = sorted({round(i * last / max(1, rows - 1)) for i in range(rows)})
    return [(training.steps[i], {key: values[i] for key, values in training.curves.items()}) for i in kept]


def text(cell: dict[str, Any], sign: str = "", scale: float = 100, digits: int = 1) -> str:
    """A metric as `value [low, high]`, in percent."""
    low, high = (f"{scale * bound:{sign}.{digits}f}" for bound in cell["interval"])
    return f"{scale * cell['value']:{sign}.{digits}f} [{low}, {high}]"


def number(value: float | None, digits: int) -> str:
    """A value of a curve, or a dash where verl logged none."""
    return "-" if value is None else f"{value:.{digits}f}"
