"""What p(+) by position is worth: the best note found, labels told apart, probabilities that mean what they say.

    cases = grouped(rows, "a_verify.parquet")
    found = choices(cases, rows, shares)         # by aggregation and baseline, a value per case
    accuracies(found)["mean"]                    # {value, interval, n}

A case counts 1 when its best note has the highest score, and 1/k when k notes share it: a fair draw, which does not
gain from the order of the candidates. Intervals of accuracies are Wilson's, all others are from a bootstrap over cases.
"""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

import numpy as np

from common.commands import UserError
from eval.scoring.intervals import NORMAL, Bootstrap, difference, means, ratios
from eval.scoring.metrics import Array
from reward_fns.clinical_note.alterations import CAUSES
from reward_fns.clinical_note.notes import KINDS, RIGHT, WRONG
from reward_fns.clinical_note.scores import AGGREGATIONS, best

Rows = Sequence[Mapping[str, Any]]
Shares = Sequence[Sequence[float]]
BINS = 10
BASELINES = {
    "most labels": lambda row: len(row["positions"]),
    "fewest labels": lambda row: -len(row["positions"]),
    "longest text": lambda row: sum(len(position.text) for position in row["positions"]),
    "shortest text": lambda row: -sum(len(position.text) for position in row["positions"]),
}
CHANCE = "chance"


def grouped(rows: Rows, path: str) -> list[list[int]]:
    """The rows of every case; each has two candidates or more, and exactly one of them is the best."""
    cases: dict[str, list[int]] = {}
    for at, row in enumerate(rows):
        cases.setdefault(row["case"], []).append(at)
    for case, group in cases.items():
        count = sum(rows[at]["best"] for at in group)
        if len(group) < 2 or count != 1:
            raise UserError(
                f"{path}: case {case} has {len(group)} candidates, {count} of them the best; give it 2 and 1"
            )
        if len({rows[at]["candidate"] for at in group}) < len(group):
            raise UserError(f"{path}: case {case} has two candidates of one number; number them anew")
    return list(cases.values())


def scores(row: Mapping[str, Any], shares: Sequence[float]) -> dict[str, float]:
    """The note's score by every aggregation."""
    kinds = [position.kind for position in row["positions"]]
    return {name: score(kinds, shares) for name, score in AGGREGATIONS.items()}


def choices(cases: list[list[int]], rows: Rows, shares: Shares) -> dict[str, Array]:
    """Per aggregation and baseline, whether each case's best note is chosen."""
    scored = [scores(row, of) for row, of in zip(rows, shares, strict=True)]
    tables = {name: [one[name] for one in scored] for name in AGGREGATIONS}
    tables |= {name: [float(count(row)) for row in rows] for name, count in BASELINES.items()}
    found = {name: np.array([_hit(group, rows, table) for group in cases]) for name, table in tables.items()}
    return found | {CHANCE: np.array([1 / len(group) for group in cases])}


def _hit(group: list[int], rows: Rows, table: list[float]) -> float:
    highest = best([table[at] for at in group])
    return any(rows[group[at]]["best"] for at in highest) / len(highest)


def accuracies(found: Mapping[str, Array]) -> dict[str, dict[str, Any]]:
    """Value, interval and number of cases; chance is known exactly."""
    return {
        name: {
            "value": (value := float(hits.mean())),
            "interval": [value, value] if name == CHANCE else wilson(float(hits.sum()), len(hits)),
            "n": len(hits),
        }
        for name, hits in found.items()
    }


def wilson(right: float, n: int) -> list[float]:
    """Wilson's 95 % interval of a share."""
    share, z = right / n, NORMAL**2 / n
    middle, half = share + z / 2, sqrt(z * (share * (1 - share) + z / 4))
    return [max(0.0, (middle - half) / (1 + z)), min(1.0, (middle + half) / (1 + z))]


def paired(these: Mapping[str, Array], those: Mapping[str, Array], bootstrap: Bootstrap) -> dict[str, dict[str, Any]]:
    """Every one of these minus every one of those over the same cases, but for itself."""
    names = {f"{one} - {other}": (these[one], those[other]) for one in these for other in those if one != other}
    found = {}
    for name, (one, other) in names.items():
        this, that = means(np.stack([one, other], axis=1), np.arange(len(one)), bootstrap)
        found[name] = difference(this, that)
    return found


def positions(rows: Rows, shares: Shares, bootstrap: Bootstrap) -> dict[str, Any]:
    """Labels told apart: by kind of position the recall of + and of -, and the area under the curve; by error the
    share that is found; all where labels are known."""
    known = [
        (row["case"], position.kind, position.label, cause, share)
        for row, of in zip(rows, shares, strict=True)
        for position, cause, share in zip(row["positions"], row["causes"], of, strict=True)
        if position.label
    ]
    if not known:
        return {}
    cases, kinds, labels, causes = (np.array(column) for column in list(zip(*known, strict=True))[:4])
    share = np.array([one[-1] for one in known])
    right = np.where(labels == RIGHT, share >= 0.5, share < 0.5)
    groups = {kind: kinds == kind for kind in KINDS}
    columns = {f"{kind} {label}": of & (labels == label) for kind, of in groups.items() for label in (RIGHT, WRONG)}
    columns |= {cause: causes == cause for cause in CAUSES}
    chosen = np.stack(list(columns.values()), axis=1).astype(float)
    estimates = ratios(chosen * right[:, None], chosen, cases, bootstrap)
    found = {name: one.cell() | {"n": int(one.n)} for name, one in zip(columns, estimates, strict=True) if one.n}
    areas = {kind: _area(labels[of] == RIGHT, share[of]) for kind, of in groups.items()}
    return {"recall": found, "area": areas, "calibration": calibration(labels == RIGHT, share)}


def _area(right: Array, share: Array) -> float | None:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(right, share)) if 0 < right.sum() < len(right) else None


def calibration(right: Array, share: Array) -> dict[str, Any]:
    """Positions by p(+) in bins of a tenth, and the mean distance between p(+) and the share of + (ECE)."""
    at = np.minimum((share * BINS).astype(int), BINS - 1)
    rows = [
        {"n": int(inside.sum()), "p": float(share[inside].mean()), "right": float(right[inside].mean())}
        for inside in (at == number for number in range(BINS))
        if inside.any()
    ]
    error = sum(row["n"] * abs(row["p"] - row["right"]) for row in rows) / len(share)
    return {"bins": rows, "error": float(error)}
