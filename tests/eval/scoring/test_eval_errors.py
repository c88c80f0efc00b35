"""eval.errors through the command: kinds of errors by hand, sheets for reviewers and what filled ones say."""

import csv
import json
from pathlib import Path

import pytest

from data_prep import parquet
from tests.conftest import assert_refused
from tests.support.eval_folders import (
    BAD_FORMAT,
    CASES,
    CC,
    CHEST,
    HYPERTENSION,
    MCC,
    SECRET,
    folder,
    say,
    scored,
    settings,
)
from tests.support.icd_folders import icd_folder

NOTE = "a sentence of the note"


def read_csv(path: Path) -> list[dict]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def test_kinds_of_errors_and_cases_that_no_run_gets_right(tmp_path, command):
    before = scored(command, folder(tmp_path / "before"))
    after = scored(command, folder(tmp_path / "after", [(1, MCC, [say(CC)] * 4), *CASES[1:]]))
    done = command("eval.errors", "--runs", f"one={before}", f"two={after}", "--out", tmp_path / "e")
    assert done.returncode == 0, done.stderr
    about = json.loads((tmp_path / "e" / "errors.json").read_text())
    # one: MCC MCC CC ? | HYPERTENSION CHEST bad bad | MCC WITHOUT MCC HYPERTENSION (gold CC) | none valid
    by_hand = {"right": 3, "under-coded": 2, "over-coded": 2, "wrong base": 2, "no valid answer": 1 + 2 + 4}
    assert {kind: share * 16 for kind, share in about["runs"]["one"]["completions"].items()} == by_hand
    assert about["wrong_in_all_runs"] == [2, 3]
    assert about["runs"]["two"]["cases_never_right"] == 3
    assert about["runs"]["two"]["confusions"][0] == {"gold": MCC, "said": CC, "completions": 4}
    rows = {(row["index"], row["run"]): row for row in read_csv(tmp_path / "e" / "errors.csv")}
    assert rows["2", "one"] == {
        **{"index": "2", "hadm_id": "102", "gold": CC, "run": "one", "answer": MCC, "kind": "over-coded"},
        **{"right": "0", "samples": "4", "wrong_in_all_runs": "1"},
    }
    assert "2 of 4 cases are wrong in all completions of all runs" in done.stdout
    assert SECRET not in (tmp_path / "e" / "errors.csv").read_text() + done.stdout


def test_icd_errors_are_told_by_level_and_by_how_specific_they_are(tmp_path, command):
    codes = ["I2119", "I21", "I219", "I2111", "I10", "E119", "Q9999", None]
    out = scored(command, icd_folder(tmp_path / "g", [(1, "I211", codes)], ["I211"]))
    assert command("eval.errors", "--runs", out, "--out", tmp_path / "e").returncode == 0
    shares = json.loads((tmp_path / "e" / "errors.json").read_text())["runs"]["g"]["completions"]
    by_hand = {"right": 0, "over-specified": 2, "under-specified": 1, "wrong code": 1, "wrong category": 1}
    by_hand |= {"wrong chapter": 1, "no valid answer": 2}
    assert {kind: share * 8 for kind, share in shares.items()} == by_hand


def test_runs_of_other_cases_are_refused(tmp_path, command):
    one, two = scored(command, folder(tmp_path / "one")), scored(command, folder(tmp_path / "two", CASES[:3]))
    assert_refused(command("eval.errors", "--runs", one, two, "--out", tmp_path / "e"), "not of the same cases")
    assert not (tmp_path / "e").exists()
    assert_refused(command("eval.errors", "--runs", folder(tmp_path / "new"), "--out", tmp_path / "e"), "eval.score")


def with_data(tmp_path: Path) -> Path:
    """A scored folder whose data file is there, too."""
    rows = [
        {
            "data_source": "mimic_drg",
            "prompt": [{"role": "system", "content": "a task"}, {"role": "user", "content": f"{NOTE} {i}"}],
            "ability": "coding",
            "reward_model": {"style": "rule", "ground_truth": gold},
            "extra_info": {"index": i, "split": "test", "hadm_id": 100 + i, "subject_id": patient},
        }
        for i, (patient, gold, _) in enumerate(CASES)
    ]
    parquet.write(rows, tmp_path / "test.parquet")
    made_with = settings(data={"name": str(tmp_path / "test.parquet"), "sha256": "d" * 64, "limit": None})
    return folder(tmp_path / "g", made_with=made_with)


