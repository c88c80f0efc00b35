"""The findings as one HTML page that fetches nothing: verdicts, comparisons, figures beside the paper's numbers."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.studies.plan import Plan, Study
from benchmarks.studies.results import Result, estimates
from benchmarks.studies.running import duration
from benchmarks.studies.statistics import NEEDED, POWER, effect
from common.record import now
from eval.page import drawing
from eval.page.curves import CURVES, read_training
from eval.page.drawing import Series
from eval.page.figure import DARK, LIGHT, Figure
from eval.page.runs import metric_title
from eval.page.studies import scaling_series

HERE, CSS = Path(__file__).parent, Path(drawing.__file__).parent / "static" / "report.css"


def render(plan: Plan, found: list[Result], seconds: dict[str, float], commits: list[str], quick: bool) -> str:
    """The whole page."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string((HERE / "page.html").read_text(encoding="utf-8")).render(
        results=found,
        figures={result.study.name: [figure.svg() for figure in figures(plan, result.study)] for result in found},
        plan=plan, seconds=seconds, total=duration(sum(seconds.values())), quick=quick, needed=NEEDED, power=POWER,
        light=LIGHT, dark=DARK, css=Markup(CSS.read_text(encoding="utf-8")), commits=commits, made=now(),
    )  # fmt: skip


def figures(plan: Plan, study: Study) -> list[Figure]:
    """What a study shows: values of models beside printed ones, lines over the SFT cases, or curves of training."""
    said = study.figure
    if said["curves"]:
        return [_curve(plan, study, key) for key in said["curves"]]
    return [_lines(plan, study) if said["lines"] else _values(plan, study)]


def _cell(plan: Plan, model: str, metric: str) -> dict[str, Any]:
    return effect(estimates(plan, model, metric)).cell()


def _values(plan: Plan, study: Study) -> Figure:
    """The metrics of some models, and the paper's beside them."""
    metrics, printed = study.figure["metrics"], study.figure["printed"]
    panels = {"here": [metric_title(name.rpartition("/")[2]) for name in metrics]}
    if len({name.partition("/")[2] for name in metrics}) < len(metrics):  # the same measure at several levels
        panels["here"] = [name.replace("/", " ") for name in metrics]
    rows = {name: [[_cell(plan, name, metric) for metric in metrics]] for name in study.figure["here"]}
    if printed:
        panels["the paper"] = panels["here"]
        for name, levels in rows.items():
            row = plan.printed(printed[name], plan.task_of(name)).values if name in printed else {}
            values = [row.get(metric, float("nan")) / 100 for metric in metrics]
            levels.append([{"value": value, "interval": [value, value]} for value in values])
    caption = f"{study.paper}. Left: synthetic cases, means over seeds with 95 % intervals."
    return Figure(study.name, study.title, caption, partial(drawing.intervals, panels=panels, rows=rows))


def _lines(plan: Plan, study: Study) -> Figure:
    """A metric over the SFT cases with the line through their logarithm and how straight it is, and the paper's."""
    (metric,), series = study.figure["metrics"], []
    for label, models in study.figure["lines"].items():
        x = [plan.cases_of(model) for model in models]
        effects = [effect(estimates(plan, model, metric)) for model in models]
        y = [100 * one.value for one in effects]
        bars = [(100 * (one.value - one.interval[0]), 100 * (one.interval[1] - one.value)) for one in effects]
        slope, start = np.polyfit(np.log10(x), y, 1).tolist()
        straight = np.corrcoef(np.log10(x), y)[0, 1] ** 2 if len(set(y)) > 1 else 0.0
        series.append(Series(f"{label}, R2 {straight:.2f}", x, y, paper=False, fit=(start, slope), bars=bars))
    series += [each for each in scaling_series([]) if each.name in study.figure["papers"]]
    draw = partial(drawing.scaling, series=series, ylabel=f"{metric_title(metric.partition('/')[2])}, percent")
    return Figure(study.name, study.title, f"{study.paper}. Filled: synthetic cases, means over seeds.", draw)


def _curve(plan: Plan, study: Study, key: str) -> Figure:
    """A measure of training by step, a line a run, the mean over its seeds."""
    lines = []
    for i, run in enumerate(study.figure["runs"]):
        curves = [read_training(run, plan.folder("grpo", run, seed)).curves[key] for seed in plan.seeds]
        lines.append((i, run, {step: float(np.mean([curve[step] for curve in curves])) for step in curves[0]}))
    title = CURVES[key].title
    draw = partial(drawing.curve, title=title, lines=lines)
    return Figure(f"{study.name}-{key}", title, f"{CURVES[key].meaning}, by step; means over seeds.", draw)
