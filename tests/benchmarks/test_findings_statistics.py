"""The verdicts of the studies: known outcomes come out, and the interval covers what it says with three seeds."""

from math import log2

import numpy as np
import pytest

from benchmarks.studies.statistics import combined, effect, overall, slope_weights, verdict
from eval.scoring.intervals import Bootstrap, Estimate, means

CASES = 60


def of_seeds(truth: float, seeds: int, random: np.random.Generator, between: float = 0.01) -> list[Estimate]:
    """What runs of so many seeds would show on the same patients: the truth, the patients' part, the seed's, noise."""
    patients = truth + random.normal(0, 0.2, CASES)
    shifts = random.normal(0, between, seeds)
    columns = np.column_stack([patients + shift + random.normal(0, 0.2, CASES) for shift in shifts])
    return means(columns, np.arange(CASES), Bootstrap(200))


@pytest.mark.parametrize(
    ("truth", "expected", "seeds", "said"),
    [
        (0.3, 1, 3, "shows"),
        (-0.3, -1, 3, "shows"),
        (0.3, -1, 3, "opposite"),
        (-0.3, 1, 5, "opposite"),
        (0.0, 1, 3, "does not show"),
        (0.0, -1, 4, "does not show"),
        (0.3, 1, 2, "too few runs"),
        (0.3, 1, 1, "too few runs"),
    ],
)
def test_known_outcomes_get_their_verdict(truth: float, expected: int, seeds: int, said: str) -> None:
    assert verdict(effect(of_seeds(truth, seeds, np.random.default_rng(3))), expected) == said


def test_no_difference_at_all_shows_nothing() -> None:
    same = Estimate(0.0, np.zeros(10), CASES)
    assert verdict(effect([same] * 3), 1) == "does not show"


def test_a_study_is_as_good_as_its_weakest_claim() -> None:
    assert overall(["shows", "does not show", "shows"]) == "does not show"
    assert overall(["does not show", "opposite"]) == "opposite"
    assert overall(["opposite", "too few runs"]) == "too few runs"
    assert overall(["shows"]) == "shows"


@pytest.mark.parametrize("between", [0.0, 0.03, 0.2])
def test_the_interval_covers_the_truth_where_seeds_drawn_with_replacement_do_not(between: float) -> None:
    random, covered, drawn, studies = np.random.default_rng(1), 0, 0, 400
    for _ in range(studies):
        found = of_seeds(0.1, 3, random, between)
        low, high = effect(found).interval
        covered += low <= 0.1 <= high
        chosen = random.integers(0, 3, (200, 3))
        draws = np.take_along_axis(np.array([one.draws for one in found]).T, chosen, axis=1).mean(axis=1)
        low, high = np.percentile(draws, (2.5, 97.5))
        drawn += low <= 0.1 <= high
    assert covered / studies >= 0.93
    assert between < 0.1 or drawn / studies < 0.9  # where seeds differ


def test_the_smallest_effect_is_seen_in_four_studies_of_five() -> None:
    random = np.random.default_rng(2)
    smallest = np.median([effect(of_seeds(0.0, 3, random)).smallest for _ in range(40)])
    seen = sum(verdict(effect(of_seeds(smallest, 3, random)), 1) == "shows" for _ in range(200)) / 200
    assert 0.7 <= seen <= 0.95


def test_a_slope_is_a_weighted_sum_of_its_points() -> None:
    weights = slope_weights([1.0, 2.0, 3.0])
    points = [Estimate(y, np.full(5, y), CASES) for y in (0.1, 0.3, 0.5)]
    found = combined(zip(weights, points, strict=True))
    assert found.value == pytest.approx(0.2) and found.draws == pytest.approx(np.full(5, 0.2))


def test_what_never_changes_has_no_slope_whatever_the_weights_round_to() -> None:
    weights = slope_weights([log2(cases) for cases in (180, 540, 1620)])
    found = effect([combined((weight, Estimate(1.0, np.ones(5), CASES)) for weight in weights)] * 3)
    assert found.value != 0 and verdict(found, 1) == verdict(found, -1) == "does not show"


def test_a_constant_is_taken_off() -> None:
    found = effect([Estimate(0.02, np.full(9, 0.02), CASES)] * 3, less=0.05)
    assert found.value == pytest.approx(-0.03) and verdict(found, -1) == "shows"
