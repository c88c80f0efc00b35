"""What draws the report's figures with matplotlib: a function each, from plain data and a palette to a canvas."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log10
from typing import Any

import numpy as np

from eval.page.curves import smoothed

MARKERS = "osD^v"  # one fewer than colours, so that thirty runs differ
WIDE, NARROW = 12, 7.4  # inches; the page shows both at about 100 pixels an inch


@dataclass(frozen=True)
class Palette:
    """Ink, soft ink, lines, and the colours of runs, told apart also by people who see fewer colours."""

    ink: str
    soft: str
    line: str
    series: tuple[str, ...]

    def of(self, i: int) -> str:
        return self.series[i % len(self.series)]


def _panels(columns: int, size: tuple[float, float], rows: int = 1) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=size, layout="constrained")
    return canvas, list(canvas.subplots(rows, columns, squeeze=False).flat)


def _logarithmic(panel: Any, *axes: str) -> None:
    """Logarithmic axes in plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for name in axes:
        panel.set(**{f"{name}scale": "log"})
        axis = getattr(panel, f"{name}axis")
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axis.set_minor_formatter(NullFormatter())


def _label(name: str) -> str:
    """A name as a legend shows it: matplotlib leaves out those that start with an underscore."""
    return f"\u200a{name}" if name.startswith("_") else name


def _legend(canvas: Any, panel: Any) -> None:
    handles, labels = panel.get_legend_handles_labels()
    if len(labels) > 1:
        canvas.legend(handles, labels, loc="outside upper left", ncols=min(4, len(labels)), handlelength=1.6)


def intervals(palette: Palette, panels: dict[str, list[str]], rows: dict[str, list[list[dict[str, Any]]]]) -> Any:
    """A panel per level; in it a line per run over a few metrics, in percent with intervals."""
    canvas, axes = _panels(len(panels), (WIDE, 3.4))
    for at, (axis, (title, metrics)) in enumerate(zip(axes, panels.items(), strict=True)):
        for i, (name, levels) in enumerate(rows.items()):
            offset = (i - (len(rows) - 1) / 2) * min(0.16, 0.6 / max(1, len(rows)))
            value, low, high = 100 * np.array([(cell["value"], *cell["interval"]) for cell in levels[at]]).T
            bars = np.maximum(0, [value - low, high - value])
            style = {"linewidth": 1, "elinewidth": 1.4, "capsize": 2.5, "color": palette.of(i), "label": _label(name)}
            axis.errorbar(np.arange(len(value)) + offset, value, bars, fmt=MARKERS[i % len(MARKERS)] + "-", **style)
        axis.set_xticks(range(len(metrics)), metrics)
        axis.set(title=title, xlim=(-0.5, len(metrics) - 0.5))
        axis.margins(y=0.12)
    axes[0].set_ylabel("percent")
    _legend(canvas, axes[0])
    return canvas


def curve(palette: Palette, title: str, lines: list[tuple[int, str, Mapping[int, float]]]) -> Any:
    """One measure of every run by step: its colour, its name, its values. A long run is smoothed, its values behind."""
    canvas, (axis,) = _panels(1, (4.4, 2.6))
    for i, name, values in lines:
        steps, raw = list(values), list(values.values())
        smooth = smoothed(raw)
        style = {"color": palette.of(i), "marker": MARKERS[i % len(MARKERS)] if len(steps) < 3 else None}
        axis.plot(steps, raw, linewidth=0.6 if smooth else 1.5, alpha=0.35 if smooth else 1, **style)
        axis.plot(steps, smooth or raw, linewidth=1.8 if smooth else 0, **style)
        axis.plot([], [], color=palette.of(i), linewidth=1.8, label=_label(name))
    axis.set(title=title, xlabel="step")
    axis.ticklabel_format(useOffset=False)
    axis.margins(x=0.02, y=0.12)
    low, high = axis.get_ylim()
    least = 0.01 * max(abs(low), abs(high))  # what varies less is drawn flat
    if high - low < least:
        axis.set_ylim((low + high - least) / 2, (low + high + least) / 2)
    if len(lines) > 1:
        axis.legend(loc="best", handlelength=1.4)
    return canvas


