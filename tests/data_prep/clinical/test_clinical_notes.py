"""data_prep.clinical_notes through its command: the authors' layout, one's own conversations, a synthetic clinic."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data_prep import parquet
from data_prep.clinical import graded, published
from data_prep.clinical.rules import SWAPS, plain
from data_prep.synthetic import facts
from data_prep.synthetic.clinic import visits
from data_prep.validate import check_file
from reward_fns import clinical_note
from reward_fns.clinical_note import tokens
from reward_fns.clinical_note.notes import Note, Problem, Step, note_of, positions
from reward_fns.clinical_note.written import strict
from tests.conftest import assert_refused, run_command
from tests.support.clinical.clinic import Clinic

GOLD: Note = (
    Problem(1, "Sprain of the left ankle", (
        Step(1, "Assessment: He twisted his left ankle."), Step(2, "It is swollen."), Step(3, "Plan: Rest it."),
    )),
    Problem(2, "Follow-up instructions:", (Step(1, "Call in 2 weeks."),)),
)  # fmt: skip
LAYOUT = ("dialogue", "note")


def case(name: str, note: Note, labels: str, **more: Any) -> dict[str, Any]:
    """A case as the authors write it: the labels title by title, + and -, without the end's."""
    dialogue = {"Case_id": name, "Dialogue": f"[doctor] which ankle ?\n[patient] the left , {name}"}
    return published.to_json(note, list(labels)) | dialogue | more


def packed(path: Path, cases: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(json.dumps(cases).encode()))


