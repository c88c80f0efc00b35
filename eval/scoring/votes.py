"""What the votes of n samples say of each case, how sure they are, and how right they are then.

    found = ballot(task, labels)
    found.answers, found.others, found.sure

An answer is what most samples say (a tie goes to what was said first), or, where answers are sets, every member that at
least the share `least` of them says. Its share of the votes is how sure it is; a set is as sure as its members are on
average. Samples without a valid answer vote for nothing and count all the same.

A classifier's probabilities are shares as they are; where answers are sets, its votes are what it says at each
hundredth of probability.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from eval.scoring.intervals import Bootstrap, ratios
from eval.scoring.metrics import Array
from reward_fns.task import Task

LEAST = 0.5  # of the votes, for a member of a set
MOST_STEPS = 20  # of the risk-coverage table
STEPS = 100  # of a probability


class Ballot(NamedTuple):
    """The answers of a case (none, one, or the members of a set) and what else was said, each with its share of votes,
    and how sure the answer is."""

    answers: dict[str, float]
    others: dict[str, float]
    sure: float

    @property
    def shares(self) -> dict[str, float]:
        return {**self.answers, **self.others}


def ballot(task: Task, said: Sequence[str | None], least: float = LEAST) -> Ballot:
    """What the samples of a case say; each is a label of the finest level, None where it says nothing valid."""
    votes = Counter(part for label in said if label for part in (label.split(task.sets) if task.sets else [label]))
    return chosen(task, {label: count / len(said) for label, count in votes.most_common()}, least)


def chosen(task: Task, shares: Mapping[str, float], least: float = LEAST) -> Ballot:
    """The same of shares, the highest first; of equals the first is taken."""
    if task.sets:
        answers = {label: share for label, share in shares.items() if share >= least}
    else:
        answers = dict(list(shares.items())[:1])
    others = {label: share for label, share in shares.items() if label not in answers}
    return Ballot(answers, others, float(np.mean(list(answers.values()))) if answers else 0.0)


def steps(task: Task, shares: Mapping[str, float]) -> list[str]:
    """The sets that are said with at least each hundredth of probability."""
    needed = (step / STEPS for step in range(1, STEPS + 1))
    return [task.sets.join(label for label, share in shares.items() if share >= least) for least in needed]


def value(task: Task, ballot: Ballot, gold: str) -> float:
    """How right a ballot is: 1 or 0, or the F1 of a set."""
    if not task.sets:
        return float(gold in ballot.answers)
    right = set(gold.split(task.sets))
    return 2 * len(right & ballot.answers.keys()) / (len(right) + len(ballot.answers))


def risk_coverage(sure: Array, value: Array, patients: Array, bootstrap: Bootstrap) -> list[dict[str, Any]]:
    """How right the cases are that are at least so sure, from the surest on: share, coverage, accuracy, interval."""
    steps = np.unique(sure)[::-1]
    if len(steps) > MOST_STEPS:
        steps = np.unique(np.quantile(sure, np.linspace(0, 1, MOST_STEPS), method="lower"))[::-1]
    covered = (sure[:, None] >= steps).astype(float)
    estimates = ratios(covered * value[:, None], covered, patients, bootstrap)
    shares = zip(steps.tolist(), covered.mean(axis=0).tolist(), estimates, strict=True)
    return [
        {"share": step, "coverage": part, "accuracy": each.value, "interval": each.interval(), "n": each.n}
        for step, part, each in shares
    ]


def recommended(table: Sequence[dict[str, Any]], accuracy: float) -> float | None:
    """The lowest share of votes from which on the answers are right so often; None where none is."""
    return min((row["share"] for row in table if row["accuracy"] >= accuracy), default=None)
