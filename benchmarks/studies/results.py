"""The studies' numbers, read from the evaluations of a plan's models.

found = results(plan, studies)
found[0].claims[0].effect.interval, found[0].verdict
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from math import log2
from pathlib import Path

from benchmarks.studies.plan import Claim, Plan, Study
from benchmarks.studies.statistics import Effect, combined, effect, overall, slope_weights, verdict
from eval.scoring.intervals import Bootstrap, Estimate
from eval.scoring.measure import Metric, measure, measures
from eval.scoring.samples import read_samples
from reward_fns.task import TASKS


@dataclass(frozen=True)
class Said:
    """A claim, what was found and what that says."""

    claim: Claim
    effect: Effect
    verdict: str
    unit: str  # of eval.score: share, words, tokens

    @property
    def scale(self) -> float:
        """Shares are said in points."""
        return 100.0 if self.unit == "share" else 1.0

    def text(self, with_unit: bool = True) -> str:
        """The effect as `+1.2 [0.3, 2.1] points`."""
        low, high = (f"{self.scale * bound:+.1f}" for bound in self.effect.interval)
        unit = ("points" if self.unit == "share" else self.unit) + (" a doubling" if self.claim.slope else "")
        return f"{self.scale * self.effect.value:+.1f} [{low}, {high}]" + (f" {unit}" if with_unit else "")

    def row(self) -> dict[str, object]:
        """As findings.json has it, in the unit of the text."""
        return {
            "says": self.claim.says, "metric": self.claim.metric, "expected": self.claim.expect,
            "verdict": self.verdict, "value": self.scale * self.effect.value,
            "interval": [self.scale * bound for bound in self.effect.interval],
            "seeds": [self.scale * value for value in self.effect.seeds], "smallest": self.scale * self.effect.smallest,
        }  # fmt: skip


@dataclass(frozen=True)
class Result:
    """A study with its claims."""

    study: Study
    claims: tuple[Said, ...]

    @property
    def verdict(self) -> str:
        """That on the weakest of the claims."""
        return overall(said.verdict for said in self.claims)


@cache
def metrics_of(folder: Path) -> dict[str, Metric]:
    """The metrics of an evaluation, with their draws of patients."""
    return measure(read_samples(folder), Bootstrap(), "fractional")


def estimates(plan: Plan, model: str, metric: str) -> list[Estimate]:
    """A metric of a model, by seed."""
    return [metrics_of(plan.folder("eval", model, seed))[metric].estimate for seed in plan.seeds]


def unit_of(plan: Plan, model: str, metric: str) -> str:
    """The unit in which eval.score gives a metric."""
    units = {one.name: one.unit for one in measures(TASKS[plan.task_of(model)])}
    return units.get(metric, "share")


def results(plan: Plan, studies: Iterable[Study]) -> list[Result]:
    """What the runs say of every claim."""
    return [Result(study, tuple(_said(plan, claim) for claim in study.claims)) for study in studies]


def _said(plan: Plan, claim: Claim) -> Said:
    found = effect([combined(terms) for terms in _terms(plan, claim)], claim.less)
    return Said(claim, found, verdict(found, claim.expect), unit_of(plan, claim.models[0], claim.metric))


def _terms(plan: Plan, claim: Claim) -> list[list[tuple[float, Estimate]]]:
    """What is summed up with which weights, by seed."""
    weights = [(1 / len(claim.of), model) for model in claim.of]
    weights += [(-1 / len(claim.minus), model) for model in claim.minus]
    if claim.slope:
        doublings = [log2(plan.cases_of(model)) for model in claim.slope]
        weights = list(zip(slope_weights(doublings), claim.slope, strict=True))
    columns = [[(weight, one) for one in estimates(plan, model, claim.metric)] for weight, model in weights]
    return [list(row) for row in zip(*columns, strict=True)]
