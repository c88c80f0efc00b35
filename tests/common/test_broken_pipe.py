"""A command whose output nobody reads any more ends at once, whatever its threads and helpers were doing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, World


@pytest.mark.parametrize("task", ["drg", "icd"])
@pytest.mark.parametrize("read", [0, 200])
def test_preparation_ends_when_its_progress_is_read_no_more(world: World, tmp_path: Path, task: str, read: int) -> None:
    places = ("--hosp", world.mimic / "hosp", "--note", world.mimic / "note", "--out", tmp_path / "out")
    words = [sys.executable, "-m", f"data_prep.{task}", *map(str, places)]
    ours, theirs = os.pipe()
    with subprocess.Popen(words, cwd=ROOT, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        left = read
        while left > 0 and (found := os.read(ours, left)):
            left -= len(found)
        os.close(ours)
        assert process.wait(timeout=60) == 141
    assert not (tmp_path / "out" / task).exists()
