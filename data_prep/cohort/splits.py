"""Divide rows into parts such as train and test, and draw stratified samples; same rows, same seed, same division.

    train, test = splits.patient(labels, subjects, (90, 10)).parts
    train, test, val = splits.stratified(labels, subjects, (70, 20, 10)).parts

Rows are arrays of row numbers; shares are whole numbers in proportion. Rows are drawn as scikit-learn's
`train_test_split` draws them; what it refuses (a label with one row, fewer places than labels) is done without
stratification and said.
"""

import heapq
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from data_prep.cohort import shuffle_split

SEED = 42

Rows = np.ndarray


class Sample(NamedTuple):
    """The rows drawn, those left, and what could not be done as asked ("" if nothing)."""

    drawn: Rows
    rest: Rows
    said: str


class Division(NamedTuple):
    """The parts in the order of their shares, and what could not be done as asked, a sentence each."""

    parts: tuple[Rows, ...]
    said: tuple[str, ...]


def draw(rows: Rows, labels: np.ndarray, share: float, seed: int = SEED) -> Sample:
    """Draw this share of the rows (rounded up), stratified by label; `labels` are of all rows, not of these only."""
    places = math.ceil(len(rows) * share)
    if places == 0 or places >= len(rows):
        return Sample(rows[:places], rows[places:], f"too few rows ({len(rows)}) to divide")
    strata, alone = strata_of(labels[rows])
    if min(places, len(rows) - places) < len(np.unique(strata)):
        rest, drawn = shuffle_split.plain(rows, places, seed)
        said = f"not stratified: {places} of {len(rows)} rows for {len(np.unique(labels[rows]))} labels"
        return Sample(drawn, rest, said)
    rest, drawn = shuffle_split.stratified(rows, strata, places, seed)
    return Sample(drawn, rest, f"{alone} labels with one row are drawn as if they were one label" if alone else "")


def frequent(rows: Rows, labels: np.ndarray, fewest: int) -> Rows:
    """The rows whose label has at least so many of them."""
    names, counts = np.unique(labels[rows], return_counts=True)
    return rows[np.isin(labels[rows], names[counts >= fewest])]


def strata_of(labels: np.ndarray) -> tuple[np.ndarray, int]:
    """A stratum for every row, and how many labels have a single row: those share one stratum."""
    names, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    alone = int((counts == 1).sum())
    # a stratum needs two rows: a label that is the only single one joins the most frequent label
    shared = len(names) if alone > 1 else int(counts.argmax())
    return np.where(counts[place] == 1, shared, place), alone


def divide(rows: Rows, labels: np.ndarray, shares: Sequence[int]) -> Division:
    """Draw the last part from all rows, the one before it from what is left, and so on; the first is the rest."""
    parts: list[Rows] = []
    said = []
    for last in range(len(shares) - 1, 0, -1):
        sample = draw(rows, labels, shares[last] / sum(shares[: last + 1]))
        rows = sample.rest
        parts.insert(0, sample.drawn)
        said += [f"part {last + 1} of {len(shares)}: {sample.said}"] * bool(sample.said)
    return Division((rows, *parts), tuple(said))


def published(labels: np.ndarray, subjects: np.ndarray, shares: Sequence[int]) -> Division:
    """By admission: sorted as numpy's scalar quicksort does, then drawn stratified, as DRG-LLaMA's test set was."""
    return divide(scalar_order(labels), labels, shares)


def scalar_order(labels: np.ndarray) -> np.ndarray:
    """The positions that sort whole numbers, equal ones in the order in which numpy's scalar quicksort leaves them.

    numpy's `argsort` is an unstable sort: where it leaves equal numbers depends on the code that the CPU selects for
    their type. The published cohort was sorted by the scalar code (numpy 1.24.3), and time spans have no other.
    """
    return np.argsort(labels.astype("timedelta64[s]"))


def stable(labels: np.ndarray, subjects: np.ndarray, shares: Sequence[int]) -> Division:
    """By admission: sorted by label (a stable sort, the same on every CPU), then drawn stratified."""
    return divide(np.argsort(labels, kind="stable"), labels, shares)