def test_a_sheet_shows_reasonings_and_the_notes_only_when_asked(tmp_path, command):
    out = scored(command, with_data(tmp_path))
    given = ["eval.errors", "--runs", out, "--out", tmp_path / "e", "--sheet", tmp_path / "sheet.csv"]
    done = command(*given)
    assert done.returncode == 0 and "holds reasonings about patients" in done.stderr
    rows = read_csv(tmp_path / "sheet.csv")
    assert sorted(row["index"] for row in rows) == ["0", "1", "2", "3"]
    first = next(row for row in rows if row["index"] == "1")
    assert (first["gold"], first["answer"], first["kind"]) == (CHEST, HYPERTENSION, "wrong base")
    assert first["reasoning"] == SECRET and first["helpfulness"] == first["accuracy"] == ""
    assert NOTE not in (tmp_path / "sheet.csv").read_text()
    done = command(*given, "--with-notes", "--cases", 2)
    assert done.returncode == 0 and "holds clinical notes" in done.stderr
    rows = read_csv(tmp_path / "sheet.csv")
    assert len(rows) == 2 and all(row["note"] == f"{NOTE} {row['index']}" for row in rows)


def test_no_cell_of_a_sheet_is_a_formula(tmp_path, command):
    text = say("=1+1").replace(SECRET, '=HYPERLINK("http://example.org")')
    out = scored(command, folder(tmp_path / "g", [(1, MCC, [text] * 4)]))
    assert command("eval.errors", "--runs", out, "--out", tmp_path / "e", "--sheet", tmp_path / "s.csv").returncode == 0
    assert not any(value.startswith("=") for row in read_csv(tmp_path / "s.csv") for value in row.values())


def test_a_run_without_any_reasoning_gives_no_sheet(tmp_path, command):
    out = scored(command, folder(tmp_path / "g", [(1, MCC, [BAD_FORMAT] * 4)]))
    done = command("eval.errors", "--runs", out, "--out", tmp_path / "e", "--sheet", tmp_path / "s.csv")
    assert_refused(done, "nothing to review")
    assert not (tmp_path / "s.csv").exists()


def filled(path: Path, ratings: list[tuple[str, str]], separator: str = ",") -> Path:
    lines = [separator.join(("index", "helpfulness", "accuracy"))]
    lines += [separator.join((str(i), *pair)) for i, pair in enumerate(ratings)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_filled_sheets_are_summed_up_by_their_medians(tmp_path, command):
    one = filled(tmp_path / "one.csv", [("4", "5"), ("5", ""), ("1", "3")])
    two = filled(tmp_path / "two.csv", [("2", "2")], ";")  # as some spreadsheets save it
    done = command("eval.errors", "--filled", one, two)
    assert done.returncode == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    # 4 5 1: median 4, quartiles 2.5 and 4.5; 5 3: 4 [3.5, 4.5]; together 4 5 1 2: 3, and 5 3 2: 3
    assert lines[1] == f"{one} 4 [2.5, 4.5], 3 4 [3.5, 4.5], 2"
    assert lines[2] == f"{two} 2 [2, 2], 1 2 [2, 2], 1"
    assert lines[3] == "all sheets 3 [1.75, 4.25], 4 3 [2.5, 4], 3"


@pytest.mark.parametrize(
    ("ratings", "said"),
    [
        ([("6", "1")], "row 2 has '6' for helpfulness"),
        ([("1", "good")], "row 2 has 'good' for accuracy"),
        ([], "lacks"),
    ],
)
def test_ratings_out_of_range_are_refused(tmp_path, command, ratings, said):
    assert_refused(command("eval.errors", "--filled", filled(tmp_path / "s.csv", ratings)), said)


def test_an_empty_sheet_has_no_medians(tmp_path, command):
    assert_refused(command("eval.errors", "--filled", filled(tmp_path / "s.csv", [("", "")])), "has no rating yet")
    assert_refused(command("eval.errors", "--filled", tmp_path / "nowhere.csv"), "does not exist")


def test_a_place_of_the_wrong_kind_is_a_sentence(tmp_path, command):
    out = scored(command, folder(tmp_path / "run"))
    words = ("eval.errors", "--runs", out, "--out", out / "scores.json")
    assert_refused(command(*words), "scores.json cannot be written or read: File exists; free or change the place")
    assert_refused(command(*words[:-1], out / "scores.json/deep"), "Not a directory")
    assert_refused(
        command("eval.score", "--generations", out, "--out", tmp_path), f"{tmp_path} cannot", "Is a directory"
    )
