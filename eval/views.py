"""What the report shows, made of evaluations, training runs and the papers' tables: tables as data, figures to draw.

shown = paper_views(evaluations)      # the papers' tables with our columns
drawn = figures(evaluations, trainings)  # by section of the page
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import log10
from typing import Any

import numpy as np

from eval import figures as draw
from eval import runs
from eval.curves import CURVES, Training, smoothed
from eval.figures import Figure, Line, Point, Series
from eval.lineage import Lineage
from eval.metrics import INVALID
from eval.paper_results import Row, Table, paper_tables
from eval.runs import Evaluation

TASKS = {"drg": "MS-DRG", "icd": "ICD-10-CM"}
MEASURES = {"recall": "recall", "precision": "precision", "f1": "F1"}
MOST_PAIRS = 12

Traced = Sequence[tuple[Evaluation, Lineage]]


def columns(each: Evaluation) -> dict[str, dict[str, str]]:
    """The metrics of the main table: by the title of a level, their names and short titles."""
    levels = each.samples.task.levels.items()
    return {
        title: {name: metric_title(name.partition("/")[2]) for name in runs.columns(each.samples, level)}
        for level, title in levels
    }


def shown_columns(some: Sequence[Evaluation]) -> dict[str, dict[str, str]]:
    """The same for several runs; with different numbers of samples the titles say n."""
    found = columns(some[0])
    if len({each.samples.n for each in some}) > 1 and some[0].samples.task.key == "drg":
        heads = ("Pass@1", "Pass@n", "Maj@n")
        return {title: dict(zip(names, heads, strict=True)) for title, names in found.items()}
    return found


def metric_title(name: str) -> str:
    """Pass@1, F1 …"""
    return MEASURES.get(name, name.capitalize())


@dataclass(frozen=True)
class PaperRow:
    """A row of a paper and the evaluations that reproduce it, or that ran it on something else, with why."""

    row: Row
    ours: Evaluation | None
    other: Evaluation | None
    reason: str | None
    trained: Any
    command: str  # what reproduces the row


@dataclass(frozen=True)
class PaperView:
    """A paper's table: panels of metrics (title, and names with short titles), and its rows."""

    table: Table
    panels: dict[str, dict[str, str]]
    rows: list[PaperRow]

    @property
    def others(self) -> bool:
        """Whether any row was run on something else than the paper's data."""
        return any(row.other for row in self.rows)

    @property
    def run(self) -> int:
        """How many rows of it were run at all."""
        return sum(bool(row.ours or row.other) for row in self.rows)


def paper_views(traced: Traced) -> list[PaperView]:
    """The tables of the tasks that were evaluated."""
    found = []
    for table in paper_tables():
        same = [(each, line) for each, line in traced if each.samples.task.key == table.task]
        if not same:
            continue
        titles = same[0][0].samples.task.levels
        panels: dict[str, dict[str, str]] = {}
        for name in table.columns:
            level, _, short = name.partition("/")
            panels.setdefault(titles[level], {})[name] = metric_title(short)
        if all(len(names) == 1 for names in panels.values()):
            panels = {"macro F1": {next(iter(names)): title for title, names in panels.items()}}
        rows = []
        for row in table.rows:
            mine = [(each, line) for each, line in same if line.row and line.row.id in (row.id, row.same)]
            ours = next(((each, line) for each, line in reversed(mine) if line.reason is None), (None, None))
            other = next(((each, line) for each, line in reversed(mine) if line.reason), (None, None))
            reason, trained = other[1] and other[1].reason, (ours[1] or other[1]) and (ours[1] or other[1]).trained
            command = f"bash recipes/{table.folder}/reproduce.sh {row.same or row.id}"
            rows.append(PaperRow(row, ours[0], other[0], reason, trained or {}, command))
        found.append(PaperView(table, panels, rows))
    return found


def figures(traced: Traced, trainings: Sequence[Training]) -> dict[str, list[Figure]]:
    """The figures by section: accuracy, training, studies, classes, confusion."""
    by_task = {
        task: found
        for task in TASKS
        if (found := [(each, line) for each, line in traced if each.samples.task.key == task])
    }
    drawn: dict[str, list[Figure]] = {name: [] for name in ("accuracy", "training", "studies", "classes", "confusion")}
    drawn["training"] = list(_curves(trainings))
    for task, found in by_task.items():
        some = [each for each, _ in found]
        drawn["accuracy"].append(_accuracy(task, some))
        drawn["classes"].append(_support(task, some))
        drawn["confusion"] += _confusions(task, some)
        if task == "drg":
            drawn["studies"] += [_scaling(found), _ratios(found)]
    return drawn


