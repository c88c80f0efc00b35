"""data_prep.validate passes what data_prep.drg and data_prep.icd wrote and names the fault in what somebody changed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from common.commands import UserError
from data_prep import parquet, validate
from data_prep.writing import manifest
from reward_fns.task import TASKS
from tests.conftest import World, assert_refused, run_command

Row = dict[str, Any]


def changed(world: World, place: Path, change: Callable[[Row], object], task: str = "drg") -> Path:
    """A copy of a test file with its second row changed."""
    rows = parquet.read(world.data / task / "test.parquet").to_pylist()
    change(rows[1])
    parquet.write(rows, place / "file.parquet")
    return place / "file.parquet"


def test_prepared_data_passes_and_is_shown_as_a_table(world: World) -> None:
    done = run_command("data_prep.validate", world.data)
    assert done.returncode == 0, done.stderr
    for task in ("drg", "icd"):
        assert f"{world.data / task}: all checks passed" in done.stdout
        for name in json.loads((world.data / task / "manifest.json").read_text())["files"]:
            assert name in done.stdout
    assert done.stdout.count("subject_id in both train and test: 0") == 2
    assert "subject_id in both test and val: 0" in done.stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda row: row["reward_model"].update(ground_truth="HEART FAILURE WITH MCC"), "row 1: .*no MS-DRG v34 title"),
        (lambda row: row["reward_model"].update(ground_truth=None), "row 1: .*None"),
        (lambda row: row.update(data_source="math"), "data_source 'math' is unknown"),
        (lambda row: row.update(prompt=[]), "row 1: the prompt"),
        (lambda row: row["prompt"].append({"role": "assistant", "content": "x"}), "row 1: the prompt"),
        (lambda row: row["extra_info"].update(prompt_tokens=10_000), "10000 tokens, more than the 384"),
    ],
)
def test_a_fault_in_a_row_is_named(world: World, tmp_path: Path, change: Callable[[Row], object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        validate.check_file(changed(world, tmp_path, change), 384)


@pytest.mark.parametrize("task", ["drg", "icd"])
def test_an_untouched_file_passes(world: World, task: str) -> None:
    assert validate.check_file(world.data / task / "test.parquet", 384).num_rows > 0


def test_an_icd_gold_must_exist_or_be_listed_beside_the_file(world: World, tmp_path: Path) -> None:
    path = changed(world, tmp_path, lambda row: row["reward_model"].update(ground_truth="I2149"), "icd")
    with pytest.raises(UserError, match="row 1: the gold 'I2149' is no ICD-10-CM code; the nearest is"):
        validate.check_file(path)
    (tmp_path / "codes.txt").write_text("I2149\n")
    validate.check_file(path)
    (tmp_path / "own.txt").write_text("I213\n")
    with pytest.raises(UserError, match="I2149"):
        validate.check_file(path, extra_codes=tmp_path / "own.txt")
    (tmp_path / "odd.txt").write_text("not a code\n")
    with pytest.raises(UserError, match="does not have the shape"):
        validate.check_file(path, extra_codes=tmp_path / "odd.txt")


@pytest.mark.parametrize(("gold", "maximum"), [("I10", 31.0), ("I214", 46.0), ("S72001A", 91.0)])
def test_the_highest_icd_score_grows_with_the_length_of_the_gold(gold: str, maximum: float) -> None:
    assert TASKS["icd"].maximum(gold) == maximum  # 1 + 15 * (|g| - 1)


def test_a_file_that_is_missing_or_no_parquet_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist; run `python"):
        validate.check_file(tmp_path / "absent.parquet")
    (tmp_path / "text.parquet").write_text("not a table")
    with pytest.raises(UserError, match=r"text\.parquet is no parquet file"):
        validate.check_file(tmp_path / "text.parquet")


def test_files_that_the_manifest_does_not_describe_are_refused(world: World, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(world.data / "drg", tmp_path / "drg"))
    rows = parquet.read(folder / "rl/small.parquet").to_pylist()
    parquet.write(rows[1:], folder / "rl/small.parquet")
    assert_refused(run_command("data_prep.validate", folder), "rl/small.parquet", "not the file of manifest.json")


def test_changed_golds_and_lists_are_refused(world: World, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(world.data / "icd", tmp_path / "icd"))
    rows = parquet.read(folder / "val.parquet").to_pylist()
    rows[0]["reward_model"]["ground_truth"] = "I213"
    parquet.write(pa.Table.from_pylist(rows, schema=parquet.ICD), folder / "val.parquet")
    with pytest.raises(UserError, match=r"val\.parquet is not the file of manifest\.json"):
        validate.check_folder(folder)
    (folder / "labels.json").write_text("{}")
    with pytest.raises(UserError, match=r"labels\.json is not the file of manifest\.json"):
        validate.check_folder(folder)


def add_row(folder: Path, name: str, row: Row) -> None:
    """Append a row to a file, and let the manifest describe the result."""
    rows = [*parquet.read(folder / name).to_pylist(), row]
    content = json.loads((folder / "manifest.json").read_text())
    parquet.write(rows, folder / name)
    ids = [row["extra_info"]["hadm_id"] for row in rows]
    content["files"][name] = {"rows": len(rows), "hadm_ids_sha256": manifest.ids_hash(ids)}
    content["labels"] = {}
    (folder / "manifest.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("task", "train", "test"),
    [("drg", "rl/full_50.parquet", "test.parquet"), ("icd", "train.parquet", "test.parquet"),
     ("icd", "test.parquet", "val.parquet"), ("drg", "rl/small_75.parquet", "sft/small_75.parquet")],
)  # fmt: skip
def test_a_case_in_two_splits_is_refused(world: World, tmp_path: Path, task: str, train: str, test: str) -> None:
    folder = Path(shutil.copytree(world.data / task, tmp_path / task))
    add_row(folder, train, parquet.read(folder / test).to_pylist()[0])
    with pytest.raises(UserError, match=f"1 cases are in both {train} and {test}"):
        validate.check_folder(folder)


def test_a_patient_in_two_splits_is_refused_where_patients_are_kept_apart(world: World, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(world.data / "icd", tmp_path / "icd"))
    row = parquet.read(folder / "test.parquet").to_pylist()[0]
    row["extra_info"] |= {"index": 10**6, "hadm_id": 10**6}
    add_row(folder, "train.parquet", row)
    with pytest.raises(UserError, match="1 values of subject_id are in both train and test"):
        validate.check_folder(folder)
    content = json.loads((folder / "manifest.json").read_text())
    content["split"]["kind"] = "stratified"
    (folder / "manifest.json").write_text(json.dumps(content))
    assert "subject_id in both train and test: 1" in validate.check_folder(folder)


def test_a_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    assert_refused(run_command("data_prep.validate", tmp_path), "manifest.json", "data_prep.drg")
