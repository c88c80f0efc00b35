"""data_prep.validate passes what data_prep.drg wrote and names the fault in what somebody changed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from commands import UserError
from data_prep import manifest, schema, validate
from tests.conftest import World, assert_refused, run_command

Row = dict[str, Any]


def changed(world: World, place: Path, change: Callable[[Row], object]) -> Path:
    """A copy of a test file with its second row changed."""
    rows = schema.read(world.data / "drg/test.parquet").to_pylist()
    change(rows[1])
    schema.write(rows, place / "file.parquet")
    return place / "file.parquet"


def test_prepared_data_passes_and_is_shown_as_a_table(world: World) -> None:
    done = run_command("data_prep.validate", world.data / "drg")
    assert done.returncode == 0, done.stderr
    assert "all checks passed" in done.stdout
    assert "subject_id in both train and test: 0" in done.stdout
    for name in json.loads((world.data / "drg/manifest.json").read_text())["files"]:
        assert name in done.stdout


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


def test_an_untouched_file_passes(world: World) -> None:
    assert validate.check_file(world.data / "drg/test.parquet", 384).num_rows > 0


def test_a_file_that_is_missing_or_no_parquet_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist; run `python"):
        validate.check_file(tmp_path / "absent.parquet")
    (tmp_path / "text.parquet").write_text("not a table")
    with pytest.raises(UserError, match=r"text\.parquet is no parquet file"):
        validate.check_file(tmp_path / "text.parquet")


def test_files_that_the_manifest_does_not_describe_are_refused(world: World, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(world.data / "drg", tmp_path / "drg"))
    rows = schema.read(folder / "rl/small.parquet").to_pylist()
    schema.write(rows[1:], folder / "rl/small.parquet")
    assert_refused(run_command("data_prep.validate", folder), "rl/small.parquet", "not the file of manifest.json")


def test_a_case_in_both_train_and_test_is_refused(world: World, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(world.data / "drg", tmp_path / "drg"))
    rows = schema.read(folder / "rl/full_50.parquet").to_pylist()
    rows.append(schema.read(folder / "test.parquet").to_pylist()[0])
    schema.write(rows, folder / "rl/full_50.parquet")
    content = json.loads((folder / "manifest.json").read_text())
    hadm_ids = [row["extra_info"]["hadm_id"] for row in rows]
    content["files"]["rl/full_50.parquet"] = {"rows": len(rows), "hadm_ids_sha256": manifest.ids_hash(hadm_ids)}
    (folder / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"1 cases are in both rl/full_50\.parquet and test\.parquet"):
        validate.check_folder(folder)


def test_a_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    assert_refused(run_command("data_prep.validate", tmp_path), "manifest.json", "data_prep.drg")