def _accuracy(task: str, some: list[Evaluation]) -> Figure:
    panels = {title: list(names.values()) for title, names in shown_columns(some).items()}
    rows = {}
    for run in some:
        cells = [run.cells(level) for level in run.samples.task.levels]
        rows[run.name] = [[Point(*(100 * v for v in (c["value"], *c["interval"]))) for c in level] for level in cells]
    caption = "Percent, with 95 % intervals over patients."
    return Figure(f"accuracy-{task}", "Accuracy by run", caption, partial(draw.intervals, panels=panels, rows=rows))


def _curves(trainings: Sequence[Training]) -> Iterator[Figure]:
    for key, curve in CURVES.items():
        lines = []
        for i, training in enumerate(trainings):
            if values := training.curves[key]:
                steps, y = list(values), list(values.values())
                lines.append((i, Line(training.name, steps, y, smoothed(y))))
        if lines:
            many = any(line.smooth for _, line in lines)
            caption = (
                curve.meaning[0].upper()
                + curve.meaning[1:]
                + ("; the mean over the last 50 steps, single steps behind it" if many else "")
            )
            yield Figure(f"training-{key}", curve.title, caption, partial(draw.curve, title=curve.title, lines=lines))


def scaling_series(traced: Traced) -> list[Series]:
    """Pass@1 against the number of SFT cases: the paper's runs, ours on its data, ours on other data."""
    tables = {table.id: table for table in paper_tables()}
    found = []
    for label, run in (("paper, vanilla", "vanilla"), ("paper, best", "best")):
        rows = [row for row in tables["table2"].rows if row.run == run]
        rows = ([row for row in tables["table1"].rows if row.id == "table1/vanilla"] if run == "vanilla" else []) + rows
        found.append(_series(label, [(row.sft_cases, row.values["drg/pass@1"], None) for row in rows], True))
    for label, fits in (("ours, MIMIC-IV", False), ("ours, other data", True)):
        points = []
        for each, line in traced:
            if line.stage == "GRPO" and line.sft_cases and bool(line.reason) == fits:
                cell = each.scores["metrics"]["drg/pass@1"]
                points.append((line.sft_cases, 100 * cell["value"], [100 * v for v in cell["interval"]]))
        if points:
            found.append(_series(label, points, False))
    return found


def _series(name: str, points: list[tuple[int, float, list[float] | None]], paper: bool) -> Series:
    points = sorted(points, key=lambda point: point[0])
    x, y = [p[0] for p in points], [p[1] for p in points]
    bars = None if paper else [(max(0.0, v - low), max(0.0, high - v)) for _, v, (low, high) in points]
    fit = tuple(np.polyfit([log10(v) for v in x], y, 1)[::-1].tolist()) if len(set(x)) > 1 else None
    return Series(name, x, y, paper, fit, bars)


def slope(series: Series) -> tuple[float, tuple[float, float] | None] | None:
    """Points of accuracy per ten times as many SFT cases, and its 95 % interval where three points allow one."""
    from scipy.stats import linregress, t

    if series.fit is None:
        return None
    if len(set(series.x)) < 3:
        return series.fit[1], None
    fitted = linregress([log10(v) for v in series.x], series.y)
    wide = t.ppf(0.975, len(series.x) - 2) * fitted.stderr
    return fitted.slope, (fitted.slope - wide, fitted.slope + wide)


def _scaling(traced: Traced) -> Figure:
    caption = (
        "DRG Pass@1 after GRPO against the cases seen in SFT, with a straight line per kind; hollow points are the "
        "paper's (cases of Table 2 are the share of 236,192), bars are 95 % intervals."
    )
    task = partial(draw.scaling, series=scaling_series(traced), ylabel="DRG Pass@1, percent")
    return Figure("sft-cases", "Accuracy against SFT cases", caption, task)


