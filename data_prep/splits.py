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
    counts = dict(zip(*np.unique(labels[rows], return_counts=True), strict=True))
    single = np.array([counts[label] == 1 for label in labels[rows]])
    many, alone = rows[~single], rows[single]
    classes = len(counts) - len(alone)
    if min(math.ceil(len(many) * share), len(many) - math.ceil(len(many) * share)) < max(classes, 1):
        rest, drawn = train_test_split(rows, test_size=places, random_state=seed)
        return Sample(drawn, rest, f"not stratified: {places} of {len(rows)} rows for {len(counts)} labels")
    rest, drawn = train_test_split(many, test_size=share, random_state=seed, stratify=labels[many])
    said = f"{len(alone)} labels with one row are not drawn from" if len(alone) else ""
    return Sample(drawn, np.concatenate([rest, alone]), said)


def stable(labels: np.ndarray, subjects: np.ndarray) -> Sample:
    """Test rows by admission: sorted by label (a stable sort, the same on every CPU), then drawn stratified."""
    return draw(np.argsort(labels, kind="stable"), labels, TEST_SHARE)


def patient(labels: np.ndarray, subjects: np.ndarray) -> Sample:
    """Test rows by patient: nobody is on both sides, and every label keeps its share as well as that allows.

    Patients come in random order; one goes to the test side if that brings the labels of their rows nearer to their
    share of the rows seen so far.
    """
    order = np.argsort(subjects, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(subjects[order])) + 1) if len(order) else []
    np.random.RandomState(SEED).shuffle(shuffled := np.arange(len(groups)))
    owed: dict[int, float] = {}
    test: list[np.ndarray] = []
    for place in shuffled:
        group = groups[place]
        for label in labels[group]:
            owed[label] = owed.get(label, 0.0) + TEST_SHARE
        if sum(owed[label] for label in labels[group]) > len(group) / 2:
            test.append(group)
            for label in labels[group]:
                owed[label] -= 1
    drawn = np.sort(np.concatenate(test)) if test else np.array([], dtype=np.int64)
    rest = np.setdiff1d(order, drawn)
    return Sample(drawn, rest, "" if len(drawn) else "too few patients for a test set")


SPLITS: dict[str, Callable[[np.ndarray, np.ndarray], Sample]] = {"stable": stable, "patient": patient}
