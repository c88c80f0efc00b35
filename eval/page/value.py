"""What wrong DRGs cost, for the report: the review curves of the runs that were scored with --weights.

found = figures(evaluations)
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from eval.page.drawing import MARKERS, NARROW, Palette
from eval.page.figure import Figure
from eval.page.runs import Evaluation
from eval.score import text

SHOWN = {
    "cmi_predicted": "case-mix index",
    "cmi_gold": "of the golds",
    "error": "error in weight",
    "absolute_error": "its absolute value",
    "over_coding": "over-coded by",
    "under_coding": "under-coded by",
}


def figures(evaluations: Sequence[Evaluation]) -> list[Figure]:
    """One figure where a run has weights; its caption has their numbers."""
    runs = {run.name: run.scores["value"] for run in evaluations if "value" in run.scores}
    if not runs:
        return []
    caption = " ".join(["The dashed line is a review of cases drawn at random.", *_said(runs)])
    title = "Share of the weight error that a review of the least certain cases catches"
    return [Figure("review", title, caption, partial(_drawn, runs=runs))]


def _said(runs: dict[str, Any]) -> Iterator[str]:
    for name, found in runs.items():
        cells = (f"{title} {text(found['metrics'][key], scale=1, digits=3)}" for key, title in SHOWN.items())
        without = text(found["metrics"]["no_answer"])
        curve = "" if found["review"]["curve"] else "; no curve, as no answer is wrong or all are equally certain"
        yield (
            f"{name}, weights of FY {found['weights']['year']}: {', '.join(cells)}; {without} percent have no paid "
            f"answer and count as weight 0{curve}."
        )


def _drawn(palette: Palette, runs: dict[str, Any]) -> Any:
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(NARROW, 3.2), layout="constrained")
    axis = canvas.subplots()
    axis.plot([0, 100], [0, 100], color=palette.soft, linewidth=1, linestyle="--")
    for i, (name, found) in enumerate(runs.items()):
        if not (rows := found["review"]["curve"]):
            continue
        x, colour = [100 * row["reviewed"] for row in rows], palette.of(i)
        low, high = zip(*(row["interval"] for row in rows), strict=True)
        axis.fill_between(x, [100 * v for v in low], [100 * v for v in high], color=colour, alpha=0.15, linewidth=0)
        marker = MARKERS[i % len(MARKERS)]
        axis.plot(x, [100 * row["value"] for row in rows], color=colour, marker=marker, label=f"\u200a{name}")
    axis.set(xlabel="least certain cases that are reviewed, percent", ylabel="weight error caught, percent")
    if len(axis.lines) > 1:
        canvas.legend(loc="outside upper left", ncols=4)
    return canvas
