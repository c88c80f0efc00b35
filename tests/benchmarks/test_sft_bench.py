"""The bench of scaling: its arithmetic, and the whole of it in the smallest size."""

import json
from pathlib import Path

import pytest

from benchmarks.sft_scaling import fit, table
from tests.conftest import assert_refused, run_command, run_process


def points(*values: float) -> list[dict]:
    return [
        {"cases": 100 * 2**i, "pass@1": value, "interval": [value - 5, value + 5]} for i, value in enumerate(values)
    ]


def test_a_line_in_the_logarithm_of_the_cases_is_found() -> None:
    found = fit(points(20.0, 32.0, 44.0, 56.0))
    assert found["per_doubling"] == pytest.approx(12) and found["r2"] == pytest.approx(1) and found["rises"]
    assert "+12.0 points a doubling, R2 1.00; Pass@1 rises" in table(found)


def test_a_size_without_a_rise_is_said() -> None:
    found = fit(points(20.0, 44.0, 44.0, 56.0))
    assert not found["rises"] and 0 < found["r2"] < 1
    assert "does not rise at every size" in table(found)


def test_sizes_that_make_no_curve_are_refused(tmp_path: Path) -> None:
    assert_refused(
        run_command("benchmarks.sft_scaling", "--out", tmp_path / "a", "--sizes", 100), "--sizes", "two numbers"
    )


@pytest.mark.slow
def test_the_bench_runs_in_its_smallest_size_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    words = (
        "benchmarks.sft_scaling",
        "--out",
        tmp_path,
        "--sizes",
        30,
        120,
        "--hidden",
        64,
        "--layers",
        2,
        "--goal",
        0,
    )
    done = run_process(*words, "--epochs", 1)
    assert done.returncode in (0, 1), done.stderr  # so few cases may not rise
    found = json.loads((tmp_path / "scaling.json").read_text())
    assert [point["cases"] for point in found["points"]] == [30, 120]
    assert "<svg" in (tmp_path / "report.html").read_text()
    trained = (tmp_path / "sft/30/run.json").stat().st_mtime
    again = run_process(*words, "--epochs", 1)
    assert again.stdout == done.stdout and (tmp_path / "sft/30/run.json").stat().st_mtime == trained
