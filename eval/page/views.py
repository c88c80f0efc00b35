"""What the report shows of evaluations, training runs and prepared data: tables as data, figures to draw.

columns(evaluations)                     # the metrics of the main table
drawn = figures(evaluations, trainings)  # by what they stand beside in the page
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.describe import describe
from data_prep.parquet import HELD_OUT
from data_prep.validate import prepared, read_manifest
from eval.page import drawing as draw
from eval.page.curves import CURVES, Training, smoothed
from eval.page.figure import Figure
from eval.page.runs import Evaluation, by_task, metric_title
from eval.page.studies import ratios, scaling
from eval.page.value import figures as review
from eval.scoring.measure import measures, natural
from eval.scoring.metrics import INVALID
from reward_fns.task import TASKS, Task

MOST_PAIRS = 12
STUDIED = "drg"  # whose paper varies what SFT sees before GRPO


def columns(some: Sequence[Evaluation]) -> dict[str, dict[str, str]]:
    """The columns of the main table; with different numbers of samples the titles say n."""
    if len({each.samples.n for each in some}) == 1:
        return some[0].columns
    heads = [metric_title(name) for name in some[0].samples.task.columns]
    return {title: dict(zip(names, heads, strict=True)) for title, names in some[0].columns.items()}


def form(task: Task) -> dict[str, str]:
    """The measures of completions that the page shows, with their headings; the reward is the last."""
    units = ("share", "words", "tokens", "reward")
    ordered = sorted(measures(task), key=lambda measure: units.index(measure.unit))
    return {measure.name: measure.heading for measure in ordered if measure.heading}


def published(some: Sequence[Evaluation]) -> list[str]:
    """The metrics by the papers' own definitions that all of these runs have."""
    return [name for name in some[0].scores["published"] if all(name in each.scores["published"] for each in some)]


def figures(evaluations: Sequence[Evaluation], trainings: Sequence[Training]) -> dict[str, list[Figure]]:
    """The figures by what they show: training, studies, and of every task accuracy, classes and confusion."""
    tasks = by_task(evaluations)
    studied = tasks.get(STUDIED)
    found = {"training": list(_curves(trainings)), "studies": [scaling(studied), ratios(studied)] if studied else []}
    for task, some in tasks.items():
        found |= {f"accuracy-{task}": [_accuracy(task, some)], f"classes-{task}": [_support(task, some)]}
        found[f"confusion-{task}"] = list(_confusions(task, some))
    found["value"] = review(evaluations)
    return found


def _accuracy(task: str, some: list[Evaluation]) -> Figure:
    panels = {title: list(names.values()) for title, names in columns(some).items()}
    rows = {run.name: list(run.cells().values()) for run in some}
    caption = "Percent, with 95 % intervals over patients."
    return Figure(f"accuracy-{task}", "Accuracy by run", caption, partial(draw.intervals, panels=panels, rows=rows))


def _curves(trainings: Sequence[Training]) -> Iterator[Figure]:
    for key, curve in CURVES.items():
        lines = [(i, run.name, values) for i, run in enumerate(trainings) if (values := run.curves[key])]
        if lines:
            many = any(smoothed(list(values.values())) for *_, values in lines)
            smooth = "; the mean over the last 50 steps, single steps behind it" if many else ""
            caption = f"{curve.meaning[0].upper()}{curve.meaning[1:]}{smooth}"
            yield Figure(f"training-{key}", curve.title, caption, partial(draw.curve, title=curve.title, lines=lines))


def _support(task: str, some: list[Evaluation]) -> Figure:
    group, metric = TASKS[task].groups[0], TASKS[task].stands
    kind, (level, _, short) = group.title, metric.rpartition("/")
    titles = {of.key: f"{of.title} " for of in TASKS[task].levels}
    what = f"{titles.get(level, '')}{metric_title(short)}"
    series = {
        run.name: [
            (name, row["cases"], 100 * row["metrics"][metric]["value"])
            for name, row in run.scores["groups"][group.key].items()
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
    if not TASKS[task].confusion:
        return
    at = TASKS[task].level(TASKS[task].confusion)
    level = TASKS[task].levels[at]
    for run in some:
        known = list(run.samples.labelled.names[at])
        gold, answers = run.samples.labelled.gold[:, at], run.samples.labelled.said[:, :, at]
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
    if not each.samples.task.pairs:
        return "", []
    at = each.samples.task.level(each.samples.task.pairs)
    labelled = each.samples.labelled
    names, gold, said = labelled.names[at], labelled.gold[:, at], labelled.said[:, :, at]
    case, sample = np.nonzero((said != gold[:, None]) & (said != INVALID))
    wrong = sorted(zip(gold[case].tolist(), said[case, sample].tolist(), case.tolist(), strict=True))
    cases = Counter((g, s) for g, s, _ in set(wrong))
    of_gold = np.bincount(gold, minlength=len(names)) * said.shape[1]
    found = [
        (names[g], names[s], count, cases[g, s], count / of_gold[g])
        for (g, s), count in Counter((g, s) for g, s, _ in wrong).most_common(MOST_PAIRS)
    ]
    return each.samples.task.levels[at].title, found


def described(data: Path | None) -> list[tuple[Path, dict[str, Any], dict[str, Any], Figure]]:
    """The prepared folders in a data folder (a single file is only where notes come from).

    Each with what describe finds in it, its manifest, and how often its labels occur.
    """
    folders = prepared(data) if data and data.is_dir() else []
    found = [(folder, describe(folder), read_manifest(folder)) for folder in folders]
    return [(folder, said, manifest, _labels(said["task"], said["files"])) for folder, said, manifest in found]


def _labels(task: str, files: dict[str, Any]) -> Figure:
    """The label distribution of the largest training file and of the test file."""
    train = max((name for name in files if not name.startswith(HELD_OUT)), key=lambda name: files[name]["rows"])
    names = [train, *(name for name in files if name.startswith("test.") or name == "test")]
    counts = {name: files[name]["label_counts"] for name in names}
    caption = "Cases of the most frequent label, of the next, and so on; both axes are logarithmic."
    return Figure(f"labels-{task}", "Label distribution", caption, partial(draw.ranks, counts=counts))
