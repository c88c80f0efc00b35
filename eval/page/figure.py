"""The report's figures: each is drawn by one function, as SVG in the page's own colours and as PNG and PDF files.

figure = Figure("curve-reward", "Mean reward", "over the completions of a step", partial(curve, title="…", lines=…))
figure.svg()                       # for the page: follows its light or dark colours
figure.save(Path("report/figures"))
"""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.files import whole_file
from eval.page.drawing import Palette

LIGHT = Palette("#1c2127", "#5b6570", "#dde1e5", ("#0067a5", "#c2500a", "#00815f", "#9b4488", "#8a6d00", "#4d5b6a"))
DARK = Palette("#e7eaed", "#9ba6b0", "#363d44", ("#6cb6ee", "#f29b55", "#4cc9a0", "#e09acb", "#d9b944", "#aab6c2"))
# Stand-ins that no colour of a figure equals; the page's variables take their place.
_PAGE = Palette("#010101", "#010102", "#010103", tuple(f"#0200{i:02d}" for i in range(len(LIGHT.series))))
_VARIABLES = {_PAGE.ink: "var(--ink)", _PAGE.soft: "var(--soft)", _PAGE.line: "var(--line)"}
_VARIABLES |= {colour: f"var(--series-{i})" for i, colour in enumerate(_PAGE.series, 1)}
_STYLE = Path(__file__).with_suffix(".mplstyle")
_WHEN = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}  # the same figure gives the same bytes


@dataclass(frozen=True)
class Figure:
    """A figure: the name of its files, what it shows, how to read it, and what draws it."""

    key: str
    title: str
    caption: str
    draw: Callable[[Palette], Any]

    def svg(self) -> Any:
        """An SVG element for the page."""
        from markupsafe import Markup, escape

        buffer = io.StringIO()
        with _style(_PAGE, self.key):
            self.draw(_PAGE).savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        text = buffer.getvalue().partition("<svg")[2]
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
        text = re.sub(r'<g id="[^"]*">', "<g>", text)  # ids that no other element names; they recur in every figure
        text = re.sub(r"(font: [^;\"]*?)'[^;\"]*", r"\1system-ui, sans-serif", text)
        for colour, variable in _VARIABLES.items():
            text = text.replace(colour, variable)
        head, _, body = text.partition(">")
        head = re.sub(r' (width|height)="[^"]*"', "", head)
        return Markup(f'<svg{head} role="img" aria-label="{escape(f"{self.title}: {self.caption}")}">{body}')

    def save(self, folder: Path, kinds: Sequence[str] = ("png", "pdf")) -> list[Path]:
        """A PNG and a PDF for papers and slides, or files of other kinds."""
        paths = [folder / f"{self.key}.{kind}" for kind in kinds]
        with _style(LIGHT, self.key):
            drawn = self.draw(LIGHT)
            for path in paths:
                with whole_file(path) as made:
                    when = _WHEN.get(path.suffix, {})
                    drawn.savefig(made, format=path.suffix[1:], dpi=200, facecolor="white", metadata=when)
        return paths


def _style(palette: Palette, salt: str) -> Any:
    import matplotlib

    style: dict[str, Any] = dict.fromkeys(("text.color", "axes.labelcolor", "axes.titlecolor"), palette.ink)
    style |= dict.fromkeys(("xtick.color", "ytick.color", "axes.edgecolor"), palette.soft)
    style |= {"grid.color": palette.line, "svg.hashsalt": salt}
    return matplotlib.rc_context(style, fname=_STYLE)
