"""Files are checked against their declared schema when they are written and when they are read."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.commands import UserError
from data_prep import parquet, prompts

ROW: dict[str, Any] = {
    "data_source": "mimic_drg",
    "prompt": [{"role": "user", "content": "A note."}],
    "ability": "medical_coding",
    "reward_model": {"style": "rule", "ground_truth": "CHEST PAIN"},
    "extra_info": {
        "index": 0, "split": "train", "hadm_id": 1, "subject_id": 2, "prompt_tokens": None, "note_truncated": False,
    },
}  # fmt: skip


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    parquet.write([ROW], tmp_path / "a.parquet")
    assert parquet.read(tmp_path / "a.parquet").to_pylist() == [ROW]
    assert parquet.golds(tmp_path / "a.parquet") == ["CHEST PAIN"]


@pytest.mark.parametrize(
    "change", [{"prompt": None}, {"data_source": None}, {"extra_info": {**ROW["extra_info"], "hadm_id": "x"}}]
)
def test_a_row_that_does_not_fit_is_not_written(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        parquet.write([{**ROW, **change}], tmp_path / "a.parquet")
    assert list(tmp_path.iterdir()) == []


def test_further_fields_are_allowed_and_absent_or_mistyped_ones_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    more = {**ROW["extra_info"], "note": "A note."}
    pq.write_table(pa.Table.from_pylist([{**ROW, "extra_info": more, "x": 1}]), path)
    assert parquet.read(path)["extra_info"][0]["note"].as_py() == "A note."
    pq.write_table(pa.Table.from_pylist([{**ROW, "extra_info": {**more, "hadm_id": "1"}}]), path)
    with pytest.raises(UserError, match="has hadm_id, which is string, not int64"):
        parquet.read(path)
    pq.write_table(pa.Table.from_pylist([{name: ROW[name] for name in ROW if name != "prompt"}]), path)
    with pytest.raises(UserError, match="lacks the column prompt"):
        parquet.read(path)
    pq.write_table(pa.Table.from_pylist([{**ROW, "extra_info": {"index": 0}}]), path)
    with pytest.raises(UserError, match="extra_info lacks split, hadm_id"):
        parquet.read(path)
    pq.write_table(pa.Table.from_pylist([{**ROW, "prompt": "A note."}]), path)
    with pytest.raises(UserError, match="prompt is string, not list"):
        parquet.read(path)


def test_prompts_are_short_own_files_come_first_and_hashes_follow(tmp_path: Path) -> None:
    drg = prompts.load("drg")
    assert len(f"{drg.system} {drg.user}".split()) <= 80
    for task, tag in (("drg", "answer"), ("icd", "diagnosis")):
        assert f"<think>\nreasoning\n</think>\n<{tag}>\n" in prompts.load(task).system
    note = "Braces {note} {x} and $ signs \\1 stay."
    assert note in prompts.messages("drg", note)[1]["content"]
    (tmp_path / "drg_system.txt").write_text("")
    assert [message["role"] for message in prompts.messages("drg", note, tmp_path)] == ["user"]
    ours, own = prompts.hashes(), prompts.hashes(tmp_path)
    assert {name for name in ours if ours[name] != own[name]} == {"drg_system.txt"}
