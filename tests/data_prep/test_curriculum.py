"""From a run's outcomes to filtered and ordered training files, through the command."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.commands import UserError
from data_prep import parquet
from data_prep.curriculum import judge, schemes_of
from reward_fns.drg.reward import NOTHING, SCHEMES, payments
from tests.conftest import World, assert_refused, run_command

# A.6 on groups of two: score, accuracy, acc, format -> easy, hard
GROUPS = {
    "all right": ([2, 2], [2, 2], [1, 1], [0, 0], True, False),
    "one right": ([2, -0.5], [2, -0.5], [1, 0], [0, 0], False, False),
    "nothing right, dense or balanced": ([-0.5, -0.5], [-0.5, -0.5], [0, 0], [0, 0], False, True),
    "nothing right, strict": ([0, 0], [0, 0], [0, 0], [0, 0], False, True),
    "no valid title": ([-1.5, -1.5], [-1.5, -1.5], [0, 0], [0, 0], False, False),
    "wrong format": ([-2, -2], [0, 0], [0, 0], [-2, -2], False, False),
    "half right in the same way": ([1.5, 1.5], [1.5, 1.5], [0, 0], [0, 0], False, False),
}


@pytest.mark.parametrize("name", GROUPS)
def test_what_is_easy_and_what_is_hard(name: str) -> None:
    *group, easy, hard = GROUPS[name]
    scheme = "strict" if "strict" in name else "dense"
    assert judge(*group, payments(scheme, NOTHING))[:2] == (easy, hard)


def test_what_is_hard_is_what_the_scheme_of_the_run_pays_nothing_for(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "reward: {custom_reward_function: {reward_kwargs: {accuracy: dense}}}\n", encoding="utf-8"
    )
    assert schemes_of(tmp_path / "outcomes.parquet", None) == ["dense"]
    assert schemes_of(tmp_path / "outcomes.parquet", "strict") == ["strict"]
    assert schemes_of(tmp_path / "elsewhere" / "outcomes.parquet", None) == list(SCHEMES)
    (tmp_path / "config.yaml").write_text(
        "reward: {custom_reward_function: {reward_kwargs: {accuracy: lavish}}}\n", encoding="utf-8"
    )
    with pytest.raises(UserError, match=r"'lavish' is unknown.*--accuracy"):
        schemes_of(tmp_path / "outcomes.parquet", None)


@pytest.fixture
def outcomes(world: World, tmp_path: Path) -> Path:
    """Of rl/small's first four prompts, two steps: the second step's word on prompt 0 is the one that counts."""
    indices = parquet.infos(parquet.read(world.data / "drg" / "rl" / "small.parquet"), "index")
    seen = [(1, 0, "nothing right, strict"), (1, 1, "all right"), (1, 2, "nothing right, strict"), (1, 3, "one right")]
    folder = tmp_path / "outcomes.parquet"
    folder.mkdir()
    for step, rows in ((1, seen), (2, [(2, 0, "all right")])):
        table = [
            {
                "step": step,
                "index": indices[at],
                **dict(zip(("score", "accuracy", "acc", "format"), GROUPS[name], strict=False)),
            }
            for _, at, name in rows
        ]
        pq.write_table(pa.Table.from_pylist(table), folder / f"step-{step:06}.parquet")
    return folder


def rows_of(folder: Path, suffix: str) -> list[int]:
    return parquet.infos(parquet.read(folder / f"small_{suffix}.parquet"), "index")


def test_easy_and_hard_prompts_are_left_out_and_the_rest_is_kept_in_place(
    world: World, outcomes: Path, tmp_path: Path
) -> None:
    data = world.data / "drg" / "rl" / "small.parquet"
    done = run_command("data_prep.curriculum", "--data", data, "--outcomes", outcomes, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    every = parquet.infos(parquet.read(data), "index")
    assert rows_of(tmp_path, "without_easy") == every[2:]
    assert rows_of(tmp_path, "without_hard") == every[:2] + every[3:]
    assert rows_of(tmp_path, "without_easy_and_hard") == every[3:]
    assert rows_of(tmp_path, "hard") == every[2:3]
    # 2, 2, 0.75, 0: means of the first four; the rest was never drawn and stands where the mean is
    assert rows_of(tmp_path, "easy_to_hard") == [every[0], every[1], *every[4:], every[3], every[2]]
    record = json.loads((tmp_path / "small_curriculum.json").read_text())
    assert record["drawn"] == 4 and record["files"]["small_hard.parquet"]["rows"] == 1
    assert f"never drew {len(every) - 4:,}" in done.stdout


def test_parts_are_disjoint_equal_and_whole(world: World, tmp_path: Path) -> None:
    data = world.data / "drg" / "rl" / "small.parquet"
    done = run_command("data_prep.curriculum", "--data", data, "--parts", 3, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    parts = [rows_of(tmp_path, f"part_{part}") for part in (1, 2, 3)]
    every = parquet.infos(parquet.read(data), "index")
    assert (
        sorted(index for part in parts for index in part) == sorted(every)
        and max(map(len, parts)) - min(map(len, parts)) <= 1
    )


def test_bad_input_is_one_sentence(world: World, outcomes: Path, tmp_path: Path) -> None:
    data = world.data / "drg" / "rl" / "small.parquet"
    words = ("data_prep.curriculum", "--data", data, "--out", tmp_path / "new")
    assert_refused(run_command(*words, "--parts", 1), "--parts 1")
    assert_refused(run_command(*words, "--outcomes", tmp_path / "none"), "none", "outcomes.parquet")
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"step": [1]}), other)
    assert_refused(run_command(*words, "--outcomes", other), "lacks the column index")
    for file in outcomes.iterdir():
        table = pq.read_table(file)
        pq.write_table(table.set_column(1, "index", pa.array([-1] * len(table))), file)
    assert_refused(run_command(*words, "--outcomes", outcomes), "knows no prompt", "small.parquet")
    assert not (tmp_path / "new").exists()
