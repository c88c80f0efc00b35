"""What the runs of a study say together: an effect, how sure it is over seeds and patients, and the verdict.

    found = effect([Estimate(…), …])        # one per seed, all over the same patients
    verdict(found, expected=1)              # "shows", "does not show", "opposite" or "too few runs"

All seeds are evaluated on the same patients, so two things vary: which seed a run had, and which patients were drawn.
The variance of the effect is the sum of both: that between seeds divided by their number, and that of the mean over
seeds in the bootstrap over patients (eval.scoring.intervals). The 95 % interval is Student's t with the degrees of
freedom of that sum (Satterthwaite): near 2 where three seeds decide, large where patients do. Seeds are not drawn with
replacement: three of three drawn so have two thirds of their variance, and such intervals miss the truth in a tenth to
a fifth of simulated studies (a test counts it).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from eval.scoring.intervals import LEVEL, SAME, Estimate

NEEDED = 3  # seeds
POWER = 0.8
SHOWS, DOES_NOT, OPPOSITE, TOO_FEW = "shows", "does not show", "opposite", "too few runs"
WORST_FIRST = (TOO_FEW, OPPOSITE, DOES_NOT, SHOWS)


@dataclass(frozen=True)
class Effect:
    """A difference or slope: its mean over seeds, that of each, its 95 % interval, and what could have been seen."""

    value: float
    seeds: tuple[float, ...]
    interval: tuple[float, float]
    smallest: float  # true effect that such a study sees in four cases of five

    def cell(self) -> dict[str, object]:
        """As the figures of eval.page take it."""
        return {"value": self.value, "interval": list(self.interval)}


def effect(of_seeds: Sequence[Estimate], less: float = 0.0) -> Effect:
    """The mean over seeds, minus a constant; the estimates' draws are of the same patients."""
    from scipy.stats import t

    values = np.array([one.value for one in of_seeds]) - less
    count, value = len(values), float(values.mean())
    by_seed = float(values.var(ddof=1)) / count if count > 1 else 0.0
    by_patient = float(np.nanvar(np.mean([one.draws for one in of_seeds], axis=0)))
    variance = by_seed + by_patient
    freedom = variance**2 / (by_seed**2 / (count - 1)) if by_seed else 1e9
    wide, deviation = float(t.ppf((1 + LEVEL) / 2, freedom)), variance**0.5
    bounds = (value - wide * deviation, value + wide * deviation)
    return Effect(value, tuple(values.tolist()), bounds, (wide + float(t.ppf(POWER, freedom))) * deviation)


def combined(terms: Iterable[tuple[float, Estimate]]) -> Estimate:
    """The weighted sum of estimates over the same patients: a difference, a mean or a slope."""
    weights, estimates = zip(*terms, strict=True)
    value = sum(weight * one.value for weight, one in zip(weights, estimates, strict=True))
    draws = sum(weight * one.draws for weight, one in zip(weights, estimates, strict=True))
    return Estimate(value, np.asarray(draws), min(one.n for one in estimates))


def slope_weights(x: Sequence[float]) -> list[float]:
    """The weight of each y in the slope of the least-squares line through (x, y)."""
    away = np.array(x) - np.mean(x)
    return (away / (away**2).sum()).tolist()


def verdict(found: Effect, expected: int) -> str:
    """What the interval says of a claim that the effect is above (1) or below (-1) nothing."""
    if len(found.seeds) < NEEDED:
        return TOO_FEW
    low, high = sorted(expected * bound for bound in found.interval)
    return SHOWS if low > SAME else OPPOSITE if high < -SAME else DOES_NOT  # weights may sum up to rounding


def overall(verdicts: Iterable[str]) -> str:
    """The verdict on a study of several claims: that on its weakest."""
    return min(verdicts, key=WORST_FIRST.index)
