"""Cases of a user's own: two CSV files in the place of MIMIC-IV, through both commands, validated and trained on."""

import csv
import gzip
import json
from pathlib import Path

import pytest

from data_prep import parquet
from tests.conftest import assert_refused, run_command

TITLES = ("HEART FAILURE & SHOCK W MCC", "291", "Heart failure and shock with CC", "CHEST PAIN", "313")
CODES = ("I21.4", "i500", "E11.9", "N179", "J18.9")


def write(path: Path, header: list[str], rows: list[tuple]) -> Path:
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def sources(place: Path, labels: tuple[str, ...], gz: str = "") -> tuple[object, ...]:
    """Forty patients with two stays each, whose texts have commas, quotes and line ends."""
    texts = [(case, case // 2, f'Stay {case}: "chest, pain",\nbetter at home.') for case in range(80)]
    said = [(case, labels[case % len(labels)]) for case in range(80)]
    return (
        *("--texts", write(place / f"texts.csv{gz}", ["hadm_id", "subject_id", "text"], texts)),
        *("--labels", write(place / f"labels.csv{gz}", ["hadm_id", "label"], said), "--split", "patient"),
    )


@pytest.mark.parametrize("gz", ["", ".gz"])
def test_drg_cases_of_ones_own_are_split_written_and_valid(tmp_path: Path, gz: str) -> None:
    done = run_command("data_prep.drg", *sources(tmp_path, TITLES, gz), "--out", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    assert "the paper" not in done.stdout
    tables = {
        name: parquet.read(tmp_path / f"data/drg/{name}.parquet") for name in ("test", "rl/full_50", "sft/full_50")
    }
    golds = {gold for table in tables.values() for gold in parquet.golds(table)}
    assert golds == {"HEART FAILURE AND SHOCK WITH MCC", "HEART FAILURE AND SHOCK WITH CC", "CHEST PAIN"}
    patients = [set(parquet.infos(tables[name], "subject_id")) for name in ("test", "rl/full_50")]
    assert patients[0] and not patients[0] & patients[1]
    row = tables["test"].to_pylist()[0]
    assert f'Stay {row["extra_info"]["hadm_id"]}: "chest, pain",\nbetter at home.' in row["prompt"][-1]["content"]
    manifest = json.loads((tmp_path / "data/drg/manifest.json").read_text())
    assert (manifest["sections"], manifest["releases"]) == ("as given", {"hosp": "as given", "note": "as given"})
    assert run_command("data_prep.validate", tmp_path / "data").returncode == 0


def test_icd_cases_of_ones_own_are_split_written_and_valid(tmp_path: Path) -> None:
    done = run_command("data_prep.icd", *sources(tmp_path, CODES), "--out", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    golds = {
        gold
        for name in ("train", "val", "test")
        for gold in parquet.golds(parquet.read(tmp_path / f"data/icd/{name}.parquet"))
    }
    assert golds == {"I214", "I500", "E119", "N179", "J189"}
    assert (tmp_path / "data/icd/codes.txt").read_text().split() == sorted(golds)
    assert run_command("data_prep.validate", tmp_path / "data").returncode == 0


def test_what_cannot_be_used_is_counted(tmp_path: Path) -> None:
    texts = [*((case, "well") for case in range(60)), (60, " "), (0, "again"), ("", "nobody")]
    labels = [*((case, "313") for case in range(58)), (58, "NO SUCH THING"), (0, "291"), (99, "313")]
    words = ("--texts", write(tmp_path / "t.csv", ["hadm_id", "text"], texts))
    words += ("--labels", write(tmp_path / "l.csv", ["label", "hadm_id"], [row[::-1] for row in labels]))
    done = run_command("data_prep.drg", *words, "--out", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    filters = {step["name"]: step for step in json.loads((tmp_path / "data/drg/manifest.json").read_text())["filters"]}
    assert (filters["text"]["before"], filters["text"]["after"]) == (63, 60)
    assert (filters["label"]["before"], filters["label"]["after"]) == (61, 60)
    assert (filters["labels by case"]["after"], filters["label of the case"]["after"]) == (59, 58)


@pytest.mark.parametrize(
    ("header", "rows", "said"),
    [
        (["id", "text"], [(1, "a")], ("texts.csv, line 1", "hadm_id")),
        (["hadm_id", "text", "text"], [(1, "a", "b")], ("texts.csv, line 1", "text is there twice")),
        (["hadm_id", "text"], [("A7", "a")], ("texts.csv, row 1", "hadm_id is no whole number", "mend the file")),
        (["hadm_id", "text"], [(7, "")], ("no case is left",)),
    ],
)
def test_files_that_are_no_cases_are_refused(tmp_path: Path, header: list[str], rows: list[tuple], said: tuple) -> None:
    words = sources(tmp_path, TITLES)
    write(tmp_path / "texts.csv", header, rows)
    assert_refused(run_command("data_prep.drg", *words, "--out", tmp_path / "data"), *said)
    assert not (tmp_path / "data").exists()


def test_both_files_are_needed_and_nothing_of_mimic(tmp_path: Path) -> None:
    words = sources(tmp_path, TITLES)
    out = ("--out", tmp_path / "data")
    for task in ("drg", "icd"):
        assert_refused(run_command(f"data_prep.{task}", *words[:2], *out), "--texts and --labels", "you said --texts")
        assert_refused(run_command(f"data_prep.{task}", *words, "--note", tmp_path, *out), "you said --note, --texts")
        assert_refused(run_command(f"data_prep.{task}", *out), "--hosp and --note", "neither")
    assert_refused(run_command("data_prep.drg", *words[:4], "--split", "published", *out), "--split stable")


@pytest.mark.parametrize("task", ["drg", "icd"])
@pytest.mark.parametrize(("file", "header"), [("texts", ["hadm_id", "text"]), ("labels", ["hadm_id", "label"])])
def test_a_file_without_rows_is_refused(tmp_path: Path, task: str, file: str, header: list[str]) -> None:
    words = sources(tmp_path, TITLES if task == "drg" else CODES)
    write(tmp_path / f"{file}.csv", header, [])
    done = run_command(f"data_prep.{task}", *words, "--out", tmp_path / "data")
    assert_refused(done, f"{file}.csv has no rows", "below the first")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("task", ["drg", "icd"])
def test_a_place_that_is_taken_is_refused_before_the_work(tmp_path: Path, task: str) -> None:
    words = (f"data_prep.{task}", *sources(tmp_path, TITLES), "--out")
    done = run_command(*words, tmp_path / "texts.csv")
    assert_refused(done, "texts.csv is no folder; move it away or give another --out")
    assert not done.stdout  # no count yet
    (tmp_path / task).mkdir()
    (tmp_path / task / "thesis.txt").write_text("mine")
    assert_refused(run_command(*words, tmp_path), f"{task}/thesis.txt was not written by this command")
    assert (tmp_path / task / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("task", ["drg", "icd"])
def test_what_would_change_nothing_is_refused(tmp_path: Path, task: str) -> None:
    words = (f"data_prep.{task}", *sources(tmp_path, TITLES), "--out", tmp_path / "data")
    assert_refused(run_command(*words, "--max-prompt-tokens", 300), "--max-prompt-tokens", "say --tokenizer MODEL")
    (tmp_path / "user.txt").write_text("Which code has this note? {note}")
    assert_refused(run_command(*words, "--prompt-dir", tmp_path), f"has neither {task}_system.txt nor {task}_user.txt")