@dataclass(frozen=True)
class Series:
    """Points of one kind; `paper` ones are drawn hollow."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    paper: bool
    fit: tuple[float, float] | None = None  # intercept, slope per tenfold
    bars: Sequence[tuple[float, float]] | None = None  # below, above


def scaling(palette: Palette, series: list[Series], ylabel: str) -> Any:
    """Accuracy against the number of SFT cases on a logarithmic axis, with a straight line per kind."""
    canvas, (axis,) = _panels(1, (NARROW, 3.2))
    for i, each in enumerate(series):
        _points(axis, palette, i, each, line=False)
        if each.fit:
            ends = [min(each.x), max(each.x)]
            fitted = [each.fit[0] + each.fit[1] * log10(x) for x in ends]
            axis.plot(ends, fitted, color=palette.of(i), linewidth=1.2, linestyle="--" if each.paper else "-")
    _logarithmic(axis, "x")
    axis.set(xlabel="cases in supervised fine-tuning (logarithmic)", ylabel=ylabel)
    axis.margins(y=0.12)
    _legend(canvas, axis)
    return canvas


def ratios(palette: Palette, panels: dict[str, list[Series]], shares: list[int]) -> Any:
    """A panel per metric against the share of the data that went to SFT."""
    canvas, axes = _panels(len(panels), (WIDE, 3.4))
    for axis, (title, series) in zip(axes, panels.items(), strict=True):
        for i, each in enumerate(series):
            _points(axis, palette, i, each, line=True)
        axis.set(title=title, xticks=shares)
        axis.margins(y=0.12)
    axes[0].set_ylabel("percent")
    axes[len(axes) // 2].set_xlabel("share of the training cases in SFT, percent; the rest is for GRPO")
    _legend(canvas, axes[0])
    return canvas


def _points(axis: Any, palette: Palette, i: int, each: Series, line: bool) -> None:
    marker, colour = MARKERS[i % len(MARKERS)], palette.of(i)
    style = {"color": colour, "markerfacecolor": "none" if each.paper else colour, "label": _label(each.name)}
    style |= {"linestyle": ("--" if each.paper else "-") if line else "none", "linewidth": 1.2}
    if each.bars:
        axis.errorbar(each.x, each.y, yerr=list(zip(*each.bars, strict=True)), fmt=marker, capsize=2.5, **style)
    else:
        axis.plot(each.x, each.y, marker=marker, **style)


def support(palette: Palette, series: dict[str, list[tuple[str, int, float]]], ylabel: str) -> Any:
    """A score by class against the number of cases of that class, each point named."""
    canvas, (axis,) = _panels(1, (NARROW, 3.6))
    for i, (name, points) in enumerate(series.items()):
        _, x, y = zip(*points, strict=True)
        axis.plot(x, y, MARKERS[i % len(MARKERS)], color=palette.of(i), label=_label(name), alpha=0.85)
        for label, cases, value in points if i == len(series) - 1 else ():
            axis.annotate(label, (cases, value), (4, 3), textcoords="offset points", fontsize=7, color=palette.soft)
    _logarithmic(axis, "x")
    axis.set(xlabel="cases of the class (logarithmic)", ylabel=ylabel)
    axis.margins(x=0.06, y=0.12)
    _legend(canvas, axis)
    return canvas


def ranks(palette: Palette, counts: dict[str, list[int]]) -> Any:
    """How many cases the labels have, from the most frequent to the rarest."""
    canvas, (axis,) = _panels(1, (NARROW, 3))
    for i, (name, cases) in enumerate(counts.items()):
        axis.plot(range(1, len(cases) + 1), cases, color=palette.of(i), linewidth=1.6, label=_label(name))
    _logarithmic(axis, "x", "y")
    axis.set(xlabel="label, by its rank", ylabel="cases")
    _legend(canvas, axis)
    return canvas


def confusion(palette: Palette, names: list[str], said: list[str], panels: dict[str, list[list[float]]]) -> Any:
    """Shares of each gold class (rows) by what was said (columns), in percent."""
    many = len(names) > 8
    columns = 1 if many else min(2, len(panels))
    rows = -(-len(panels) // columns)
    canvas, axes = _panels(columns, (NARROW, rows * (6.6 if many else 3)), rows)
    for axis in axes[len(panels) :]:
        axis.remove()
    for i, (axis, (title, shares)) in enumerate(zip(axes, panels.items(), strict=False)):
        for y, row in enumerate(shares):
            for x, share in enumerate(row):
                corners = [x, x + 1, x + 1, x], [y, y, y + 1, y + 1]
                axis.fill(*corners, color=palette.of(0), alpha=0.72 * share, linewidth=0)
                if not many or share >= 0.05:
                    text = {"ha": "center", "va": "center", "fontsize": 6 if many else 8}
                    axis.text(x + 0.5, y + 0.5, f"{100 * share:.0f}", **text)
        axis.grid(False)
        turned = {"rotation": 90, "ha": "center"} if many else {"rotation": 30, "ha": "right"}
        axis.set_xticks([x + 0.5 for x in range(len(said))], said, **turned)
        axis.set_yticks([y + 0.5 for y in range(len(names))], names if i % columns == 0 else [])
        axis.tick_params(length=0, labelsize=7 if many else 8)
        axis.spines[:].set_visible(False)
        axis.set(title=title, xlabel="said", xlim=(0, len(said)), ylim=(len(names), 0))
    axes[0].set_ylabel("gold")
    return canvas


def requests(palette: Palette, counts: dict[str, int], words: list[int]) -> Any:
    """What became of the requests for traces, and how long the reasonings of accepted ones are."""
    canvas, (left, right) = _panels(2, (WIDE, 3.4))
    bars = left.barh(list(counts), list(counts.values()), color=[palette.of(0), *[palette.soft] * (len(counts) - 1)])
    left.bar_label(bars, padding=3)
    left.invert_yaxis()
    left.grid(False)
    left.set(title="requests", xlabel="completions")
    right.hist(words, bins=min(30, max(words, default=0) - min(words, default=0) + 1), color=palette.of(0))
    right.set(title="accepted traces", xlabel="words of the reasoning", ylabel="traces")
    return canvas
