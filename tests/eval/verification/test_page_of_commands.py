"""recipes/clinical_prm/README.md: what it tells the reader to type works, or at least is what the parsers take."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.readme import FENCE, Block, clone
from tests.test_readme import parse

PAGE = ROOT / "recipes/clinical_prm/README.md"
BLOCKS = [Block(*fence) for fence in FENCE.findall(PAGE.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("words", [words for block in BLOCKS for words in block.lines()], ids=" ".join)
def test_the_words_of_every_command_are_those_of_its_parser(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    begin = next(at for at, word in enumerate(words) if word in ("python", "accelerate", "bash"))  # behind variables
    python = words[begin] != "bash"
    parse(["python", *words[words.index("-m") :]] if python else words[begin:], monkeypatch)


@pytest.mark.slow
def test_the_synthetic_clinic_works_as_typed_and_the_tiny_model_finds_the_right_notes(tmp_path: Path) -> None:
    """Fifteen minutes of a core: an untrained model learns to find the one right note of eight (chance 12.5 %), and of
    a writer's eight the one with more right facts; then the writer trains on it."""
    text = "\n".join(block.text for block in BLOCKS if block.language == "bash" and not block.mark)
    path = f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"
    clean = {name: value for name, value in os.environ.items() if name not in ("DATA_DIR", "MODEL_PATH", "BASE_MODEL")}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text], cwd=clone(tmp_path),
        env=clean | {"PATH": path, "PYTHON": sys.executable}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert "test: 100 cases, 800 notes" in done.stdout
    assert (tmp_path / "outputs/clinic/report/index.html").is_file()
    print(done.stdout)
    scores = json.loads((tmp_path / "outputs/clinic/eval/scores.json").read_text())
    for name in ("sum", "mean", "min"):
        found = scores["accuracy"][name]
        assert found["value"] >= 0.6 and found["interval"][0] > scores["accuracy"]["most labels"]["interval"][1]
        assert scores["paired"][f"{name} - most labels"]["interval"][0] > 0
    chosen = json.loads((tmp_path / "outputs/clinic/best_of/best_of.json").read_text())["measures"]["facts"]
    assert chosen["paired"]["mean - random"]["interval"][0] > 0
    (metrics,) = (tmp_path / "runs/clinical_prm/note_grpo").glob("*/metrics.jsonl")
    rows = [json.loads(line)["data"] for line in metrics.read_text().splitlines()]
    assert len(rows) == 2 and all(row["reward/end/mean"] > 0 == row["reward/reward_error/mean"] for row in rows)
