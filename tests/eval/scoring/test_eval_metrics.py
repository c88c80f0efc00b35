"""pass@k, maj@n, intervals and paired differences, against enumeration, by hand, and by simulation."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from eval.scoring.intervals import Bootstrap, Estimate, difference, means, percentiles, ratios
from eval.scoring.metrics import INVALID, majority, pass_at_k

A, B, C, X = 0, 1, 2, INVALID


@pytest.mark.parametrize(
    ("right", "k", "expected"),
    [
        ([1, 0, 0, 0], 1, 0.25),  # the mean
        ([1, 0, 0, 0], 2, 0.5),  # 1 - C(3,2)/C(4,2) = 1 - 3/6
        ([1, 1, 0, 0], 2, 5 / 6),  # 1 - C(2,2)/C(4,2) = 1 - 1/6
        ([1, 1, 0, 0], 3, 1.0),  # two wrong ones cannot fill three places
        ([0, 0, 0, 0], 4, 0.0),
        ([0, 0, 0, 1], 4, 1.0),  # any of all four
    ],
)
def test_pass_at_k_by_hand(right, k, expected):
    assert pass_at_k(np.array([right]), k)[0] == pytest.approx(expected)


def test_pass_at_k_is_the_share_of_subsets_that_hold_a_right_sample():
    right = np.random.default_rng(0).random((60, 7)) < 0.3
    for k in range(1, 8):
        subsets = list(combinations(range(7), k))
        expected = [np.mean([row[list(subset)].any() for subset in subsets]) for row in right]
        np.testing.assert_allclose(pass_at_k(right, k), expected, atol=1e-12)


@pytest.mark.parametrize("k", [0, 5])
def test_pass_at_k_knows_no_more_samples_than_there_are(k):
    with pytest.raises(ValueError, match="between 1 and the 4 samples"):
        pass_at_k(np.ones((1, 4)), k)


@pytest.mark.parametrize(
    ("labels", "fractional", "first"),  # the gold is A
    [
        ([A, A, B, C], 1.0, 1.0),
        ([A, B, B, C], 0.0, 0.0),
        ([A, A, B, B], 1 / 2, 1.0),  # a tie of two, A said first
        ([B, A, A, B], 1 / 2, 0.0),  # the same tie, B said first
        ([C, B, A, X], 1 / 3, 0.0),  # a tie of three
        ([B, B, C, C], 0.0, 0.0),  # a tie without the gold
        ([X, X, X, A], 1.0, 1.0),  # invalid answers do not vote
        ([X, X, X, X], 0.0, 0.0),  # no vote is no majority
        ([X, B, B, A], 0.0, 0.0),
    ],
)
def test_majority_by_hand(labels, fractional, first):
    labels, gold = np.array([labels]), np.array([A])
    assert majority(labels, gold)[0] == pytest.approx(fractional)
    assert majority(labels, gold, "first")[0] == first


def test_majority_equals_counting_votes_one_by_one():
    random = np.random.default_rng(1)
    labels, gold = random.integers(INVALID, 4, (3000, 8)), random.integers(0, 4, 3000)
    fractional, first = [], []
    for row, right in zip(labels.tolist(), gold.tolist(), strict=True):
        votes = Counter(label for label in row if label != INVALID)
        leaders = [label for label, count in votes.items() if count == max(votes.values())]
        fractional.append((right in leaders) / max(1, len(leaders)))
        first.append(float(leaders[:1] == [right]))  # a Counter keeps the order in which labels were first said
    np.testing.assert_allclose(majority(labels, gold), fractional)
    np.testing.assert_array_equal(majority(labels, gold, "first"), first)


def mean(values: np.ndarray, patients: np.ndarray, bootstrap: Bootstrap) -> Estimate:
    return means(values[:, None].astype(float), patients, bootstrap)[0]


def interval(values: np.ndarray, patients: np.ndarray, draws: int = 1000, seed: int = 0) -> list[float]:
    return mean(values, patients, Bootstrap(draws, seed)).interval()


def test_the_interval_of_independent_cases_is_the_textbook_one():
    # 400 cases, half of them right: standard error sqrt(0.25 / 400) = 0.025, so 0.5 +- 1.96 x 0.025
    low, high = interval(np.tile([0.0, 1.0], 200), np.arange(400), 4000)
    assert (low, high) == pytest.approx((0.451, 0.549), abs=0.004)


def test_more_cases_of_the_same_patients_with_the_same_outcome_add_no_certainty():
    values = np.tile([0.0, 1.0], 50)
    once, tenfold = interval(values, np.arange(100)), interval(np.repeat(values, 10), np.repeat(np.arange(100), 10))
    np.testing.assert_allclose(once, tenfold)


def test_the_same_seed_gives_the_same_interval_and_columns_do_not_disturb_each_other():
    values, patients = np.random.default_rng(2).random((90, 2)), np.arange(90) // 2
    first, _ = means(values, patients, Bootstrap(200, seed=3))
    assert first.interval() == pytest.approx(interval(values[:, 0], patients, 200, seed=3))
    assert first.interval() != interval(values[:, 0], patients, 200, seed=4)


def test_a_draw_of_patients_counts_all_their_cases():
    # Two patients, one right in its one case, one wrong in its three: draws give 1, 1 / 4 or 0, and nothing else.
    found = mean(np.array([1.0, 0, 0, 0]), np.array([7, 9, 9, 9]), Bootstrap(200))
    assert found.value == 0.25 and set(found.draws) == {0.0, 0.25, 1.0}


def test_a_ratio_is_the_sum_above_over_the_sum_below():
    above, below = np.array([[2.0], [0.0], [1.0]]), np.array([[4.0], [0.0], [2.0]])
    (found,) = ratios(above, below, np.arange(3), Bootstrap(100))
    assert (found.value, found.n, found.interval()) == (0.5, 2, [0.5, 0.5])  # 3 / 6; a draw without any below is none


@pytest.mark.parametrize("missing", [0, 30])
def test_percentiles_are_numpy_s_where_a_draw_may_have_no_value(missing):
    draws = np.random.default_rng(4).random((200, 3))
    draws[:missing, 1] = np.nan
    np.testing.assert_allclose(percentiles(draws), np.nanpercentile(draws, [2.5, 97.5], axis=0))


def test_intervals_cover_the_truth_in_95_percent_of_simulations_with_patient_clusters():
    random = np.random.default_rng(5)
    covered = 0
    for simulation in range(1000):
        skill = random.beta(2, 2, 150)  # a patient's chance to be right, 0.5 in the mean over patients
        patients = np.repeat(np.arange(150), 3)
        values = (random.random(450) < skill[patients]).astype(float)
        low, high = interval(values, patients, 400, simulation)
        covered += low <= 0.5 <= high
    assert 930 <= covered <= 970


def test_the_exact_test_counts_only_cases_that_differ():
    # 5 better, 1 worse, 4 equal: 2 x P(at most 1 of 6 at 1/2) = 2 x (1 + 6) / 64 = 0.21875
    these, those = np.array([1, 1, 1, 1, 1, 0, 1, 1, 0, 0.0]), np.array([0, 0, 0, 0, 0, 1, 1, 1, 0, 0.0])
    row = difference(*(mean(values, np.arange(10), Bootstrap()) for values in (these, those)))
    assert (row["better"], row["worse"], row["n"]) == (5, 1, 10)
    assert row["value"] == pytest.approx(0.4)  # (5 - 1) / 10
    assert row["p"] == pytest.approx(0.21875)


def test_two_equal_runs_differ_by_nothing():
    values = mean(np.random.default_rng(6).random(40), np.arange(40), Bootstrap(50))
    row = difference(values, values)
    assert (row["value"], row["interval"], row["p"]) == (0.0, [0.0, 0.0], 1.0)


def test_pairing_sees_a_gain_that_two_separate_intervals_hide():
    random = np.random.default_rng(7)
    before = random.random(300)  # cases differ far more than runs do
    after = before + 0.02 + random.normal(0, 0.01, 300)
    this, that = (mean(values, np.arange(300), Bootstrap()) for values in (after, before))
    assert that.interval()[1] > this.interval()[0]  # they overlap
    assert difference(this, that)["interval"][0] > 0
