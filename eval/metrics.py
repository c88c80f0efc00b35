"""What the numbers mean: pass@k, maj@n, their intervals, and the comparison of two runs. Pure numpy on arrays.

A metric is one value per case (an array of N) and its value is their mean. Labels are integers, -1 where an answer is
invalid; `labels[i, j]` is what sample j of case i says and `gold[i]` what is right.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

INVALID = -1
LEVEL = 0.95
DRAWS_AT_ONCE = 64
SAME = 1e-12  # values of two runs closer than this are equal

Array = np.ndarray


def pass_at_k(right: Array, k: int) -> Array:
    """Per case, the chance that k of its n samples, drawn without replacement, hold a right one.

    With c right of n: 1 - C(n-c, k) / C(n, k), the unbiased estimate of pass@k; k = 1 is the mean.
    """
    n = right.shape[1]
    if not 1 <= k <= n:
        raise ValueError(f"pass@{k} needs k between 1 and the {n} samples of a case")
    wrong = n - right.sum(axis=1)
    # C(w, k) / C(n, k) is the product over i < k of (w - i) / (n - i); w < k makes one factor 0.
    factors = np.clip(wrong[:, None] - np.arange(k), 0, None) / (n - np.arange(k))
    return 1.0 - factors.prod(axis=1)


def majority(labels: Array, gold: Array, ties: str = "fractional") -> Array:
    """Per case, whether the most frequent valid label is the gold; invalid answers do not vote, no vote at all is 0.

    When several labels tie, `fractional` gives 1 / their number if the gold is among them (the chance that a fair draw
    picks it) and `first` takes the one that was said first.
    """
    votes = (labels[:, :, None] == labels[:, None, :]).sum(axis=2)
    votes[labels == INVALID] = 0
    most = votes.max(axis=1)
    leads = (votes == most[:, None]) & (labels != INVALID)
    if ties == "first":
        said = np.take_along_axis(labels, leads.argmax(axis=1)[:, None], axis=1)[:, 0]
        return ((said == gold) & (most > 0)).astype(float)
    if ties != "fractional":
        raise ValueError(f"ties must be fractional or first, not {ties!r}")
    gold_leads = (leads & (labels == gold[:, None])).any(axis=1)
    # Each tied label stands `most` times among the leading samples.
    tied = leads.sum(axis=1) / np.maximum(most, 1)
    return np.where(gold_leads, 1.0 / np.maximum(tied, 1), 0.0)


@dataclass(frozen=True)
class Bootstrap:
    """Resamples patients with all their cases; the same seed draws the same patients."""

    draws: int = 1000
    seed: int = 0

    def intervals(self, values: Array, clusters: Array) -> Array:
        """The 95 % percentile intervals, shape (2, M), of the means of the M columns of `values` (N, M)."""
        names, cluster = np.unique(clusters, return_inverse=True)
        size = len(names)
        sums = np.zeros((size, values.shape[1] + 1))  # the last column counts the cases of a patient
        np.add.at(sums, cluster, np.column_stack([values, np.ones(len(values))]))
        random = np.random.default_rng(self.seed)
        means = np.empty((self.draws, values.shape[1]))
        for start in range(0, self.draws, DRAWS_AT_ONCE):
            now = min(DRAWS_AT_ONCE, self.draws - start)
            drawn = random.integers(0, size, (now, size)) + np.arange(now)[:, None] * size
            weights = np.bincount(drawn.ravel(), minlength=now * size).reshape(now, size)
            totals = weights.astype(float) @ sums
            means[start : start + now] = totals[:, :-1] / totals[:, -1:]
        return np.percentile(means, [50 * (1 - LEVEL), 50 * (1 + LEVEL)], axis=0)


def paired_differences(these: Array, those: Array, clusters: Array, bootstrap: Bootstrap) -> list[dict[str, Any]]:
    """For each column (metric) of two (N, M) arrays over the same cases: mean of these - those, interval, exact test.

    The test is McNemar's exact one where values are 0 or 1: among the cases whose values differ, is each direction
    equally likely?
    """
    from scipy.stats import binomtest

    difference = these - those
    better, worse = (difference > SAME).sum(axis=0), (difference < -SAME).sum(axis=0)
    return [
        {
            "value": float(mean),
            "interval": [float(low), float(high)],
            "n": len(difference),
            "better": int(more),
            "worse": int(less),
            "p": float(binomtest(int(more), int(more + less), 0.5).pvalue) if more + less else 1.0,
        }
        for mean, low, high, more, less in zip(
            difference.mean(axis=0), *bootstrap.intervals(difference, clusters), better, worse, strict=True
        )
    ]
