"""Training runs as the report shows them: verl's metrics by step.

training = read_training("grpo", Path("runs/drg_sapphire/strict/demo"))
training.curves["reward"]  # {step: value}
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common import record
from common.commands import UserError
from common.files import beside

SMOOTHED = 50  # steps, as in the papers' curves
MOST_ROWS = 12


@dataclass(frozen=True)
class Curve:
    """A measure of training: what it is called, where verl logs it (the first key that is there counts), its digits."""

    title: str
    keys: list[str]
    digits: int
    meaning: str


CURVES = {key: Curve(**curve) for key, curve in beside(__file__).items()}  # curves.yaml


@dataclass(frozen=True)
class Training:
    """A training run: what made it and, by the keys of CURVES, a value for every step that logged one."""

    name: str
    folder: Path
    run: Mapping[str, Any]
    curves: Mapping[str, Mapping[int, float]]

    @property
    def steps(self) -> list[int]:
        """Every step that logged something."""
        return sorted(set().union(*self.curves.values()))


def read_training(name: str, folder: Path) -> Training:
    """Read metrics.jsonl and run.json of a run folder, also while it is being written."""
    path = folder / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    rows: dict[int, Mapping[str, Any]] = {}
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            rows[int(row["step"])] = row["data"]  # the last row of a step counts: a resumed run repeats steps
        except (ValueError, KeyError, TypeError) as error:
            if number < len(lines):  # the last line may be in the writing
                raise UserError(f"{path}: line {number} is no row of verl's file logger; restore the file") from error
    curves = {
        key: {step: value for step in sorted(rows) if (value := _logged(rows[step], curve.keys)) is not None}
        for key, curve in CURVES.items()
    }
    if not any(curves.values()):
        raise UserError(f"{path} has no training step yet; wait for the first one or leave the run out")
    return Training(name, folder, record.read(folder), curves)


def _logged(row: Mapping[str, Any], keys: Sequence[str]) -> float | None:
    return next((float(row[key]) for key in keys if isinstance(row.get(key), int | float)), None)


def smoothed(values: list[float]) -> list[float] | None:
    """The mean over the last SMOOTHED steps; None where there are too few of them for it to say anything."""
    if len(values) < 2 * SMOOTHED:
        return None
    sums = np.cumsum([0.0, *values])
    ends = np.arange(1, len(sums))
    starts = np.maximum(0, ends - SMOOTHED)
    return ((sums[ends] - sums[starts]) / (ends - starts)).tolist()


def thinned(training: Training) -> list[int]:
    """At most MOST_ROWS steps, spread evenly, the first and the last among them."""
    steps = training.steps
    return [steps[round(at)] for at in np.linspace(0, len(steps) - 1, min(MOST_ROWS, len(steps)))]


def number(value: float | None, digits: int) -> str:
    """A value of a curve, or a dash where verl logged none."""
    return "-" if value is None else f"{value:.{digits}f}"
