"""Our runs beside the papers': the four tables row by row, and the studies of SFT before GRPO.

for table, panels, rows in paper_views(evaluations): ...   # the tables of the tasks that were evaluated
slope(scaling_series(evaluations)[0])
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import log10
from typing import NamedTuple

import numpy as np

from common.papers import Printed, Table, paper_tables
from eval.page import drawing as draw
from eval.page.drawing import Series
from eval.page.figure import Figure
from eval.page.lineage import Lineage
from eval.page.runs import Evaluation, metric_title

Evaluations = Sequence[Evaluation]
Point = tuple[float, float, list[float] | None]  # x, y and its interval


class PaperRow(NamedTuple):
    """A row of a paper and the evaluations that reproduce it, or that ran it on something else."""

    row: Printed
    ours: Evaluation | None
    other: Evaluation | None
    command: str  # what reproduces the row

    @property
    def run(self) -> Evaluation | None:
        """The evaluation that says how it was trained here."""
        return self.ours or self.other


def paper_views(evaluations: Evaluations) -> list[tuple[Table, dict[str, dict[str, str]], list[PaperRow]]]:
    """The tables of the tasks that were evaluated: panels of metrics (title, names with short titles), and rows."""
    found = []
    for table in paper_tables():
        same = [each for each in evaluations if each.samples.task.key == table.task]
        if not same:
            continue
        titles = {level.key: level.title for level in same[0].samples.task.levels}
        panels: dict[str, dict[str, str]] = {}
        for name in table.columns:
            level, _, short = name.partition("/")
            panels.setdefault(titles[level], {})[name] = metric_title(short)
        if len(panels) > 1 and all(len(names) == 1 for names in panels.values()):
            panels = {"macro F1": {next(iter(names)): title for title, names in panels.items()}}
        rows = []
        for row in table.rows:
            mine = [each for each in reversed(same) if each.line.row and each.line.row.id in (row.id, row.same)]
            ours = next((each for each in mine if each.line.reason is None), None)
            other = next((each for each in mine if each.line.reason), None)
            command = f"bash recipes/{table.folder}/reproduce.sh {row.same or row.id}"
            rows.append(PaperRow(row, ours, other, command))
        found.append((table, panels, rows))
    return found


def scaling_series(evaluations: Evaluations) -> list[Series]:
    """Pass@1 against the number of SFT cases: the paper's runs, ours on its data, ours on other data."""
    tables = {table.id: table for table in paper_tables()}
    found = []
    for label, run in (("paper, vanilla", "vanilla"), ("paper, best", "best")):
        rows = [row for row in tables["table2"].rows if row.run == run]
        rows = ([row for row in tables["table1"].rows if row.id == "table1/vanilla"] if run == "vanilla" else []) + rows
        found.append(_series(label, [(row.sft_cases, row.values["drg/pass@1"], None) for row in rows], True))
    return found + _ours(evaluations, "drg/pass@1", lambda line: line.sft_cases if line.stage == "GRPO" else None)


def _ours(evaluations: Evaluations, metric: str, place: Callable[[Lineage], int | None]) -> list[Series]:
    """A metric of our runs on the paper's data and on other data, as far as their models have a place on the axis."""
    found = []
    for label, other in (("ours, MIMIC-IV", False), ("ours, other data", True)):
        points: list[Point] = []
        for each in evaluations:
            x, cell = place(each.line), each.scores["metrics"].get(metric)
            if x and cell and bool(each.line.reason) == other:
                points.append((x, 100 * cell["value"], [100 * bound for bound in cell["interval"]]))
        if points:
            found.append(_series(label, points, False))
    return found


def _series(name: str, points: list[Point], paper: bool) -> Series:
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


def scaling(evaluations: Evaluations) -> Figure:
    """The figure of accuracy against the number of SFT cases."""
    caption = (
        "DRG Pass@1 after GRPO against the cases seen in SFT, with a straight line per kind; hollow points are the "
        "paper's (cases of Table 2 are the share of 236,192), bars are 95 % intervals."
    )
    task = partial(draw.scaling, series=scaling_series(evaluations), ylabel="DRG Pass@1, percent")
    return Figure("sft-cases", "Accuracy against SFT cases", caption, task)


def ratios(evaluations: Evaluations) -> Figure:
    """The figure of accuracy by the share of the data that went to SFT."""
    table = next(table for table in paper_tables() if table.id == "table2")
    panels: dict[str, list[Series]] = {}
    for name in ("drg/pass@1", "drg/pass@8", "drg/maj@8"):
        series = []
        for run in ("SFT only", "vanilla", "best"):
            rows = [row for row in table.rows if row.run == run]
            series.append(_series(f"paper, {run}", [(row.sft, row.values[name], None) for row in rows], True))
        series += _ours(evaluations, name, lambda line: line.row.sft if line.row else None)
        panels[metric_title(name.partition("/")[2])] = series
    shares = sorted({row.sft for row in table.rows})
    caption = "DRG accuracy by how the full training set is split between SFT and GRPO; hollow points are the paper's."
    return Figure("sft-share", "SFT:RL ratio", caption, partial(draw.ratios, panels=panels, shares=shares))
