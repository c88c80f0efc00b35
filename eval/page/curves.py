"""Training runs as the report shows them: verl's metrics by step.

training = read_training("grpo", Path("runs/drg_sapphire/strict/demo"))
training.curves["reward"]  # {step: value}
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import record
from common.commands import UserError

SMOOTHED = 50  # steps, as in the papers' curves
MOST_ROWS = 12


@dataclass(frozen=True)
class Curve:
    """A measure of training: what it is called, where verl logs it (the first key that is there counts), its digits."""

    title: str
    keys: tuple[str, ...]
    digits: int
    meaning: str


CURVES = {
    "reward": Curve("Mean reward", ("critic/score/mean", "critic/rewards/mean"), 3, "over the completions of a step"),
    "right": Curve("Share right", ("reward/acc/mean",), 3, "of the completions of a step"),
    "format": Curve("Reward: format", ("reward/format/mean",), 3, "this component's mean, before its weight"),
    "accuracy": Curve("Reward: accuracy", ("reward/accuracy/mean",), 3, "this component's mean"),
    "outcome": Curve("Reward: outcome", ("reward/outcome/mean",), 3, "this component's mean, before its weight"),
    "judge": Curve("Reward: judge", ("reward/judge/mean",), 3, "this component's mean, before its weight"),
    "cot_first": Curve("Share answer-first", ("reward/cot_first/mean",), 3, "of the completions of a step"),
    "zero_variance": Curve(
        "Groups without variance", ("groups/zero_variance",), 3, "share of prompts whose rewards are all equal"
    ),
    "length": Curve("Completion length", ("response_length/mean",), 1, "mean number of tokens"),
    "kl": Curve("KL to the reference", ("actor/kl_loss", "actor/reward_kl_penalty"), 4, "mean over tokens"),
    "entropy": Curve("Entropy", ("actor/entropy",), 3, "of the policy, mean over tokens"),
    "loss": Curve("Training loss", ("loss",), 4, "of fine-tuning, mean over tokens"),
    "agreement": Curve(
        "Rollout/actor agreement",
        ("training/rollout_actor_probs_pearson_corr",),
        4,
        "correlation of the token probabilities that vLLM sampled with and the trainer computes",
    ),
}


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


def _logged(row: Mapping[str, Any], keys: tuple[str, ...]) -> float | None:
    return next((float(row[key]) for key in keys if isinstance(row.get(key), int | float)), None)


def smoothed(values: list[float]) -> list[float] | None:
    """The mean over the last SMOOTHED steps; None where there are too few of them for it to say anything."""
    if len(values) < 2 * SMOOTHED:
        return None
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    return [(sums[i] - sums[max(0, i - SMOOTHED)]) / min(i, SMOOTHED) for i in range(1, len(sums))]


def thinned(training: Training) -> list[int]:
    """At most MOST_ROWS steps, spread evenly, the first and the last among them."""
    steps = training.steps
    last, rows = len(steps) - 1, min(MOST_ROWS, len(steps))
    return [steps[i] for i in sorted({round(i * last / max(1, rows - 1)) for i in range(rows)})]


def number(value: float | None, digits: int) -> str:
    """A value of a curve, or a dash where verl logged none."""
    return "-" if value is None else f"{value:.{digits}f}"
