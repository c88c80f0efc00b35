"""Training runs in the report: one row a step, thinned in the table and smoothed in the curves."""

from eval.page.curves import smoothed
from tests.support.report_pages import STEP, training


def test_a_resumed_run_counts_by_the_last_row_of_a_step_and_a_half_written_line_is_left_out(tmp_path, command):
    rows = [(1, STEP), (2, STEP | {"critic/score/mean": -9.0}), (2, STEP | {"critic/score/mean": 0.25})]
    grpo = training(tmp_path / "grpo", rows, tail='{"step": 3, "da')
    done = command("eval.report", "--runs", grpo, "--out", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    table = [line.split() for line in done.stdout.splitlines()[1:4]]
    assert table == [
        ["step", "reward", "length", "kl", "agreement"],
        ["1", "-1.500", "80.0", "0.0010", "0.9980"],
        ["2", "0.250", "80.0", "0.0010", "0.9980"],
    ]


def test_steps_are_thinned_and_what_verl_did_not_log_at_a_step_is_a_dash(tmp_path, command):
    rows = [(step, {"critic/score/mean": float(step)}) for step in range(1, 100)]
    rows.append((100, {"critic/score/mean": 100.0, "response_length/mean": 7.0}))
    done = command("eval.report", "--runs", training(tmp_path / "grpo", rows), "--out", tmp_path / "report")
    table = [line.split() for line in done.stdout.splitlines()[2:-2]]
    assert len(table) == 12 and table[0] == ["1", "1.000", "-"] and table[-1] == ["100", "100.000", "7.0"]


def test_long_curves_are_smoothed_over_50_steps_and_short_ones_are_not():
    values = [float(i) for i in range(200)]
    found = smoothed(values)
    assert found[0] == 0 and found[1] == 0.5 and found[199] == sum(values[150:]) / 50
    assert smoothed(values[:99]) is None
