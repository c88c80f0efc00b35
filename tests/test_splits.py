"""Rows are divided by label and by patient as said, the same on every machine."""

import numpy as np
import pytest

from data_prep import splits

SHARES = ((90, 10), (70, 20, 10))


def cohort(rows: int, seed: int, names: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Zipf-like labels; patients return up to a dozen times, often with the same label."""
    random = np.random.RandomState(seed)
    weights = 1 / (np.arange(names) + 2)
    labels = random.choice(names, rows, p=weights / weights.sum())
    subjects = np.cumsum(random.random_sample(rows) < 0.55)
    again = (random.random_sample(rows) < 0.3) & (np.diff(subjects, prepend=-1) == 0)
    labels[1:][again[1:]] = labels[:-1][again[1:]]
    return labels, subjects


@pytest.mark.parametrize("kind", ["stable", "stratified", "patient"])
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
