"""A Python that cannot run the commands says so in one sentence, whichever command it starts."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import ROOT, assert_refused
from tests.test_docs import COMMANDS


def bare(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Python with nothing but what it brings, in this folder."""
    command = [sys.executable, "-E", "-S", *words]  # -S: no installed packages
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_every_command_says_what_a_bare_python_lacks_and_what_to_do() -> None:
    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(lambda module: bare(ROOT, "-m", module, "--help"), COMMANDS))
    refused = [done for done in ends if done.returncode]  # the rest needs no package to show its help
    assert len(refused) > 20
    for done in refused:
        assert_refused(done, f"the Python {sys.executable} lacks the package ", "/bin/activate`", "requirements.txt")


@pytest.mark.parametrize(("made", "remedy"), [((), "`make setup` and then `source .venv-cpu/bin/activate`"),
                                              (("cpu",), "say `source .venv-cpu/bin/activate`"),
                                              (("cpu", "gpu"), "say `source .venv-gpu/bin/activate`")])  # fmt: skip
def test_the_remedy_is_the_environment_that_is_there(copy: Path, made: tuple[str, ...], remedy: str) -> None:
    for kind in made:
        python = copy / f".venv-{kind}/bin/python"
        python.parent.mkdir(parents=True)
        python.touch()
    assert_refused(bare(copy, "-m", "recipes.check", "--rows"), remedy)


def test_an_old_python_is_told_its_version() -> None:
    code = "import runpy, sys; sys.version_info = (3, 9, 1); runpy.run_module('recipes.check', run_name='__main__')"
    assert_refused(bare(ROOT, "-c", code), "is 3.9 and 3.11 or 3.12 is needed")


def test_a_fault_of_our_own_keeps_its_traceback(copy: Path) -> None:
    (copy / "common/papers.py").write_text("import common.nowhere\n")
    done = subprocess.run([sys.executable, "-m", "recipes.check"], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 1 and "No module named 'common.nowhere'" in done.stderr and "Traceback" in done.stderr
