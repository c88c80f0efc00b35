"""What the report shows of evaluations and training runs: tables as data, figures to draw.

columns(evaluation)                      # the metrics of the main table
drawn = figures(evaluations, trainings)  # by section of the page
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from eval.page import drawing as draw
from eval.page import runs
from eval.page.curves import CURVES, Training, smoothed
from eval.page.drawing import Line
from eval.page.figure import Figure
from eval.page.runs import Evaluation, by_task
from eval.page.studies import Traced, metric_title, ratios, scaling
from eval.scoring.measure import natural
from eval.scoring.metrics import INVALID
from reward_fns.task import TASKS

MOST_PAIRS = 12
STUDIED = "drg"  # whose paper varies what SFT sees before GRPO


def columns(each: Evaluation) -> dict[str, dict[str, str]]:
    """The metrics of the main table: by the title of a level, their names and short titles."""
    return {
        level.title: {name: metric_title(name.partition("/")[2]) for name in runs.columns(each.samples, level.key)}
        for level in each.samples.task.levels
    }


def shown_columns(some: Sequence[Evaluation]) -> dict[str, dict[str, str]]:
    """The same for several runs; with different numbers of samples the titles say n."""
    found = columns(some[0])
    if len({each.samples.n for each in some}) > 1:
        heads = [metric_title(name) for name in some[0].samples.task.columns]
        return {title: dict(zip(names, heads, strict=True)) for title, names in found.items()}
    return found


def figures(traced: Traced, trainings: Sequence[Training]) -> dict[str, list[Figure]]:
    """The figures by section: accuracy, training, studies, classes, confusion."""
    tasks = by_task([each for each, _ in traced])
    studied = [(each, line) for each, line in traced if each.samples.task.key == STUDIED]
    return {
        "accuracy": [_accuracy(task, some) for task, some in tasks.items()],
        "training": list(_curves(trainings)),
        "studies": [scaling(studied), ratios(studied)] if studied else [],
        "classes": [_support(task, some) for task, some in tasks.items()],
        "confusion": [figure for task, some in tasks.items() for figure in _confusions(task, some)],
    }


def _accuracy(task: str, some: list[Evaluation]) -> Figure:
    panels = {title: list(names.values()) for title, names in shown_columns(some).items()}
    rows = {run.name: [run.cells(level.key) for level in run.samples.task.levels] for run in some}
    caption = "Percent, with 95 % intervals over patients."
    return Figure(f"accuracy-{task}", "Accuracy by run", caption, partial(draw.intervals, panels=panels, rows=rows))


def _curves(trainings: Sequence[Training]) -> Iterator[Figure]:
    for key, curve in CURVES.items():
        lines = [
            (i, Line(training.name, list(values), list(values.values()), smoothed(list(values.values()))))
            for i, training in enumerate(trainings)
            if (values := training.curves[key])
        ]
        if lines:
            many = any(line.smooth for _, line in lines)
            smooth = "; the mean over the last 50 steps, single steps behind it" if many else ""
            caption = f"{curve.meaning[0].upper()}{curve.meaning[1:]}{smooth}"
            yield Figure(f"training-{key}", curve.title, caption, partial(draw.curve, title=curve.title, lines=lines))


def classes(each: Evaluation) -> tuple[str, str, dict[str, Any]]:
    """What the classes are, the metric that stands for them, and the groups of scores.json."""
    task = each.samples.task
    return task.groups[0].title, task.stands, each.scores["groups"][task.groups[0].key]


def _support(task: str, some: list[Evaluation]) -> Figure:
    kind, metric, _ = classes(some[0])
    level, _, short = metric.rpartition("/")
    titles = {of.key: f"{of.title} " for of in TASKS[task].levels}
    what = f"{titles.get(level, '')}{metric_title(short)}"
    series = {
        run.name: [
            (name, row["cases"], 100 * row["metrics"][metric]["value"])
            for name, row in classes(run)[2].items()
            if row["cases"]
        ]
        for run in some
    }
    title = f"{what} by {kind} against its cases"
    caption = f"A point is one {kind}, named by its number; intervals are in the table below."
    return Figure(
        f"classes-{task}", title, caption, partial(draw.support, series=series, ylabel=f"{what} of the {kind}, percent")
    )


def _confusions(task: str, some: list[Evaluation]) -> Iterator[Figure]:
    panels, names, said = {}, [], []
    at = TASKS[task].level(TASKS[task].confusion)
    level = TASKS[task].levels[at]
    for run in some:
        known = list(run.samples.labelled.names[at])
        gold, answers = run.samples.gold[:, at], run.samples.said[:, :, at]
        counts = np.zeros((len(known), len(known) + 1))
        np.add.at(counts, (gold[:, None], answers), 1)  # INVALID is the last column
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        cases = np.bincount(gold, minlength=len(known))
        order = range(len(known)) if level.names else sorted(range(len(known)), key=lambda i: natural(known[i]))
        kept = [i for i in order if cases[i]]
        names = [f"{known[i]} ({cases[i]:,})" for i in kept]
        said = [*(known[i] for i in order), "invalid"]
        panels[run.name] = shares[kept][:, [*order, len(known)]].tolist()
    what = level.title[0].upper() + level.title[1:]
    caption = "Percent of the completions of each gold class (its cases in brackets); a row adds up to 100."
    apart = [panels] if level.names else [{name: panel} for name, panel in panels.items()]
    for i, shown in enumerate(apart, 1):
        drawn = partial(draw.confusion, names=names, said=said, panels=shown)
        yield Figure(f"confusion-{task}-{i}", f"{what}: gold and said", caption, drawn)


def confused(each: Evaluation) -> tuple[str, list[tuple[str, str, int, int, float]]]:
    """The most frequent wrong answers at the level that the task names for it.

    Each is gold, what was said, completions, cases, and the share of that gold's completions.
    """
    at = each.samples.task.level(each.samples.task.pairs)
    names, gold, said = each.samples.labelled.names[at], each.samples.gold[:, at], each.samples.said[:, :, at]
    case, sample = np.nonzero((said != gold[:, None]) & (said != INVALID))
    wrong = sorted(zip(gold[case].tolist(), said[case, sample].tolist(), case.tolist(), strict=True))
    cases = Counter((g, s) for g, s, _ in set(wrong))
    of_gold = np.bincount(gold, minlength=len(names)) * said.shape[1]
    found = [
        (names[g], names[s], count, cases[g, s], count / of_gold[g])
        for (g, s), count in Counter((g, s) for g, s, _ in wrong).most_common(MOST_PAIRS)
    ]
    return each.samples.task.levels[at].title, found
