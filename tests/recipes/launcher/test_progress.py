"""A line a step: the time that is left, and no step missing from metrics.jsonl."""

import json
from pathlib import Path

import pytest

from recipes.launcher.progress import Progress
from verl_ext.batches import Group, component_means, write_outcomes

INFOS = [{"score": 1.0, "acc": 1.0, "pred": "x"}, {"score": -2.0, "acc": 0.0, "pred": ""}]


def test_the_time_left_is_that_of_the_recent_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(tmp_path, 112, tmp_path / "outcomes.parquet")
    with open(progress.fresh, "a") as file:
        for step in range(1, 53):
            seconds = 600 if step == 1 else 6 if step < 40 else 12
            file.write(json.dumps({"step": step, "data": {"timing_s/step": seconds}}) + "\n")
    progress.follow()
    lines = capsys.readouterr().out.splitlines()
    assert "1110.0 min left" in lines[0]  # better than nothing
    assert "11.0 min left" in lines[1]  # 110 steps of 6 s: without the first, which warms up
    assert "12.0 min left" in lines[51]  # 60 steps of 12 s: those of long ago do not count


def test_a_step_that_was_saved_and_not_logged_is_filled_in(tmp_path: Path) -> None:
    outcomes = tmp_path / "outcomes.parquet"
    for step in (1, 2, 3):
        write_outcomes(outcomes, step, [Group(7, 70, INFOS, [10, 20])])
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 1, "data": {"reward/acc/mean": 0.1}}) + "\n")
    Progress(tmp_path, 5, outcomes, done=2)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2]  # the third is trained again
    filled = rows[1]["data"]
    means = component_means(INFOS)
    assert filled["reward/acc/mean"] == means["reward/acc/mean"] == 0.5
    assert filled["critic/score/mean"] == -0.5 and filled["response_length/mean"] == 15
    assert filled["medcode/from_outcomes"] == 1  # what verl alone knows of the step is lost
    Progress(tmp_path, 5, outcomes, done=2)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2
