"""The report's figures: files on request, in colours that everybody can tell apart."""

import re
from functools import partial

import pytest

from eval.page.drawing import requests
from eval.page.figure import DARK, LIGHT, Figure
from tests.support.eval_folders import folder, scored


def test_figures_are_files_too(tmp_path, command, world):
    run = scored(command, folder(tmp_path / "run"))
    words = ("--runs", run, "--out", tmp_path / "report", "--figures", "--data", world.data)
    done = command("eval.report", *words)
    assert done.returncode == 0, done.stderr
    shown = set(re.findall(r'id="figure-([^"]+)"', (tmp_path / "report" / "index.html").read_text()))
    files = {path.name for path in (tmp_path / "report" / "figures").iterdir()}
    assert files == {f"{key}.{kind}" for key in shown for kind in ("png", "pdf")} and "labels-drg.pdf" in files
    for name in files:
        start = (tmp_path / "report" / "figures" / name).read_bytes()[:5]
        assert start.startswith(b"%PDF-" if name.endswith("pdf") else b"\x89PNG")


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_colours_differ_in_lightness_or_hue_for_every_kind_of_colour_vision(palette):
    """Machado's matrices for the two common kinds; the distance in linear RGB between any two of the first three."""
    kinds = {
        "usual": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
        "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
        "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    }

    def seen(colour: str, matrix: tuple) -> list[float]:
        rgb = [(int(colour[i : i + 2], 16) / 255) ** 2.2 for i in (1, 3, 5)]
        return [
            max(0.0, sum(weight * value for weight, value in zip(row, rgb, strict=True))) ** (1 / 2.2) for row in matrix
        ]

    for matrix in kinds.values():
        colours = [seen(colour, matrix) for colour in palette.series[:3]]
        for i, one in enumerate(colours):
            for other in colours[:i]:
                assert sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5 > 0.2


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_the_same_figure_gives_the_same_bytes(tmp_path, kind):
    draw = partial(requests, counts={"accepted": 5, "short": 2}, words=[20, 30, 30, 40, 41])
    first, again = (Figure("quality", "requests", "", draw).save(tmp_path / name, [kind])[0] for name in "ab")
    assert first.read_bytes() == again.read_bytes()
