"""Every metric of scored completions by its name: estimate, definition and, for averages over labels, how many.

found = measure(samples, Bootstrap(), ties="fractional")
found["drg/pass@1"].estimate.interval()
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from common.files import beside
from eval.scoring import averages, metrics, sets
from eval.scoring.averages import MEASURES, SETS, Answers
from eval.scoring.intervals import Bootstrap, Estimate, means, ratios
from eval.scoring.labels import Labelled, label
from eval.scoring.samples import Samples
from reward_fns.task import Level, Measure, Task

TIES = {"fractional": "a tie counts 1 / the number of tied answers", "first": "a tie goes to what was said first"}
*SHARED, TOKENS, REASONING = (Measure(**said) for said in beside(__file__))  # measure.yaml
MACRO = "macro {}, the mean over labels {}"
MICRO = "micro {}, sums over all completions, {}"
RANKS = (5, 10)


@dataclass(frozen=True)
class Metric:
    """A number, how sure it is and what it means."""

    estimate: Estimate
    definition: str
    labels: float | None = None

    def row(self) -> dict[str, Any]:
        """As scores.json has it."""
        row = self.estimate.cell() | {"n": self.estimate.n, "definition": self.definition}
        return row if self.labels is None else row | {"labels": self.labels}


def measures(task: Task) -> tuple[Measure, ...]:
    """What is measured of every completion of a task, in the order of the tables."""
    return (*SHARED, *task.measures, TOKENS, REASONING)


def measure(samples: Samples, bootstrap: Bootstrap, ties: str) -> dict[str, Metric]:
    """All metrics of the task, in the order of the tables."""
    found = _means(samples, _votes(samples, ties), bootstrap)
    if samples.task.classes:
        for i, level in enumerate(samples.task.levels):
            answers = answers_of(samples.labelled, i)
            macro = dict(_macro(level, answers, samples.patients, bootstrap))
            micro = averages.micro(answers, samples.patients, bootstrap)
            found |= macro
            for name, estimate in micro.items():
                text = f"{level.title}: {MICRO.format(*_words(name))}"
                found[f"{level.key}/micro_{name}"] = Metric(estimate, text, macro[f"{level.key}/{name}"].labels)
    if samples.task.sets:
        of_sets = sets.measure(samples.task, samples.labelled, samples.voting, samples.patients, bootstrap)
        found |= {name: Metric(*row) for name, *row in of_sets}
    return found | _of_completions(samples, bootstrap)


def _means(samples: Samples, rows: Iterable[tuple[str, str, np.ndarray]], bootstrap: Bootstrap) -> dict[str, Metric]:
    """The means over cases of what rows have: name, definition, a value per case."""
    names, texts, values = zip(*rows, strict=True)
    estimates = means(np.column_stack(values), samples.patients, bootstrap)
    return dict(zip(names, map(Metric, estimates, texts), strict=True))


def answers_of(labelled: Labelled, level: int) -> Answers:
    """One level of answers as eval.scoring.averages takes them."""
    names = labelled.names[level]
    in_file = labelled.in_file[level] if labelled.in_file else np.ones(len(names), dtype=bool)
    return Answers(labelled.said[:, :, level], labelled.gold[:, level], len(names), in_file)


def _votes(samples: Samples, ties: str) -> Iterator[tuple[str, str, np.ndarray]]:
    """Pass@k and Maj@n: name, definition, a value per case. Where classes are averaged Pass@1 is called accuracy."""
    n = samples.n
    for i, level in enumerate(samples.task.levels):
        said, gold = samples.labelled.said[:, :, i], samples.labelled.gold[:, i]
        right = said == gold[:, None]
        if samples.task.classes:
            yield f"{level.key}/accuracy", f"{level.title}: share of right completions", right.mean(axis=1)
            if n == 1:
                continue
        for k in range(1, n + 1):
            meaning = f"mean over {n} samples" if k == 1 else f"chance that at least one of {k} samples is right"
            yield f"{level.key}/pass@{k}", f"{level.title}: {meaning}", metrics.pass_at_k(right, k)
        yield (
            f"{level.key}/maj@{n}",
            f"{level.title}: the most frequent valid answer of {n} is right; {TIES[ties]}; no valid answer is wrong",
            metrics.majority(said, gold, ties),
        )
    if samples.chances and not samples.task.sets:
        yield from _ranked(samples)


def _ranked(samples: Samples) -> Iterator[tuple[str, str, np.ndarray]]:
    """Of a classifier, whether the gold is among the k most probable answers."""
    level = samples.task.levels[samples.task.finest]
    ranked = [(gold, list(chances)) for gold, chances in zip(samples.golds(), samples.chances or (), strict=True)]
    for k in RANKS:
        right = np.array([float(gold in labels[:k]) for gold, labels in ranked])
        yield f"{level.key}/top@{k}", f"{level.title}: the gold is among the {k} most probable", right


def _macro(level: Level, answers: Answers, patients: np.ndarray, bootstrap: Bootstrap) -> Iterator[tuple[str, Metric]]:
    for name, (estimate, labels) in averages.macro(answers, patients, bootstrap).items():
        text = f"{level.title}: {MACRO.format(*_words(name))}"
        yield f"{level.key}/{name}", Metric(estimate, text, labels)


def _words(name: str) -> tuple[str, str]:
    measure, at, labelled = name.partition("@")
    return ("F1" if measure == "f1" else measure), SETS[at + labelled]


def _of_completions(samples: Samples, bootstrap: Bootstrap) -> dict[str, Metric]:
    """Rates and lengths over all completions."""
    task, level = samples.task, samples.task.levels[-1]
    said, names = samples.labelled.said[:, :, -1], samples.labelled.names[-1]
    # `rest` marks answers in the class of those outside the label file.
    rest = said == names.index(level.rest) if level.rest else np.zeros(said.shape)
    columns = samples.numbers | {"rest": rest}
    words = {"valid": task.valid, "labels": len(names) - 1}
    asked = measures(task)[:-1]  # the words of a reasoning are a ratio: not every completion has one
    table = np.column_stack([(of.value(columns) if of.value else columns[of.name]).mean(axis=1) for of in asked])
    found = dict(zip(asked, means(table, samples.patients, bootstrap), strict=True))
    words_said = columns[REASONING.name]
    those = (words_said > 0).sum(axis=1, keepdims=True)
    (found[REASONING],) = ratios(words_said.sum(axis=1, keepdims=True), those, samples.patients, bootstrap)
    return {of.name: Metric(estimate, of.definition.format(**words)) for of, estimate in found.items()}


def lengths(samples: Samples) -> dict[str, dict[str, float]]:
    """Quantiles of the lengths over all completions (reasoning: those that have one)."""
    found = {}
    for name in (TOKENS.name, REASONING.name):
        values = samples.numbers[name]
        values = values[values > 0] if (values > 0).any() else np.zeros(1)
        marks = (0, 5, 25, 50, 75, 95, 100)
        found[name] = dict(zip((f"p{mark}" for mark in marks), np.percentile(values, marks).tolist(), strict=True))
    return found


def groups(samples: Samples, found: dict[str, Metric], bootstrap: Bootstrap) -> dict[str, dict[str, Any]]:
    """Metrics by group of golds, or precision, recall and F1 of every class of a level."""
    task, n = samples.task, samples.n
    first, *others = (level.key for level in task.levels)
    names = [f"{first}/pass@1", f"{first}/pass@{n}", f"{first}/maj@{n}", *(f"{key}/pass@1" for key in others)]
    names += ["valid", TOKENS.name, *({task.stands} & found.keys() - {*names})]
    golds = samples.cases["ground_truth"].to_pylist()
    grouped = {}
    for group in task.groups:
        if group.of is None:
            grouped[group.key] = _classes(samples, task.level(group.key), bootstrap)
        else:
            values = {name: found[name].estimate.cases for name in names}
            grouped[group.key] = _grouped(values, list(map(cache(group.of), golds)), samples.patients, bootstrap)
    return grouped


def _grouped(
    values: dict[str, np.ndarray], of: list[str], patients: np.ndarray, bootstrap: Bootstrap
) -> dict[str, Any]:
    from scipy.sparse import csr_array

    known, group, sizes = np.unique(of, return_inverse=True, return_counts=True)
    columns, width = np.column_stack(list(values.values())), len(values)
    # A column of the sparse tables for every metric of every group; a case has entries in those of its own.
    entries = np.repeat(np.arange(len(of)), width), (group[:, None] * width + np.arange(width)).ravel()
    above, below = (
        csr_array((data.ravel(), entries), shape=(len(of), len(known) * width))
        for data in (columns, np.ones(columns.shape))
    )
    cells = [estimate.cell() for estimate in ratios(above, below, patients, bootstrap)]
    return {
        str(known[i]): {
            "cases": int(sizes[i]),
            "metrics": dict(zip(values, cells[i * width : (i + 1) * width], strict=True)),
        }
        for i in np.argsort(-sizes, kind="stable")
    }


def _classes(samples: Samples, level: int, bootstrap: Bootstrap) -> dict[str, Any]:
    answers, names = answers_of(samples.labelled, level), samples.labelled.names[level]
    rows = {}
    for at, estimates, support, said in averages.by_class(answers, samples.patients, bootstrap):
        cells = {name: estimate.cell() for name, estimate in estimates.items()}
        rows[names[at]] = {"cases": support, "predicted": said / samples.n, "metrics": cells}
    return dict(sorted(rows.items(), key=lambda row: natural(row[0])))


def natural(name: str) -> tuple[int, str]:
    """Names that are numbers in the order of the numbers."""
    return (int(name), "") if name.isdecimal() else (1 << 30, name)


def published(samples: Samples, bootstrap: Bootstrap) -> dict[str, Metric]:
    """The metrics as the papers' definitions have them where those differ from ours (`compat: published`)."""
    theirs, n = samples.task.published, samples.n
    if theirs is None:
        return {}
    golds = samples.cases["ground_truth"].to_pylist()
    labelled = label(theirs.levels, samples.published, golds, samples.scope)
    if samples.task.classes:
        return {
            name: replace(metric, definition=metric.definition + theirs.rule)
            for i, level in enumerate(theirs.levels)
            for name, metric in _macro(level, answers_of(labelled, i), samples.patients, bootstrap)
            if name.partition("/")[2] in MEASURES
        }
    key, said, gold = theirs.levels[0].key, labelled.said[:, :, 0], labelled.gold[:, 0]
    right = said == gold[:, None]
    most = f"the most frequent text of {n}, valid or not; a tie goes to what was said first"
    rows = (
        (f"{key}/pass@1", f"{theirs.rule}; mean over {n} samples", metrics.pass_at_k(right, 1)),
        (f"{key}/pass@{n}", f"{theirs.rule}; any of {n} samples", metrics.pass_at_k(right, n)),
        (f"{key}/maj@{n}", f"{theirs.rule}; {most}", metrics.majority(said, gold, "first")),
    )
    return _means(samples, rows, bootstrap)
