"""Draw rows at random, stratified or not: the very rows that scikit-learn's `train_test_split` draws, with numpy alone.

    rest, drawn = shuffle_split.stratified(rows, strata, places, seed)
    rest, drawn = shuffle_split.plain(rows, places, seed)

DRG-LLaMA's test set is a draw of that function. It is frozen here: a later scikit-learn may draw other rows, and to
import it takes as long as to prepare tens of thousands of notes.
"""

import numpy as np

Rows = np.ndarray


def plain(rows: Rows, places: int, seed: int) -> tuple[Rows, Rows]:
    """The rows left and the rows drawn, each in random order."""
    order = np.random.RandomState(seed).permutation(len(rows))
    return rows[order[places:]], rows[order[:places]]


def stratified(rows: Rows, strata: np.ndarray, places: int, seed: int) -> tuple[Rows, Rows]:
    """The same with every stratum's share in both; `strata` names that of each row."""
    random = np.random.RandomState(seed)
    _, strata, counts = np.unique(strata, return_inverse=True, return_counts=True)
    left = _shares(counts, len(rows) - places, random)
    drawn = _shares(counts - left, places, random)
    members = np.split(np.argsort(strata, kind="stable"), np.cumsum(counts)[:-1])
    shuffled = [own[random.permutation(len(own))] for own in members]
    rest = np.concatenate([own[:most] for own, most in zip(shuffled, left, strict=True)])
    chosen = np.concatenate([own[a : a + b] for own, a, b in zip(shuffled, left, drawn, strict=True)])
    return rows[random.permutation(rest)], rows[random.permutation(chosen)]


def _shares(counts: np.ndarray, places: int, random: np.random.RandomState) -> np.ndarray:
    """Whole places of each stratum: its share rounded down, and one more where most is missing, by lot among equals."""
    exact = counts / counts.sum() * places
    whole = np.floor(exact)
    missing = exact - whole
    owed = int(places - whole.sum())
    for value in np.unique(missing)[::-1]:
        if owed <= 0:
            break
        (equals,) = np.nonzero(missing == value)
        lucky = random.choice(equals, size=min(len(equals), owed), replace=False)
        whole[lucky] += 1
        owed -= len(lucky)
    return whole.astype(int)
