"""The scripts: which Python they start, of the environments that `make` sets up, and what they say how to call them."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, assert_refused, run_process

SCRIPTS = [*sorted(ROOT.glob("recipes/*.sh")), *sorted(ROOT.glob("recipes/*/*.sh")), ROOT / "recipes/submit.slurm"]


def found(folder: Path, gpu: bool, *words: str, **environment: str) -> str:
    """What PYTHON is after the file was sourced in this folder."""
    driver = folder / "bin" / "nvidia-smi"
    driver.parent.mkdir(exist_ok=True)
    driver.write_text(f"#!/bin/sh\nexit {0 if gpu else 9}\n")
    driver.chmod(0o755)
    env = {**os.environ, "PATH": f"{driver.parent}:{os.environ['PATH']}", "PYTHON": "", **environment}
    script = f'set -euo pipefail; source {ROOT}/recipes/environment.sh "$@"; bash -c \'echo "$PYTHON"\''
    done = subprocess.run(
        ["bash", "-c", script, "script", *words], cwd=folder, env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.strip().removeprefix(f"{folder}/")


@pytest.mark.parametrize(
    ("made", "gpu", "words", "wanted"),
    [
        (("cpu", "gpu"), True, (), "gpu"),
        (("cpu", "gpu"), False, (), "cpu"),
        (("cpu", "gpu"), True, ("drg_sapphire/strict", "hardware=cpu", "name=a"), "cpu"),
        (("cpu",), True, (), "cpu"),
        (("gpu",), False, (), "gpu"),  # a login node: its jobs will see a GPU
        (("gpu",), True, ("hardware=cpu",), "gpu"),  # where recipes.check says what is missing
        ((), True, (), None),
    ],
)
def test_the_environment_is_that_of_the_machine(
    tmp_path: Path, made: tuple[str, ...], gpu: bool, words: tuple[str, ...], wanted: str | None
) -> None:
    for kind in made:
        (tmp_path / f".venv-{kind}/bin").mkdir(parents=True)
        (tmp_path / f".venv-{kind}/bin/python").symlink_to("/bin/sh")
    assert found(tmp_path, gpu, *words) == (f".venv-{wanted}/bin/python" if wanted else "python")
    assert found(tmp_path, gpu, *words, PYTHON="/their/python") == "/their/python"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_script_looks_for_a_python_of_its_own(script: Path) -> None:
    text = script.read_text()
    assert script.name == "environment.sh" or ".venv" not in text
    assert script.name == "environment.sh" or "source recipes/environment.sh" in text


@pytest.mark.parametrize("paper", ["drg_sapphire", "deepicd_r1", "codiesp"])
def test_a_script_without_a_row_says_how_on_stderr_and_ends_with_status_2(paper: str) -> None:
    script = ("bash", f"recipes/{paper}/reproduce.sh")
    done, asked = run_process(*script), run_process(*script, "--help")
    assert done.returncode == 2 and not done.stdout and done.stderr.startswith("usage: ")
    assert asked.returncode == 0 and asked.stdout == done.stderr


def test_the_demo_says_what_it_is_and_takes_no_words(copy: Path) -> None:
    asked, wrong = (run_process("bash", copy / "recipes/demo.sh", word, cwd=copy) for word in ("--help", "sft"))
    assert asked.returncode == 0 and "FRESH=1 bash recipes/demo.sh" in asked.stdout
    assert_refused(wrong, "takes no words", "sft", "--help")
    assert not (copy / "outputs").exists()
    launcher = run_process("bash", "recipes/launch.sh")
    assert launcher.returncode == 2 and not launcher.stdout and "recipes/launch.sh" in launcher.stderr
