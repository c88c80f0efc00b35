"""Our runs beside the papers': the four tables row by row, and the studies of SFT before GRPO.

shown = paper_views(evaluations)   # the tables of the tasks that were evaluated
slope(scaling_series(evaluations)[0])
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import log10
from typing import Any

import numpy as np

from common.papers import Printed, Table, paper_tables
from eval.page import drawing as draw
from eval.page.drawing import Series
from eval.page.figure import Figure
from eval.page.lineage import Lineage
from eval.page.runs import Evaluation

MEASURES = {"recall": "recall", "precision": "precision", "f1": "F1"}

Traced = Sequence[tuple[Evaluation, Lineage]]


def metric_title(name: str) -> str:
    """Pass@1, F1 …"""
    return MEASURES.get(name, name.capitalize())


@dataclass(frozen=True)
class PaperRow:
    """A row of a paper and the evaluations that reproduce it, or that ran it on something else, with why."""

    row: Printed
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
        titles = {level.key: level.title for level in same[0][0].samples.task.levels}
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


def scaling(traced: Traced) -> Figure:
    """The figure of accuracy against the number of SFT cases."""
    caption = (
        "DRG Pass@1 after GRPO against the cases seen in SFT, with a straight line per kind; hollow points are the "
        "paper's (cases of Table 2 are the share of 236,192), bars are 95 % intervals."
    )
    task = partial(draw.scaling, series=scaling_series(traced), ylabel="DRG Pass@1, percent")
    return Figure("sft-cases", "Accuracy against SFT cases", caption, task)


def ratios(traced: Traced) -> Figure:
    """The figure of accuracy by the share of the data that went to SFT."""
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
