"""The rows drawn are those of scikit-learn's train_test_split, which drew the papers' test sets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from data_prep.cohort import shuffle_split


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, float, int]:
    """Rows in any order, the stratum of each (two rows or more), a share of them, a seed."""
    counts = draw(st.lists(st.integers(2, 40), min_size=1, max_size=25))
    names = draw(st.permutations(range(len(counts))))
    random = np.random.RandomState(draw(st.integers(0, 2**32 - 1)))
    strata = random.permutation(np.repeat(names, counts))
    share = draw(st.sampled_from((0.01, 0.05, 0.1, 0.2, 0.25, 1 / 3, 0.5, 0.9)))
    return random.permutation(len(strata)) + 1000, strata, share, draw(st.integers(0, 2**32 - 1))


@given(cases())
@settings(max_examples=300, deadline=None)
def test_the_rows_drawn_are_scikit_learns(given: tuple[np.ndarray, np.ndarray, float, int]) -> None:
    rows, strata, share, seed = given
    places = int(np.ceil(share * len(rows)))
    if places >= len(rows):
        return
    left, drawn = train_test_split(rows, test_size=share, random_state=seed)
    ours = shuffle_split.plain(rows, places, seed)
    assert np.array_equal(ours[0], left) and np.array_equal(ours[1], drawn)
    if min(places, len(rows) - places) >= len(np.unique(strata)):  # scikit-learn refuses the others
        left, drawn = train_test_split(rows, test_size=share, random_state=seed, stratify=strata)
        ours = shuffle_split.stratified(rows, strata, places, seed)
        assert np.array_equal(ours[0], left) and np.array_equal(ours[1], drawn)


@pytest.mark.parametrize("share", [0.1, 0.01, 0.2])
def test_so_are_those_of_a_cohort_of_the_papers_size(share: float) -> None:
    random = np.random.RandomState(0)
    strata = np.minimum(random.zipf(1.3, 262_436), 738)
    strata = np.where(np.bincount(strata)[strata] < 2, 1, strata)
    left, drawn = train_test_split(np.arange(len(strata)), test_size=share, random_state=42, stratify=strata)
    ours = shuffle_split.stratified(np.arange(len(strata)), strata, int(np.ceil(share * len(strata))), 42)
    assert np.array_equal(ours[0], left) and np.array_equal(ours[1], drawn)