def stratified(labels: np.ndarray, subjects: np.ndarray, shares: Sequence[int]) -> Division:
    """By admission, in the order of the rows, drawn stratified."""
    return divide(np.arange(len(labels)), labels, shares)


def patient(labels: np.ndarray, subjects: np.ndarray, shares: Sequence[int]) -> Division:
    """By patient: nobody is in two parts, and every label keeps its shares as well as that allows.

    Patients with many rows come first, in random order: each goes to the part that is owed most rows of their labels so
    far. Those with one row, who fit anywhere, then fill every label's shares. A label too rare to be owed a row in a
    small part leaves that part short: the patients that it is owed most move there.
    """
    _, label = np.unique(labels, return_inverse=True)
    order = np.argsort(subjects, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(subjects[order])) + 1) if len(order) else []
    if len(groups) < len(shares):
        return Division((order, *[order[:0]] * (len(shares) - 1)), (f"too few patients ({len(groups)}) to divide",))
    ledger = _Ledger([label[group].tolist() for group in groups], [each / sum(shares) for each in shares])
    by_chance = np.random.RandomState(SEED).permutation(len(groups))
    by_size = by_chance[np.argsort([-len(groups[i]) for i in by_chance], kind="stable")].tolist()
    several = [group for group in by_size if len(groups[group]) > 1]
    single = by_size[len(several) :]
    for group in several:
        ledger.owe(group)
        ledger.give(group, ledger.neediest(group))
    for group in single:
        ledger.owe(group)
    for group in single:
        ledger.give(group, ledger.neediest(group))
    ledger.fill()
    place = np.repeat(ledger.place, [len(group) for group in groups])
    return Division(tuple(np.sort(order[place == part]) for part in range(len(shares))), ())


class _Ledger:
    """Which part every group of rows is in, and how many rows of each label every part is still owed."""

    def __init__(self, labels: list[list[int]], share: list[float]) -> None:
        self.labels, self.share = labels, share
        self.owed = [[0.0] * (max(map(max, labels)) + 1) for _ in share]
        self.place = [0] * len(labels)

    def claim(self, part: int, group: int) -> float:
        """Rows owed to the part, over the labels of the group."""
        return sum(self.owed[part][label] for label in self.labels[group]) / len(self.labels[group])

    def neediest(self, group: int) -> int:
        return max(range(len(self.share)), key=lambda part: self.claim(part, group))

    def owe(self, group: int) -> None:
        """Every part is owed its share of the group's rows."""
        for part, share in enumerate(self.share):
            for label in self.labels[group]:
                self.owed[part][label] += share

    def give(self, group: int, part: int, sign: int = 1) -> None:
        self.place[group] = part
        for label in self.labels[group]:
            self.owed[part][label] -= sign

    def fill(self) -> None:
        """Move groups from parts with too many rows to those with too few, first where no label loses much."""
        rows = [len(labels) for labels in self.labels]
        spare = [-round(sum(rows) * share) for share in self.share]
        for group, part in enumerate(self.place):
            spare[part] += rows[group]
        for short in (part for part, rows_left in enumerate(spare) if rows_left < 0):

            def loss(group: int, short: int = short) -> float:
                source, target = self.owed[self.place[group]], self.owed[short]
                rows_of = Counter(self.labels[group])
                return max(source[label] - target[label] + count for label, count in rows_of.items())

            waiting = [(loss(group), group) for group, part in enumerate(self.place) if spare[part] > 0]
            heapq.heapify(waiting)
            while waiting and spare[short] < 0:
                before, group = heapq.heappop(waiting)
                if loss(group) > before:  # a move since then has met the claim of its labels
                    heapq.heappush(waiting, (loss(group), group))
                elif rows[group] <= min(-spare[short], spare[self.place[group]]):
                    spare[self.place[group]] -= rows[group]
                    spare[short] += rows[group]
                    self.give(group, self.place[group], -1)
                    self.give(group, short)


Split = Callable[[np.ndarray, np.ndarray, Sequence[int]], Division]
SPLITS: dict[str, Split] = {"published": published, "stable": stable, "patient": patient}
