"""Precision, recall and F1 over classes, macro and micro, at three levels and for three sets of labels.

A class is a chapter, a category or a full code; NIL is the one class of parsed answers outside the label file. An
unparsed answer is no class: it is a false negative of the gold and nobody's false positive. With tp, said and gold the
counts of a class, precision = tp / said, recall = tp / gold, F1 = 2 tp / (said + gold), and 0 / 0 = 0.

Macro averages divide the sum over classes by the number of labels: those of gold or prediction (union, what
scikit-learn and torchmetrics do), of gold alone, or all of the label file and NIL if it occurs. A class outside gold
has 0 for all three, so the sets differ in that number and in nothing else. With several samples a case the average is
the mean over the n runs that the samples are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.scoring.intervals import Bootstrap, Estimate, divide, number, ratios
from eval.scoring.metrics import INVALID, Array

MEASURES = ("precision", "recall", "f1")
SETS = {
    "": "over the labels that are gold or predicted",
    "@gold": "over the labels that are gold",
    "@all": "over all labels of the label file, and NIL where it occurs",
}


@dataclass(frozen=True)
class Answers:
    """What every sample says (cases x n) and what is right, as numbers of classes below `size`; `file` marks those
    of the label file."""

    said: Array
    gold: Array
    size: int
    file: Array


def macro(answers: Answers, patients: Array, bootstrap: Bootstrap) -> dict[str, tuple[Estimate, float]]:
    """Macro precision, recall and F1 for each set, by name (`f1`, `f1@gold`), with the mean number of labels."""
    size, cluster = number(patients)
    runs = [_run(answers, said, cluster, size) for said in answers.said.T]
    return averaged(runs, _counted(answers, answers.gold, cluster, size), len(patients), bootstrap)


def averaged(
    runs: Sequence["Run"], of_gold: Any, cases: int, bootstrap: Bootstrap
) -> dict[str, tuple[Estimate, float]]:
    """The same of runs that are counted already, and of what is gold: (classes, patients)."""

    def averages(weights: Array) -> tuple[Array, Array]:
        """The means over the runs for weighted patients: averages, and how many labels."""
        gold = of_gold @ weights
        found = [run.macro(weights, gold) for run in runs]
        return sum(means for means, _ in found) / len(runs), sum(labels for _, labels in found) / len(runs)

    size = of_gold.shape[1]
    values, labels = (each[..., 0] for each in averages(np.ones((size, 1))))
    draws = np.concatenate([averages(half)[0] for half in bootstrap.half_samples(size)], axis=2)
    found = {}
    for i, measure in enumerate(MEASURES):
        for j, labelled in enumerate(SETS):
            estimate = Estimate(float(values[i, j]), draws[i, j], cases, bounds=(0.0, 1.0))
            found[measure + labelled] = estimate, float(labels[j])
    return found


def _run(answers: Answers, said: Array, cluster: Array, patients: int) -> "Run":
    right = np.where(said == answers.gold, said, INVALID)
    return Run(*(_counted(answers, labels, cluster, patients) for labels in (right, said)), answers.file)


def _counted(answers: Answers, labels: Array, cluster: Array, patients: int) -> Any:
    """How often a label is said of each patient, sparse: (classes, patients)."""
    from scipy.sparse import csr_matrix

    valid = labels != INVALID
    entries = (np.ones(valid.sum()), (labels[valid], cluster[valid]))
    return csr_matrix(entries, shape=(answers.size, patients))


class Run:
    """One sample of every case as sparse counts of (class, patient): what is right, and what is said."""

    def __init__(self, right: Any, said: Any, file: Array) -> None:
        self.of_said, self.file = said, file
        self.kept = np.flatnonzero(np.diff(right.indptr))  # the others add nothing to a sum over classes
        self.of_right = right[self.kept]

    def macro(self, weights: Array, gold: Array) -> tuple[Array, Array]:
        """Averages of shape (3 measures, 3 sets of labels, columns), and how many labels the sets have."""
        said, right = self.of_said @ weights, self.of_right @ weights
        union, golds, outside = ((of > 0).sum(axis=0) for of in (said + gold, gold, said[~self.file]))
        labels = np.stack([union, golds, self.file.sum() + outside])
        said, gold = said[self.kept], gold[self.kept]
        sums = divide(right, np.stack([said, gold, (said + gold) / 2]), 0.0).sum(axis=1)
        return divide(sums[:, None], labels[None]), labels


def micro(answers: Answers, patients: Array, bootstrap: Bootstrap) -> dict[str, Estimate]:
    """Micro precision, recall and F1 for each set: sums over all samples; answers outside the set do not count."""
    n = answers.said.shape[1]
    right = (answers.said == answers.gold[:, None]).sum(axis=1)
    in_gold = np.isin(answers.said, np.unique(answers.gold)).sum(axis=1)
    valid = (answers.said != INVALID).sum(axis=1)
    names = [measure + labelled for labelled in SETS for measure in MEASURES]
    below = [under for said in (valid, in_gold, valid) for under in (said, np.full(len(said), n), (said + n) / 2)]
    found = ratios(np.column_stack([right] * len(names)), np.column_stack(below), patients, bootstrap)
    return dict(zip(names, found, strict=True))


def by_class(answers: Answers, patients: Array, bootstrap: Bootstrap) -> Iterator[tuple[int, dict, int, int]]:
    """For every class that is gold or predicted: its number, precision, recall and F1, its gold cases and answers."""
    n, classes = answers.said.shape[1], np.arange(answers.size)
    of_gold = answers.gold[:, None] == classes
    said = sum((answers.said[:, [j]] == classes).astype(float) for j in range(n))
    right, gold = said * of_gold, n * of_gold
    below = np.column_stack([said, gold, (said + gold) / 2])
    found = ratios(np.column_stack([right] * len(MEASURES)), below, patients, bootstrap)
    for label in np.flatnonzero(gold.sum(axis=0) + said.sum(axis=0)):
        measures = {name: found[i * answers.size + label] for i, name in enumerate(MEASURES)}
        yield int(label), measures, int(gold[:, label].sum() / n), int(said[:, label].sum())