@pytest.fixture
def authors(tmp_path: Path) -> Path:
    """Original notes in the authors' files: two to learn from, a case a set to verify, three notes to choose from."""
    data = tmp_path / "authors/data"
    side = (Problem(1, "Sprain of the right ankle", GOLD[0].steps[1:]), GOLD[1])
    records = {
        "Sample_no": 0,
        "Swapped_info": [
            {"Error_level": "Problem", "Problem_no": "1", "Error_type": "Factual Inaccuracy",
             "Original_content": GOLD[0].title, "New_content": side[0].title},
        ],
        "Removed_info": [{"Error_level": "Step", "Problem_no": "1", "Step_no": "1"}],
    }  # fmt: skip
    packed(data / published.TRAIN["gold"], [case(f"Dialogue_G_{no}", GOLD, "+" * 9) for no in (0, 1)])
    names = ("A_Validate_0", "A_Verify_0", "Dialogue_G_1211")
    packed(data / published.TASKS["gold"], [case(name, GOLD, "+" * 9) for name in names])
    packed(data / published.TASKS["errors"], [case(name, side, "-++-++++"[:8], **records) for name in names])
    (data / published.PREFERRED["notes"]).parent.mkdir(parents=True)
    with open(data / published.PREFERRED["notes"], "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("Case_id", "Sample_no", "Training_note"))
        for no in (1, 2, 3):
            text = tokens.render(positions(GOLD[: 1 + no % 2]), tokens.PUBLISHED)
            rows.writerow(
                (
                    "A_Prefer_0",
                    f"Note_{no}",
                    f"Write.{published.DIALOGUE.rjust(14)}[doctor] hello{published.NOTE}{text}",
                )
            )
    (data / published.PREFERRED["choice"]).write_text("Case_id,Preferred_note\nA_Prefer_0,Note_2\n")
    return tmp_path / "authors"


def test_the_authors_files_become_sets_with_counts_beside_the_papers(authors: Path, tmp_path: Path) -> None:
    done = run_command("data_prep.clinical_notes", "--published", authors, "--out", tmp_path, "--inject", "rules")
    assert done.returncode == 0, done.stderr
    out = tmp_path / "clinical_note"
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["counts"]["a_verify wrong notes"] == {"ours": 1, "paper": 612}
    assert "the paper: 1,272" in done.stdout and "has no PRM-Clinic/prm_clinic_error.json.gz" in done.stdout
    assert manifest["injected"]["train"]["by"] == "rules" and manifest["files"]["train.parquet"]["rows"] == 2 + 14
    for name in ("a_validate", "a_verify", "dialogue_g"):
        gold, wrong = graded.read(out / f"{name}.parquet")
        assert (gold["best"], wrong["best"]) == (True, False) and note_of(gold["positions"]) == GOLD
        assert wrong["causes"] == ["factual", "", "", "removed step", "", "", "", "", "anything"]
        assert "".join(position.label for position in wrong["positions"]) == "-++-++++-"
        assert (
            note_of(wrong["positions"], [(one["problem"], one["step"]) for one in wrong["removed"]])[0].steps[0].no == 2
        )
    chosen = graded.read(out / "a_prefer.parquet")
    assert [row["best"] for row in chosen] == [False, True, False] and chosen[0]["dialogue"] == "[doctor] hello"
    assert all(position.label == "" for row in chosen for position in row["positions"])


def test_the_authors_training_errors_are_read_where_they_are_there(authors: Path, tmp_path: Path) -> None:
    data = authors / "data"
    (data / published.TRAIN["errors"]).write_bytes(
        gzip.compress(json.dumps([case("Dialogue_G_0", GOLD[:1], "++++++"[:5] + "-", Sample_no=0, Removed_info=[
            {"Error_level": "Problem", "Problem_no": "2"}
        ])]).encode())
    )  # fmt: skip
    done = run_command("data_prep.clinical_notes", "--published", data, "--out", tmp_path)
    assert published.folder(authors) == published.folder(authors.parent) == data
    assert done.returncode == 0 and "has no" not in done.stdout, done.stderr
    rows = graded.read(tmp_path / "clinical_note/train.parquet")
    assert [(row["case"], row["best"]) for row in rows] == [
        ("Dialogue_G_0", True), ("Dialogue_G_0", False), ("Dialogue_G_1", True),
    ]  # fmt: skip


def test_labels_that_do_not_follow_from_the_records_are_refused(authors: Path, tmp_path: Path) -> None:
    path = authors / "data" / published.TASKS["gold"]
    packed(path, [case("A_Verify_0", GOLD, "+" * 8 + "-")])
    done = run_command("data_prep.clinical_notes", "--published", authors, "--out", tmp_path)
    assert_refused(done, "case A_Verify_0", "do not follow from its alterations")
    packed(path, [{"Case_id": "A_Verify_0"}])
    assert_refused(run_command("data_prep.clinical_notes", "--published", authors, "--out", tmp_path), "A_Verify_0")
    path.unlink()
    done = run_command("data_prep.clinical_notes", "--published", authors, "--out", tmp_path)
    assert_refused(done, path.name, "hanyin88/prm-clinic")
    done = run_command("data_prep.clinical_notes", "--published", path.parent, "--out", tmp_path)
    assert_refused(done, f"{path.parent} holds no folder data/PRM-Clinic", "or the folder that holds it")
    assert not (tmp_path / "clinical_note").exists()


def test_what_a_synthetic_note_says_was_said_in_the_same_words() -> None:
    """Every step and every title with a side stands in the conversation; other titles are always the same."""
    titles = {"Asthma", "Raised blood pressure", "Heartburn", "Follow-up instructions:"}
    for visit in visits(300, seed=1):
        for position in positions(visit.note):
            said = plain(position.text).removesuffix(".").lower()
            assert said in visit.dialogue or position.text in titles, (position, visit.dialogue)
        words = set(visit.dialogue.split())
        assert not [word for word in words & SWAPS.keys() if SWAPS[word] in words]  # of two sides, one is nowhere


def test_the_same_seed_gives_the_same_clinic_and_every_set_others(clinic: Clinic, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 1)):
        words = ("data_prep.synthesize", "--out", tmp_path / name, "--dialogues", 60, "--seed", seed)
        assert run_command(*words).returncode == 0
    for name in ("train", "valid", "test"):
        first, other = ((tmp_path / folder / f"{name}.csv").read_bytes() for folder in ("a", "b"))
        assert first == (clinic.dialogues / f"{name}.csv").read_bytes() != other
    sets = [{row["dialogue"] for row in rows(clinic.dialogues / f"{name}.csv")} for name in ("train", "valid", "test")]
    assert list(map(len, sets)) == [48, 3, 9] and not sets[0] & sets[1] | sets[0] & sets[2]
    assert_refused(run_command("data_prep.synthesize", "--out", tmp_path / "c", "--dialogues", 3), "too few")


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# a file of one's own, what the sentence says
BAD = {
    "no problems": ("dialogue,note\nhello,\"SUBJECTIVE\nx\"\n", ("case mine/1", "no problems", "--drop-unreadable")),
    "no note": ("dialogue\nhello\n", ("column note",)),
    "no rows": ("dialogue,note\n", ("column dialogue",)),
    "an empty dialogue": ("dialogue,note\n,1. Asthma\n", ("row 1",)),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_conversations_are_a_sentence(name: str, tmp_path: Path) -> None:
    text, said = BAD[name]
    (tmp_path / "in").mkdir()
    words = ("data_prep.clinical_notes", "--dialogues", tmp_path / "in", "--out", tmp_path / "out")
    assert_refused(run_command(*words), "no CSV file")
    (tmp_path / "in/mine.csv").write_text(text)
    assert_refused(run_command(*words), *said)
    assert not (tmp_path / "out").exists()


def test_a_whole_note_gives_its_plan_and_unreadable_ones_can_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    whole = "HPI\nCough.\n\nASSESSMENT AND PLAN\n\nAsthma.\n- Medical Reasoning: Worse. Wheezing.\n- Plan: Rest.\n"
    with open(tmp_path / "in/train.csv", "w", newline="") as file:
        lines = csv.writer(file)
        lines.writerows([("encounter_id", *LAYOUT), ("D1", "hello", whole), ("D2", "hello", "HPI\nCough.")])
    words = ("--dialogues", tmp_path / "in", "--out", tmp_path / "out", "--drop-unreadable", "--inject", "rules")
    done = run_command("data_prep.clinical_notes", *words)
    assert done.returncode == 0, done.stderr
    row = graded.read(tmp_path / "out/clinical_note/train.parquet")[0]
    texts = [position.text for position in row["positions"] if position.text]
    assert row["case"] == "train/D1" and texts == [
        "Asthma.", "Assessment: Worse.", "Wheezing.", "Plan: Rest.",
    ]  # fmt: skip
    assert json.loads((tmp_path / "out/clinical_note/manifest.json").read_text())["filters"][0]["after"] == 1


def test_dialogues_become_prompts_with_their_notes_and_facts_and_pairs_to_fine_tune_on(clinic: Clinic) -> None:
    made = clinic.data / "clinical_note"
    for name, count in (("train", 48), ("valid", 3), ("test", 9)):
        table = check_file(made / f"rl/{name}.parquet", None, "clinical_note")
        assert table.num_rows == count and set(table["data_source"].to_pylist()) == {"clinical_note"}
        for row in table.to_pylist():
            info, gold = row["extra_info"], row["reward_model"]["ground_truth"]
            clinical_note.check_gold(gold)
            clinical_note.check_extra_info(info)
            assert row["prompt"][-1]["content"].endswith(info["dialogue"]) and info["case"].startswith(f"{name}/")
            assert info["facts"] == facts.gold(strict(gold)) and info["split"] == (
                "train" if name == "train" else "test"
            )
    rows, taught = pq.read_table(made / "rl/train.parquet"), pq.read_table(made / "sft/train.parquet")
    assert taught["prompt"] == rows["prompt"]
    assert [said[0]["content"] for said in taught["completion"].to_pylist()] == parquet.golds(rows)
    manifest = json.loads((made / "manifest.json").read_text())
    assert manifest["files"]["rl/test.parquet"]["rows"] == 9 and "clinical_note_user.txt" in manifest["prompts"]


def test_published_gold_notes_become_prompts_without_facts(authors: Path, tmp_path: Path) -> None:
    done = run_command("data_prep.clinical_notes", "--published", authors, "--out", tmp_path, "--inject", "rules")
    assert done.returncode == 0, done.stderr
    rows = pq.read_table(tmp_path / "clinical_note/rl/valid.parquet").to_pylist()  # A-Validate, as recipes call it
    assert [row["extra_info"]["case"] for row in rows] == ["A_Validate_0"] and rows[0]["extra_info"]["facts"] == []
    assert strict(rows[0]["reward_model"]["ground_truth"]) == GOLD
