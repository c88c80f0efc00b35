"""`make` in a fresh folder: what it says when it cannot set up, and that it then leaves nothing behind."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT


def make(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    for name in ("Makefile", "requirements.txt", "requirements-cpu.txt"):
        shutil.copy(ROOT / name, folder)
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *words], cwd=folder, env={**clean, **environment}, capture_output=True, text=True)


@pytest.mark.parametrize("version", ["3.10.14", "3.13.1"])
def test_another_python_is_refused_in_a_sentence(tmp_path: Path, version: str) -> None:
    other = tmp_path / "python-other"
    other.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "Python {version}" && exit 0\nexit 1\n')
    other.chmod(0o755)
    done = make(tmp_path, "setup", "ACCEL=cpu", f"PYTHON={other}")
    assert done.returncode == 2 and not (tmp_path / ".venv").exists()
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(said) == 1 and version in said[0] and "3.11 or 3.12" in said[0]


def test_an_unknown_accelerator_is_refused(tmp_path: Path) -> None:
    done = make(tmp_path, "setup", "ACCEL=tpu")
    assert done.returncode == 2 and "ACCEL=tpu is neither cpu nor gpu" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_an_install_that_fails_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "no-index").mkdir()
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "no-index"), "TORCH_CPU_INDEX": "file:///nowhere"}
    done = make(tmp_path, "setup", "ACCEL=cpu", **offline)
    assert done.returncode == 2 and "torch" in done.stderr
    assert not list((tmp_path / ".venv").glob(".made-from-*"))


def test_help_lists_every_target(tmp_path: Path) -> None:
    done = make(tmp_path)
    assert done.returncode == 0
    for target in ("demo", "test", "test-full", "smoke-all", "check", "lint", "clean"):
        assert f"make {target} " in done.stdout