def _ratios(traced: Traced) -> Figure:
    table = next(table for table in paper_tables() if table.id == "table2")
    panels: dict[str, list[Series]] = {}
    for name in ("drg/pass@1", "drg/pass@8", "drg/maj@8"):
        panels[metric_title(name.partition("/")[2])] = series = []
        for run in ("SFT only", "vanilla", "best"):
            rows = [row for row in table.rows if row.run == run]
            series.append(_series(f"paper, {run}", [(row.sft, row.values[name], None) for row in rows], True))
        for label, fits in (("ours, MIMIC-IV", False), ("ours, other data", True)):
            points = [
                (line.row.sft, 100 * cell["value"], [100 * v for v in cell["interval"]])
                for each, line in traced
                if line.row and line.row.sft and bool(line.reason) == fits
                and (cell := each.scores["metrics"].get(name))
            ]  # fmt: skip
            if points:
                series.append(_series(label, points, False))
    shares = sorted({row.sft for row in table.rows})
    caption = "DRG accuracy by how the full training set is split between SFT and GRPO; hollow points are the paper's."
    return Figure("sft-share", "SFT:RL ratio", caption, partial(draw.ratios, panels=panels, shares=shares))


def classes(each: Evaluation) -> tuple[str, str, dict[str, Any]]:
    """What the classes are, the metric that stands for them, and the groups of scores.json."""
    kind, metric = ("MDC", "drg/pass@1") if each.samples.task.key == "drg" else ("chapter", "f1")
    return kind, metric, each.scores["groups"][kind.lower()]


def _support(task: str, some: list[Evaluation]) -> Figure:
    series, kind = {}, ""
    for run in some:
        kind, metric, groups = classes(run)
        series[run.name] = [
            (name, row["cases"], 100 * row["metrics"][metric]["value"]) for name, row in groups.items() if row["cases"]
        ]
    what = "DRG Pass@1" if task == "drg" else "F1"
    title = f"{what} by {kind} against its cases"
    caption = f"A point is one {kind}, named by its number; intervals are in the table below."
    return Figure(
        f"classes-{task}", title, caption, partial(draw.support, series=series, ylabel=f"{what} of the {kind}, percent")
    )


def _confusions(task: str, some: list[Evaluation]) -> Iterator[Figure]:
    level = "status" if task == "drg" else "chapter"
    panels, names, said = {}, [], []
    for run in some:
        at = [*run.samples.task.levels].index(level)
        known = list(run.samples.labelled.names[at])
        gold, answers = run.samples.gold[:, at], run.samples.said[:, :, at]
        counts = np.zeros((len(known), len(known) + 1))
        column = np.where(answers == INVALID, len(known), answers)
        np.add.at(counts, (np.repeat(gold, answers.shape[1]), column.ravel()), 1)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        cases = np.bincount(gold, minlength=len(known))
        order = range(len(known)) if task == "drg" else sorted(range(len(known)), key=lambda i: int(known[i]))
        kept = [i for i in order if cases[i]]
        names = [f"{known[i]} ({cases[i]:,})" for i in kept]
        said = [*(known[i] for i in order), "invalid"]
        panels[run.name] = shares[kept][:, [*order, len(known)]].tolist()
    what = "CC/MCC status" if task == "drg" else "Chapter"
    caption = "Percent of the completions of each gold class (its cases in brackets); a row adds up to 100."
    apart = [panels] if task == "drg" else [{name: panel} for name, panel in panels.items()]
    for i, shown in enumerate(apart, 1):
        drawn = partial(draw.confusion, names=names, said=said, panels=shown)
        yield Figure(f"confusion-{task}-{i}", f"{what}: gold and said", caption, drawn)


@dataclass(frozen=True)
class Pair:
    """Two labels that are taken for each other: completions, cases, and the share of that gold's completions."""

    gold: str
    said: str
    completions: int
    cases: int
    share: float


def confused(each: Evaluation) -> tuple[str, list[Pair]]:
    """The most frequent wrong answers at base DRG (ICD: category)."""
    level = "base" if each.samples.task.key == "drg" else "category"
    at = [*each.samples.task.levels].index(level)
    names, gold, said = each.samples.labelled.names[at], each.samples.gold[:, at], each.samples.said[:, :, at]
    wrong = (said != gold[:, None]) & (said != INVALID)
    case, sample = np.nonzero(wrong)
    pairs, place, counts = np.unique(
        np.column_stack([gold[case], said[case, sample]]), axis=0, return_inverse=True, return_counts=True
    )
    of_gold = np.bincount(gold, minlength=len(names)) * said.shape[1]
    found = [
        Pair(names[g], names[s], int(counts[i]), len(set(case[place.ravel() == i])), counts[i] / of_gold[g])
        for i in np.argsort(-counts, kind="stable")[:MOST_PAIRS]
        for g, s in [pairs[i]]
    ]
    return each.samples.task.levels[level], found
