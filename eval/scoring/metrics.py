"""What the numbers of a vote mean: pass@k and maj@n per case. Pure numpy on arrays.

Labels are integers, -1 where an answer is invalid; `labels[i, j]` is what sample j of case i says and `gold[i]` what is
right. A metric is one value per case, and its value for a run is their mean.
"""

import numpy as np

INVALID = -1

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
    gold_leads = (leads & (labels == gold[:, None])).any(axis=1)
    # Each tied label stands `most` times among the leading samples.
    tied = leads.sum(axis=1) / np.maximum(most, 1)
    return np.where(gold_leads, 1.0 / np.maximum(tied, 1), 0.0)
