"""Divide rows into train and test, and draw stratified samples; the same rows and seed always give the same division.

All functions take and give arrays of row numbers. scikit-learn's `train_test_split` does the drawing; what it refuses
(a label with one row, fewer places than labels) is done without stratification and said in `Sample.said`.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

SEED = 42
TEST_SHARE = 0.1

Rows = np.ndarray


class Sample(NamedTuple):
    """The rows drawn, those left, and what could not be done as asked ("" if nothing)."""

    drawn: Rows
    rest: Rows
    said: str


def draw(rows: Rows, labels: np.ndarray, share: float, seed: int = SEED) -> Sample:
    """Draw this share of the rows (rounded up), stratified by label; `labels` are of all rows, not of these only."""
    from sklearn.model_selection import train_test_split

    places = math.ceil(len(rows) * share)
    if places == 0 or places >= len(rows):
        return Sample(rows[:places], rows[places:], f"too few rows ({len(rows)}) to divide")
    strata, alone = strata_of(labels[rows])
    if min(places, len(rows) - places) < len(np.unique(strata)):
        rest, drawn = train_test_split(rows, test_size=places, random_state=seed)
        said = f"not stratified: {places} of {len(rows)} rows for {len(np.unique(labels[rows]))} labels"
        return Sample(drawn, rest, said)
    rest, drawn = train_test_split(rows, test_size=share, random_state=seed, stratify=strata)
    return Sample(drawn, rest, f"{alone} labels with one row are drawn as if they were one label" if alone else "")


def strata_of(labels: np.ndarray) -> tuple[np.ndarray, int]:
    """A stratum for every row, and how many labels have a single row: those share one stratum."""
    names, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    alone = int((counts == 1).sum())
    # a stratum needs two rows: a label that is the only single one joins the most frequent label
    shared = len(names) if alone > 1 else int(counts.argmax())
    return np.where(counts[place] == 1, shared, place), alone


def stable(labels: np.ndarray, subjects: np.ndarray) -> Sample:
    """Test rows by admission: sorted by label (a stable sort, the same on every CPU), then drawn stratified."""
    return draw(np.argsort(labels, kind="stable"), labels, TEST_SHARE)


def patient(labels: np.ndarray, subjects: np.ndarray) -> Sample:
    """Test rows by patient: nobody is on both sides, and every label keeps its share as well as that allows.

    Patients come in random order; one goes to the test side if the labels of their rows are owed more than half a row
    each. Labels too rare to be owed that much leave the test side short: then those who are owed most fill it.
    """
    order = np.argsort(subjects, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(subjects[order])) + 1)
    np.random.RandomState(SEED).shuffle(shuffled := np.arange(len(groups)))
    owed: dict[int, float] = dict.fromkeys(labels.tolist(), 0.0)
    test: list[np.ndarray] = []
    left: list[np.ndarray] = []

    def claim(group: np.ndarray) -> float:
        return sum(owed[label] for label in labels[group].tolist()) / len(group)

    def take(group: np.ndarray) -> None:
        test.append(group)
        for label in labels[group].tolist():
            owed[label] -= 1

    for group in (groups[i] for i in shuffled):
        for label in labels[group].tolist():
            owed[label] += TEST_SHARE
        if claim(group) > 0.5:
            take(group)
        else:
            left.append(group)
    missing = round(len(labels) * TEST_SHARE) - sum(map(len, test))
    for group in sorted(left, key=claim, reverse=True):
        if len(group) <= missing:
            missing -= len(group)
            take(group)
    if not test:
        return Sample(order[:0], order, f"too few patients ({len(groups)}) to divide")
    drawn = np.sort(np.concatenate(test))
    return Sample(drawn, np.setdiff1d(order, drawn), "")


SPLITS: dict[str, Callable[[np.ndarray, np.ndarray], Sample]] = {"stable": stable, "patient": patient}
