"""Rows are divided by label and by patient as said, the same on every machine."""

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from data_prep.cohort import splits
from tests.data_prep.cohort import scalar_quicksort
from tests.support.numpy_sorts import SCALAR, cpu, numpy_argsort

SHARES = ((90, 10), (70, 20, 10))


def killer(rows: int) -> np.ndarray:
    """Numbers that drive the quicksort into its heapsort: McIlroy's adversary decides them as they are compared."""
    value = [rows] * rows  # `rows` stands for: not decided yet
    state = {"next": 0, "candidate": 0}

    class Number:
        def __init__(self, place: int) -> None:
            self.place = place

        def __lt__(self, other: "Number") -> bool:
            one, two = self.place, other.place
            if value[one] == value[two] == rows:
                value[one if one == state["candidate"] else two] = state["next"]
                state["next"] += 1
            if value[one] == rows or value[two] == rows:
                state["candidate"] = one if value[one] == rows else two
            return value[one] < value[two]

        def __ge__(self, other: "Number") -> bool:
            return not self < other

    numbers = np.empty(rows, dtype=object)
    numbers[:] = [Number(place) for place in range(rows)]
    scalar_quicksort.argsort(numbers)
    return np.array(value)


def labels_to_sort() -> list[np.ndarray]:
    random = np.random.RandomState(0)
    sizes = (0, 1, 2, 15, 16, 17, 18, 33, 100, 1000, 20_000)
    drawn = [random.randint(0, kinds, rows) for rows in sizes for kinds in (2, 30, 738)]
    return [*drawn, np.arange(999), np.arange(999)[::-1], killer(2000), killer(2000) // 2, cohort(262_436, 0, 738)[0]]


def test_the_order_is_that_of_numpys_scalar_quicksort(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = labels_to_sort()
    heaps = []
    heapsort = scalar_quicksort._heapsort
    monkeypatch.setattr(scalar_quicksort, "_heapsort", lambda *where: heaps.append(where[2:]) or heapsort(*where))
    for array, scalar in zip(arrays, numpy_argsort(arrays, **SCALAR), strict=True):
        order = splits.scalar_order(array)
        assert np.array_equal(order, scalar) and np.array_equal(order, scalar_quicksort.argsort(array)), len(array)
    assert sum(high - low > 1000 for low, high in heaps) >= 2  # the killers do kill


def test_numpys_vector_sort_gives_another_order() -> None:
    assert cpu.__cpu_features__["AVX2"], "vLLM for CPUs needs it, too"
    labels, _ = cohort(20_000, 0)
    vector, scalar = (numpy_argsort([labels], **environment)[0] for environment in ({}, SCALAR))
    assert np.array_equal(labels[vector], labels[scalar]) and not np.array_equal(vector, scalar)


@pytest.mark.parametrize("seed", range(3))
def test_the_published_split_is_train_test_split_of_the_scalar_order(seed: int) -> None:
    labels, subjects = cohort(20_000, seed)
    order = numpy_argsort([labels], **SCALAR)[0]
    rank = np.unique(labels[order], return_inverse=True)[1]
    wanted = train_test_split(order, test_size=0.1, random_state=42, stratify=rank)
    parts, said = splits.published(labels, subjects, (90, 10))
    assert not said
    assert all(np.array_equal(*pair) for pair in zip(parts, wanted, strict=True))


def cohort(rows: int, seed: int, names: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Zipf-like labels; patients return up to a dozen times, often with the same label."""
    random = np.random.RandomState(seed)
    weights = 1 / (np.arange(names) + 2)
    labels = random.choice(names, rows, p=weights / weights.sum())
    subjects = np.cumsum(random.random_sample(rows) < 0.55)
    again = (random.random_sample(rows) < 0.3) & (np.diff(subjects, prepend=-1) == 0)
    labels[1:][again[1:]] = labels[:-1][again[1:]]
    return labels, subjects


@pytest.mark.parametrize("kind", ["published", "stable", "stratified", "patient"])
@pytest.mark.parametrize("shares", SHARES)
@pytest.mark.parametrize("seed", range(3))
def test_parts_hold_every_row_once_and_every_label_in_its_share(kind: str, shares: tuple[int, ...], seed: int) -> None:
    labels, subjects = cohort(20_000, seed)
    parts, said = getattr(splits, kind)(labels, subjects, shares)
    assert not said
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    for part, share in zip(parts, shares, strict=True):
        assert abs(len(part) - len(labels) * share / 100) <= 2
        counts = np.bincount(labels[part], minlength=120)
        for label, total in enumerate(np.bincount(labels, minlength=120)):
            # within 1 % of the cases, or one case where that is less than one
            assert total < 50 or abs(counts[label] - total * share / 100) <= max(1, 0.01 * total), (label, total)


@pytest.mark.parametrize("shares", SHARES)
@pytest.mark.parametrize("seed", range(3))
def test_patients_never_cross_the_split(shares: tuple[int, ...], seed: int) -> None:
    labels, subjects = cohort(5_000, seed)
    parts = splits.patient(labels, subjects, shares).parts
    patients = [set(subjects[part].tolist()) for part in parts]
    assert sum(map(len, patients)) == len(set(subjects.tolist()))


def test_labels_may_be_codes() -> None:
    labels, subjects = cohort(2_000, 0)
    codes = np.array([f"I{label:02d}" for label in labels])
    for one, other in zip(splits.patient(labels, subjects, (70, 20, 10)).parts,
                          splits.patient(codes, subjects, (70, 20, 10)).parts, strict=True):  # fmt: skip
        assert (len(one), len(other)) == (len(other), len(one))


def test_fewer_patients_than_parts_is_said() -> None:
    parts, said = splits.patient(np.array([1, 1, 2]), np.array([7, 7, 7]), (90, 10))
    assert [len(part) for part in parts] == [3, 0] and "too few patients" in said[0]
