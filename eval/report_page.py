"""The report as one HTML page: figures as inline SVG that follow the page's light or dark colours."""

import io
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eval.runs import CURVES, Difference, Evaluation, Training, number, text, thinned
from eval.samples import LEVELS
from eval.score import TITLES

TEMPLATE = Path(__file__).with_name("report.html")
SMOOTHED = 50  # steps, as in the papers' curves; runs of less than twice as many are drawn as they are
# Figures are drawn in these colours, and the page's own take their place.
INK, LINE = "#010101", "#020202"
SERIES = tuple(f"#0303{i:02d}" for i in range(1, 7))
_COLOURS = {INK: "currentColor", LINE: "var(--line)"} | {s: f"var(--series-{i})" for i, s in enumerate(SERIES, 1)}


def page(evaluations: list[Evaluation], differences: list[Difference], trainings: list[Training]) -> str:
    """The whole page; nothing in it is fetched and no text of a note or completion is part of it."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        evaluations=evaluations,
        differences=differences,
        trainings=trainings,
        levels=[(level, TITLES[level]) for level in LEVELS],
        sizes=sorted({each.samples.n for each in evaluations}),
        figures=_figures(evaluations, trainings),
        curves=CURVES,
        text=text,
        number=number,
        thinned=thinned,
        about=_about,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _about(each: Evaluation | Training) -> list[tuple[str, str]]:
    """What made a run, as far as its run.json says so."""
    run = each.run
    settings = run.get("settings", {})
    found: dict[str, Any] = {"folder": each.folder, "recipe": run.get("recipe"), "command": run.get("command")}
    if settings:
        found["sampling"] = settings["sampling"] | {key: settings[key] for key in ("seed", "prefill", "dtype")}
        found["model"] = f"{settings['model']['name']} ({settings['model']['fingerprint'][:12]})"
        found["data"] = f"{settings['data']['name']} ({settings['data']['sha256'][:12]})"
    found |= {key: run.get(key) for key in ("overrides", "commit", "versions", "started", "ended")}
    return [(key, _words(value)) for key, value in found.items() if value not in (None, "", [], {})]


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(item) or '-'}" for key, item in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _figures(evaluations: list[Evaluation], trainings: list[Training]) -> dict[str, Any]:
    import matplotlib

    matplotlib.use("svg")
    style = dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK)
    style |= {"grid.color": LINE, "svg.fonttype": "none", "svg.hashsalt": "report", "legend.frameon": False}
    style |= {"axes.spines.top": False, "axes.spines.right": False, "font.size": 9, "axes.titlesize": 10}
    with matplotlib.rc_context(style):
        found = {"accuracy": _accuracy(evaluations)} if evaluations else {}
        for key, (title, _, _) in CURVES.items():
            lines = [(t.name, t.steps, t.curves[key]) for t in trainings if any(v is not None for v in t.curves[key])]
            if lines:
                found[key] = _curve(title, lines)
    return found


def _accuracy(evaluations: list[Evaluation]) -> Any:
    """A panel per level: Pass@1, Pass@n and Maj@n of every evaluation with their intervals."""
    figure, panels = _panels(len(LEVELS), (9, 3.2))
    sizes = {each.samples.n for each in evaluations}
    n = sizes.pop() if len(sizes) == 1 else "n"
    for panel, level in zip(panels, LEVELS, strict=True):
        for i, each in enumerate(evaluations):
            cells = each.cells(level)
            values = [100 * cell["value"] for cell in cells]
            below = [100 * max(0.0, cell["value"] - cell["interval"][0]) for cell in cells]
            above = [100 * max(0.0, cell["interval"][1] - cell["value"]) for cell in cells]
            offset = (i - (len(evaluations) - 1) / 2) * 0.6 / max(2, len(evaluations))
            panel.errorbar(
                [x + offset for x in range(3)],
                values,
                yerr=[below, above],
                fmt="o",
                capsize=3,
                color=SERIES[i % len(SERIES)],
                label=each.name,
            )
        panel.set_xticks(range(3), ["Pass@1", f"Pass@{n}", f"Maj@{n}"])
        panel.set_xlim(-0.5, 2.5)
        panel.set_title(TITLES[level])
    panels[0].set_ylabel("percent")
    if len(evaluations) > 1:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return _svg(figure, "Pass@1, Pass@n and Maj@n with 95 % intervals")


def _curve(title: str, lines: list[tuple[str, list[int], list[float | None]]]) -> Any:
    """One measure of every training run by step; long runs are smoothed, with the raw values behind."""
    figure, (panel,) = _panels(1, (4.4, 2.7))
    for i, (name, steps, values) in enumerate(lines):
        points = [(step, value) for step, value in zip(steps, values, strict=True) if value is not None]
        x, y = [step for step, _ in points], [value for _, value in points]
        colour, long = SERIES[i % len(SERIES)], len(y) >= 2 * SMOOTHED
        panel.plot(x, y, color=colour, alpha=0.25 if long else 1, marker="o" if len(y) < 3 else None, label=name)
        if long:
            smooth = [sum(y[max(0, j - SMOOTHED + 1) : j + 1]) / min(j + 1, SMOOTHED) for j in range(len(y))]
            panel.plot(x, smooth, color=colour)
    panel.set_title(title)
    panel.set_xlabel("step")
    panel.ticklabel_format(useOffset=False)
    if len(lines) > 1:
        panel.legend(loc="best")
    return _svg(figure, f"{title} by step")


def _panels(count: int, size: tuple[float, float]) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, count, squeeze=False)[0]
    for panel in panels:
        panel.grid(axis="y", linewidth=0.6)
        panel.set_axisbelow(True)
    return figure, panels


def _svg(figure: Any, label: str) -> Any:
    """The figure as an SVG element in the page's colours and type."""
    from markupsafe import Markup, escape

    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r"(font: [^;\"]*?)'[^;\"]*", r"\1system-ui, sans-serif", drawn)
    for colour, name in _COLOURS.items():
        drawn = drawn.replace(colour, name)
    return Markup(drawn.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1))
