"""The benchmark of data preparation says time, memory and bytes a note; memory grows little with the notes."""

import re
from pathlib import Path

import pytest

from tests.conftest import World, assert_refused, run_command, run_process


def test_the_benchmark_prints_every_figure(world: World) -> None:
    done = run_process("benchmarks.data", "--mimic", world.mimic)
    assert done.returncode == 0, done.stderr
    for said in ("pyarrow.csv.open_csv", "pandas.read_csv", "times the fastest reader", "for each further kept note"):
        assert said in done.stdout


def test_a_folder_without_notes_is_refused(tmp_path: Path) -> None:
    assert_refused(run_command("benchmarks.data", "--mimic", tmp_path), "discharge.csv.gz", "--mimic")


@pytest.mark.slow
def test_100000_notes_fit_in_2_gb() -> None:
    done = run_process("benchmarks.data", "--notes", 100_000)
    assert done.returncode == 0, done.stderr
    peaks = re.findall(r"peak memory +([\d,]+) MB", done.stdout)
    assert len(peaks) == 2 and all(int(peak.replace(",", "")) < 2000 for peak in peaks), done.stdout
