"""A disk that fills up in mid-run ends the run with that sentence, and the run goes on when there is room again."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, World

ROOM = 1500  # megabytes: more than the check asks for, little enough for memory
STEPS = 4


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}m", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("a disk of its own can be mounted by root only")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.mark.slow
def test_a_full_disk_is_named_and_the_run_resumes(world: World, tmp_path: Path, small_disk: Path) -> None:
    env = {**os.environ, **world.environment(tmp_path), "RUNS_DIR": str(small_disk), "PYTHON": sys.executable}
    words = ["bash", "recipes/launch.sh", "drg_sapphire/strict", "hardware=cpu", "name=full", "data.train_batch_size=4"]
    words += [f"trainer.total_training_steps={STEPS}", "trainer.save_freq=1"]
    filler = small_disk / "filler"
    with subprocess.Popen(words, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        said = []
        for line in run.stdout or ():
            said.append(line)
            if line.split()[:2] == ["step", f"2/{STEPS}"]:
                disk = os.statvfs(small_disk)
                with open(filler, "wb") as file:
                    os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_frsize)
    assert filler.exists() and run.returncode not in (0, 2), "".join(said)
    assert "the disk is full" in "".join(said) and "for want of memory" not in "".join(said), "".join(said)

    filler.unlink()
    again = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True)
    assert again.returncode == 0, again.stdout + again.stderr
    folder = small_disk / "drg_sapphire" / "strict" / "full"
    rows = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert "going on from step" in again.stdout and set(rows) >= set(range(1, STEPS + 1))
    assert json.loads((folder / "run.json").read_text())["status"] == "finished"
