"""Precision, recall and F1 of answers that are sets, member by member: micro, macro and per case, and of votes.

Every case and member is a pair that is gold or not, said or not. Micro averages sum over the pairs of all cases and
samples; macro averages are those of eval.scoring.averages over the members; per case means the mean over cases (and
samples) of the measure within a case. 0 / 0 = 0, as in scikit-learn with zero_division=0. An answer without a set says
nothing.

With n samples a member's votes are the samples that say it. Average precision is the sum over the shares of votes of
precision times the recall that each adds, over all pairs of a case and a member that anybody says or that is gold.
A classifier votes by its probabilities (eval.scoring.votes).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.scoring import averages
from eval.scoring.averages import MEASURES
from eval.scoring.intervals import SAME, Bootstrap, Estimate, divide, means, number, ratios
from eval.scoring.labels import Labelled
from eval.scoring.metrics import Array
from eval.scoring.votes import LEAST
from reward_fns.task import Task

Found = tuple[str, Estimate, str, float | None]  # name, estimate, definition, labels
MACRO = {
    "": "over the codes that are gold or predicted",
    "@gold": "over the codes that are gold",
}
AP = "average precision of {votes}, over all pairs of a case and a code that is gold or predicted"


@dataclass(frozen=True)
class Members:
    """One level as sparse matrices of cases x members, 1 where a member belongs to the set."""

    said: Sequence[Any]  # one for each sample
    gold: Any
    names: tuple[str, ...]

    @property
    def votes(self) -> Any:
        """How many samples say each member."""
        return sum(self.said[1:], self.said[0])


def members(labelled: Labelled, level: int, joint: str) -> Members:
    """The sets of a level; `joint` stands between the members of a label."""
    from scipy.sparse import csr_array

    sets = [label.split(joint) for label in labelled.names[level]]
    names = sorted({name for each in sets for name in each})
    place = {name: i for i, name in enumerate(names)}
    at = [place[name] for each in sets for name in each]
    ends = np.cumsum([0, *map(len, sets), 0])  # the last row, that of metrics.INVALID, is empty
    of_label = csr_array((np.ones(len(at)), at, ends), shape=(len(sets) + 1, len(names)))
    said = [of_label[each] for each in labelled.said[:, :, level].T]
    return Members(said, of_label[labelled.gold[:, level]], tuple(names))


def measure(task: Task, labelled: Labelled, voting: Labelled, patients: Array, bootstrap: Bootstrap) -> Iterator[Found]:
    """Every metric of sets by name, level by level; `voting` has the votes, where those are not the answers."""
    votes = "the votes of {} samples" if voting is labelled else "the probability in {} steps"
    for i, level in enumerate(task.levels):
        of = members(labelled, i, task.sets)
        for name, estimate, text, labels in _averages(of, patients, bootstrap):
            yield f"{level.key}/{name}", estimate, f"{level.title}: {text}", labels
        of = of if voting is labelled else members(voting, i, task.sets)
        if (n := len(of.said)) > 1:
            estimate = average_precision(by_votes(of), patients, bootstrap)
            text = AP.format(votes=votes.format(n))
            yield f"{level.key}/ap", estimate, f"{level.title}: {text}", float(len(of.names))


def _averages(of: Members, patients: Array, bootstrap: Bootstrap) -> Iterator[Found]:
    for name, (estimate, labels) in averages.averaged(*_runs(of, patients), len(patients), bootstrap).items():
        measured, at, labelled = name.partition("@")
        if at + labelled in MACRO:
            yield name, estimate, f"macro {_title(measured)}, the mean {MACRO[at + labelled]}", labels
    counts = np.stack([_counts(each, of.gold) for each in of.said], axis=1)  # cases x samples x (right, said, gold)
    for name, estimate in zip(MEASURES, _micro(counts.sum(axis=1), patients, bootstrap), strict=True):
        yield f"micro_{name}", estimate, f"micro {_title(name)}, sums over all cases, codes and samples", None
    of_cases = means(_measures(counts).mean(axis=1), patients, bootstrap)
    for name, estimate in zip(MEASURES, of_cases, strict=True):
        yield f"case_{name}", estimate, f"mean over cases of the {_title(name)} within the case", None


def _title(name: str) -> str:
    return "F1" if name == "f1" else name


def _runs(of: Members, patients: Array) -> tuple[list[averages.Run], Any]:
    from scipy.sparse import csr_array

    size, cluster = number(patients)
    by_patient = csr_array((np.ones(len(cluster)), (np.arange(len(cluster)), cluster)), shape=(len(cluster), size))
    every = np.ones(len(of.names), dtype=bool)
    runs = [
        averages.Run(((said * of.gold).T @ by_patient).tocsr(), (said.T @ by_patient).tocsr(), every)
        for said in of.said
    ]
    return runs, (of.gold.T @ by_patient).tocsr()


def _counts(said: Any, gold: Any) -> Array:
    """Of every case, how many members are right, said and gold."""
    return np.column_stack([each.sum(axis=1) for each in (said * gold, said, gold)])


def _below(counts: Array) -> Array:
    """What the number of right ones is divided by for precision, recall and F1."""
    said, gold = counts[..., 1], counts[..., 2]
    return np.stack([said, gold, (said + gold) / 2], axis=-1)


def _measures(counts: Array) -> Array:
    return divide(counts[..., :1], _below(counts), 0.0)


def _micro(counts: Array, patients: Array, bootstrap: Bootstrap) -> list[Estimate]:
    return ratios(np.repeat(counts[:, :1], 3, axis=1), _below(counts), patients, bootstrap)


def by_votes(of: Members) -> Array:
    """Right, said and gold members of every case among those with at least k votes, k = 0 … n: n + 1 x cases x 3."""
    votes, every = of.votes, np.full(of.gold.shape[0], float(len(of.names)))
    gold = of.gold.sum(axis=1)
    found = [np.column_stack([gold, every, gold])]
    return np.stack([*found, *(_counts((votes >= k).astype(float), of.gold) for k in range(1, len(of.said) + 1))])


def average_precision(counts: Array, patients: Array, bootstrap: Bootstrap) -> Estimate:
    """Of by_votes, as scikit-learn computes it with the average `micro`."""
    steps, cases, _ = counts.shape
    draws = bootstrap.totals(counts.transpose(1, 0, 2).reshape(cases, -1), patients).reshape(-1, steps, 3)
    (value,), drawn = (_ap(each) for each in (counts.sum(axis=1)[None], draws))
    return Estimate(float(value), drawn, cases)


def _ap(totals: Array) -> Array:
    right, said, gold = (totals[:, ::-1, i] for i in range(3))  # most votes first
    recall = divide(right, gold, 0.0)
    return (np.diff(recall, axis=1, prepend=0.0) * divide(right, said, 0.0)).sum(axis=1)


def voted(
    task: Task, labelled: Labelled, patients: Array, bootstrap: Bootstrap, dev: Labelled | None = None
) -> dict[str, Any]:
    """By level: the micro averages of the codes with at least each share of the votes, and those at one share.

    That share is the one with the highest F1 on the cases of `dev`, or without them LEAST.
    """
    found = {}
    for i, level in enumerate(task.levels):
        counts = by_votes(members(labelled, i, task.sets))[1:]
        share = _best(by_votes(members(dev, i, task.sets))[1:]) if dev else LEAST
        curve = [_row((k + 1) / len(counts), each, patients, bootstrap) for k, each in enumerate(counts)]
        at = next(k for k, row in enumerate(curve) if row["share"] >= share - SAME)
        (case_f1,) = means(_measures(counts[at])[:, 2:], patients, bootstrap)
        found[level.key] = {"chosen": share, **curve[at], "case_f1": case_f1.cell(), "curve": curve}
    return found


def _row(share: float, counts: Array, patients: Array, bootstrap: Bootstrap) -> dict[str, Any]:
    estimates = zip(MEASURES, _micro(counts, patients, bootstrap), strict=True)
    return {"share": share, **{name: estimate.cell() for name, estimate in estimates}}


def _best(counts: Array) -> float:
    """The share of votes with the highest micro F1; of equals the highest."""
    right, said, gold = counts.sum(axis=1).T
    f1 = divide(2 * right, said + gold, 0.0)
    return float((np.flatnonzero(f1 >= f1.max() - SAME)[-1] + 1) / len(f1))
