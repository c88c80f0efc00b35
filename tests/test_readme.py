"""Every block of README.md and recipes/README.md works as it is typed, in order, by somebody who reads nothing else."""

import argparse
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from common.papers import row_of
from recipes.launcher.check_config import check_recipe
from recipes.launcher.compose import compose, split_launch_options
from recipes.launcher.stages import stages
from tests.conftest import ROOT, World
from tests.support.readme import SAVED_AS, blocks, clone, script

TYPED = [block for block in blocks() if block.language in ("bash", *SAVED_AS) and not block.mark]
# what trains: in `make test-full`
LONG = re.compile(r"^(make|bash recipes/(launch|\w+/reproduce)\.sh) .*\n", re.MULTILINE)
LINES = [" ".join(words) for block in blocks() if block.language == "bash" for words in block.lines()]


class Parsed(BaseException):
    """The command's own parser has taken the words."""


def session(folder: Path, text: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A shell of somebody in whose PATH our environment is not, until he activates it."""
    ours = ("PYTHON", "DATA_DIR", "MODEL_PATH", "RUNS_DIR", "MAKE", "MFLAGS", "VIRTUAL_ENV", "PYTEST", "ACCEL")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    place = str(Path(sys.prefix) / "bin")
    clean["PATH"] = os.pathsep.join(part for part in clean["PATH"].split(os.pathsep) if part != place)
    return subprocess.run(
        ["bash", "-c", text],
        cwd=folder,
        env=clean | environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def test_blocks_that_take_no_training_work_as_typed(world: World, tmp_path: Path) -> None:
    text = LONG.sub("", script(TYPED).replace("\\\n", " "))
    assert text.count("python -m recipes.check") >= 4 and "source .venv-cpu/bin/activate" in text
    done = session(clone(tmp_path), text, **world.environment(tmp_path / "runs"))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "own/mine: ready to run" in done.stderr and "table1/strict" in done.stdout


@pytest.mark.slow
def test_every_block_works_as_typed(tmp_path: Path) -> None:
    """The demo with fewer notes and steps; the tests that `make test` would run are only collected: this is one."""
    less = {"NOTES": "1500", "EPOCHS": "2", "STEPS": "2", "PYTEST_ADDOPTS": "--collect-only --quiet"}
    done = session(clone(tmp_path), script(TYPED), **less)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    finished = sorted((tmp_path / "runs").glob("*/*/*/outcomes.parquet"))
    assert len(finished) >= 4, finished  # strict by reproduce.sh, by launch.sh and with the reader's reward; own/mine


@pytest.mark.parametrize("line", sorted(set(LINES)))
def test_the_words_of_every_command_are_those_of_its_parser(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parse(re.sub(r"^(\w+=\S+ )+", "", line).split(" "), monkeypatch)


def parse(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    match words:
        case ["make", target]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        case ["source", name]:
            assert re.fullmatch(r"\.venv-(cpu|gpu)/bin/activate", name)
        case ["python", "-m", module, *argv]:
            original = argparse.ArgumentParser.parse_args

            def once(self: argparse.ArgumentParser, args: list[str] | None = None, *more: object) -> object:
                found = original(self, args, *more)
                if args == []:  # common.settings asks for the defaults first
                    return found
                raise Parsed

            monkeypatch.setattr(argparse.ArgumentParser, "parse_args", once)
            with pytest.raises(Parsed):
                importlib.import_module(module).main(argv)
        case ["bash", "recipes/judge.sh", model, "--", *command] | [
            "bash",
            "recipes/judge.sh",
            "--prm",
            model,
            "--",
            *command,
        ]:
            assert "/" in model
            parse(command, monkeypatch)
        case ["bash", script, row, *options] if script.endswith("/reproduce.sh"):
            assert (ROOT / script).exists() and stages(row_of(row), options)
        case ["bash", "recipes/launch.sh", recipe, *options] | ["sbatch", "recipes/submit.slurm", recipe, *options]:
            if recipe != "own/mine" and "my_reward.py" not in " ".join(options):  # which the reader has yet to write
                check_recipe(recipe, compose(recipe, split_launch_options(options)[1]))
        case _:
            raise AssertionError(f"nothing here knows how {words[:3]} is parsed")
