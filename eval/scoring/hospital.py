"""What wrong codes cost: errors in relative weight, the case-mix index, and how many of them a review would catch.

    found = value(samples, "CMS-1655-F_Table_5.txt", 2017, Bootstrap())
    found["metrics"]["error"], found["review"]["curve"]

The answer of a case is the one with most votes (of several the one said first), or a classifier's most probable. A case
without a valid answer is coded as nothing: its weight is 0, so it is under-coded by the whole weight of its gold. So is
one that is answered with a DRG that is not paid for. Where all answers are equally certain, as with one sample a case,
or none is wrong, a review by certainty has nothing to show and there is no curve.
"""

from pathlib import Path
from typing import Any

import numpy as np

from common.commands import UserError, existing
from common.files import sha256
from eval.scoring.intervals import Bootstrap, means, ratios
from eval.scoring.metrics import Array
from eval.scoring.samples import Samples

ANSWER = (
    "the answer with most votes, of several the one said first, or the most probable; without a valid one, and for "
    "DRGs that are not paid for, the weight is 0"
)
METRICS = {
    "error": "mean of predicted minus gold weight",
    "absolute_error": "mean of its absolute value",
    "over_coding": "mean weight that is coded too much, over all cases",
    "under_coding": "mean weight that is coded too little, over all cases",
    "over_coded": "share of cases whose predicted weight is higher",
    "under_coded": "share of cases whose predicted weight is lower",
    "cmi_gold": "case-mix index of the golds: their mean weight",
    "cmi_predicted": "case-mix index of the answers: their mean weight",
    "no_answer": "share of cases without a valid answer that is paid for",
}
SHARES = ("over_coded", "under_coded", "no_answer")
REVIEW = (
    "share of all absolute weight error that stands in the least certain cases, certainty being the share of the "
    "samples that say the answer, or its probability; of cases that are equally certain a fair draw is reviewed. Cases "
    "drawn at random would catch their own share"
)
PARTS = np.linspace(0.05, 1, 20)


def value(samples: Samples, path: str, year: int, bootstrap: Bootstrap) -> dict[str, Any]:
    """The block `value` of scores.json."""
    if samples.task.weights is None:
        raise UserError(f"--weights is for DRGs, and {samples.folder} holds {samples.task.source}; leave it out")
    ballots, golds = samples.ballots(), samples.golds()
    answers = [next(iter(ballot.answers), None) for ballot in ballots]
    existing(path, "the file of weights", "check --weights")
    try:
        weights = samples.task.weights(path, year, {*golds, *filter(None, answers)})
    except IsADirectoryError as error:
        raise UserError(f"{path} is a folder; give the file of weights itself") from error
    except ValueError as error:
        raise UserError(str(error)) from error
    gold = np.array([weights.get(title, 0.0) for title in golds])
    said = np.array([weights.get(title, 0.0) for title in answers])
    error = said - gold
    columns = (
        *(error, abs(error), np.maximum(error, 0), np.maximum(-error, 0), error > 0, error < 0, gold, said),
        np.array([answer not in weights for answer in answers]),
    )
    estimates = means(np.column_stack(columns).astype(float), samples.patients, bootstrap)
    metrics = {
        name: estimate.cell() | {"n": estimate.n, "definition": text}
        for (name, text), estimate in zip(METRICS.items(), estimates, strict=True)
    }
    sure = np.array([ballot.sure for ballot in ballots])
    curve = []
    if error.any() and len({ballot.sure for ballot in ballots if ballot.answers}) > 1:
        caught = ratios(
            reviewed(sure) * abs(error)[:, None], abs(error)[:, None] * np.ones(len(PARTS)), samples.patients, bootstrap
        )
        curve = [{"reviewed": float(part), **each.cell()} for part, each in zip(PARTS, caught, strict=True)]
    return {
        "weights": {"file": Path(path).name, "sha256": sha256(path), "year": year},
        "answer": ANSWER,
        "metrics": metrics,
        "review": {"definition": REVIEW, "curve": curve},
    }


def reviewed(sure: Array) -> Array:
    """How much of each case is reviewed when each share of PARTS is: 1, 0, or for equally certain cases between."""
    _, level, sizes = np.unique(sure, return_inverse=True, return_counts=True)
    below = np.cumsum(sizes) - sizes
    return np.clip((PARTS * len(sure) - below[level][:, None]) / sizes[level][:, None], 0, 1)


def lines(found: dict[str, Any]) -> list[tuple[str, dict[str, Any], bool]]:
    """What the terminal shows: name, cell, and whether it is a share."""
    cells = [(name, cell, name in SHARES) for name, cell in found["metrics"].items()]
    fifth = [row for row in found["review"]["curve"] if abs(row["reviewed"] - 0.2) < 1e-9]
    return [*cells, *(("caught in 20 %", row, True) for row in fifth)]
