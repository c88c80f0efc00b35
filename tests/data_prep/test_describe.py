"""data_prep.describe counts what is in prepared data, and shows no text of it."""

import json

import numpy as np
import pytest

from data_prep import parquet, prompts
from data_prep.describe import describe
from reward_fns.icd import icd10
from tests.conftest import World, assert_refused, run_command


@pytest.mark.parametrize("task", ["drg", "icd"])
def test_numbers_are_those_of_the_rows(world: World, task: str) -> None:
    found = describe(world.data / task)
    assert (found["task"], found["split"], found["max_prompt_tokens"]) == (task, "patient", 384)
    rows = parquet.read(world.data / task / "test.parquet").to_pylist()
    one = found["files"]["test.parquet"]
    before, after = prompts.load(task).user.split(prompts.NOTE)
    notes = [row["prompt"][-1]["content"].removeprefix(before).removesuffix(after) for row in rows]
    assert one["rows"] == len(rows)
    assert one["patients"] == len({row["extra_info"]["subject_id"] for row in rows})
    assert one["note_words"]["median"] == np.median([len(note.split()) for note in notes])
    tokens = [row["extra_info"]["prompt_tokens"] for row in rows]
    assert (one["prompt_tokens"]["min"], one["prompt_tokens"]["max"]) == (min(tokens), max(tokens))
    assert one["prompt_tokens"]["mean"] == pytest.approx(sum(tokens) / len(tokens))
    assert one["truncated"] == sum(row["extra_info"]["note_truncated"] for row in rows) / len(rows)
    golds = [row["reward_model"]["ground_truth"] for row in rows]
    counts = {gold: golds.count(gold) for gold in golds}
    assert one["labels"] == len(counts) and one["label_counts"] == sorted(counts.values(), reverse=True)
    assert one["most_frequent"] == max(counts.values()) / len(rows)
    assert one["few"] == sum(n for n in counts.values() if n < 5) / len(rows)


def test_labels_that_no_training_case_has_are_new_and_chapters_are_counted(world: World) -> None:
    found = describe(world.data / "icd")["files"]
    golds = {name: parquet.golds(world.data / "icd" / f"{name}.parquet") for name in ("train", "test")}
    new = [gold for gold in golds["test"] if gold not in golds["train"]]
    assert found["test.parquet"]["unseen"] == len(new) / len(golds["test"])
    assert found["train.parquet"]["unseen"] == 0
    chapters = [icd10.chapter(gold) for gold in golds["test"]]
    assert found["test.parquet"]["chapters"] == {chapter: chapters.count(chapter) for chapter in chapters}


def test_data_without_tokenizer_has_no_token_counts(world: World, tmp_path) -> None:
    done = run_command(
        "data_prep.icd", "--hosp", world.mimic / "hosp", "--note", world.mimic / "note", "--out", tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert describe(tmp_path / "icd")["files"]["val.parquet"]["prompt_tokens"] is None
    assert run_command("data_prep.describe", tmp_path).returncode == 0


def test_the_table_names_every_file_and_no_text_of_a_note(world: World) -> None:
    done = run_command("data_prep.describe", world.data)
    assert done.returncode == 0, done.stderr
    for task in ("drg", "icd"):
        assert all(
            name in done.stdout for name in json.loads((world.data / task / "manifest.json").read_text())["files"]
        )
    assert "admitted" not in done.stdout and "___" not in done.stdout


def test_a_folder_that_was_not_prepared_is_refused(tmp_path) -> None:
    assert_refused(run_command("data_prep.describe", tmp_path), "manifest.json", "data_prep.icd")
