"""The synthetic MIMIC-IV has the real one's layout and quirks; bad arguments write nothing."""

from collections import Counter
from pathlib import Path

import pytest

from data_prep.cohort import sections
from data_prep.cohort.drg_titles import Titles
from data_prep.synthetic.vocabulary import CC, FAMILIES, MCC, NEITHER
from reward_fns.drg import ms_drg
from tests.conftest import assert_refused, run_command, run_process
from tests.data_prep.synthetic.clinic import FILES, NOTES, rows, synthesize


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_notes(tmp_path: Path, mimic: Path) -> None:
    synthesize(tmp_path / "a", "--notes", 120, "--seed", 7)
    words = ("data_prep.synthesize", "--out", tmp_path / "b", "--notes", 120, "--seed", 7)
    assert run_process(*words, PYTHONHASHSEED="1").returncode == 0  # whatever the order of a set
    for name in (*FILES, "traces.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    notes = [rows(folder, "note/discharge.csv.gz")[:120] for folder in (mimic, tmp_path / "a")]
    assert not {row["text"] for row in notes[0]} & {row["text"] for row in notes[1]}


def test_files_columns_and_keys_are_those_of_mimic_iv(mimic: Path) -> None:
    tables = {name: rows(mimic, name) for name in FILES}
    for name, columns in FILES.items():
        assert tuple(tables[name][0]) == columns
    admitted = {row["hadm_id"]: row["subject_id"] for row in tables["hosp/admissions.csv.gz"]}
    patients = [row["subject_id"] for row in tables["hosp/patients.csv.gz"]]
    assert len(admitted) == len(tables["hosp/admissions.csv.gz"])
    assert len(set(patients)) == len(patients) and set(patients) == set(admitted.values())
    for name in ("hosp/drgcodes.csv.gz", "hosp/diagnoses_icd.csv.gz", "note/discharge.csv.gz"):
        assert all(admitted[row["hadm_id"]] == row["subject_id"] for row in tables[name])
    codes = {(row["icd_code"], row["icd_version"]) for row in tables["hosp/d_icd_diagnoses.csv.gz"]}
    assert {(row["icd_code"], row["icd_version"]) for row in tables["hosp/diagnoses_icd.csv.gz"]} <= codes
    summaries = [row for row in tables["note/discharge.csv.gz"] if row["note_type"] == "DS"]
    assert len(summaries) == NOTES


def test_the_quirks_of_the_real_files_are_there(mimic: Path) -> None:
    notes = rows(mimic, "note/discharge.csv.gz")
    texts = [row["text"] for row in notes]
    without = sum(sections.hospital_course(text) is None for text in texts) / len(texts)
    assert 0.10 <= without <= 0.20
    assert any("\nrief Hospital Course" in text for text in texts)
    assert any("BRIEF HOSPITAL COURSE" in text for text in texts)
    assert any("___ on Admission:" in text for text in texts)
    assert any("Brief Hospital Course" not in t and sections.hospital_course(t) for t in texts)  # after a lab stub
    assert 0.002 <= 1 - len(set(texts)) / len(texts) <= 0.012
    lengths = [len(course.split()) for text in texts if (course := sections.hospital_course(text))]
    assert 0.01 <= sum(length <= 40 for length in lengths) / len(lengths) <= 0.06
    assert 90 <= sum(lengths) / len(lengths) <= 110
    assert all(len(line) <= 70 for text in texts for line in (sections.hospital_course(text) or "").splitlines())
    assert max(Counter(row["subject_id"] for row in notes).values()) >= 3
    again = [text for text in texts if text.count("Medications on Admission") == 2]
    assert 0.05 <= len(again) / len(texts) <= 0.15
    longer = [len(sections.hospital_course(text, "published")) - len(sections.hospital_course(text)) for text in again
              if sections.hospital_course(text)]  # fmt: skip
    assert len(longer) > 30 and min(longer) > 0
    assert all(f"\n \n{heading}\n \n" in "".join(texts) for heading in ("Allergies:", "Past Medical History:"))
    assert all("___\nFamily History:" in text for text in texts if "Family History:" in text)
    kinds = Counter(row["drg_type"] for row in rows(mimic, "hosp/drgcodes.csv.gz"))
    assert {"HCFA", "HCFA ", "APR", "APR "} == set(kinds)


def test_descriptions_are_shorthand_and_a_few_are_no_v34_title(mimic: Path) -> None:
    raw = [row for row in rows(mimic, "hosp/drgcodes.csv.gz") if row["drg_type"].strip() == "HCFA"]
    exact = sum(row["description"] in ms_drg.BY_TITLE for row in raw) / len(raw)
    unmapped = sum(Titles().find(row["description"]) is None for row in raw) / len(raw)
    assert exact < 0.5
    assert 0.005 <= unmapped <= 0.06
    for row in raw:
        drg_found = Titles().find(row["description"])
        assert drg_found is None or drg_found.number == row["drg_code"]


def test_labels_are_60_to_100_titles_in_families_that_contain_each_other() -> None:
    titles = [title for family in FAMILIES for title in family.titles()]
    assert 60 <= len(titles) <= 100
    for family in FAMILIES:
        for severity in (MCC, CC, NEITHER):
            found = ms_drg.BY_TITLE[family.title(severity)]
            assert int(found.number) == family.drg_number(severity)
    assert sum(a != b and a in b for a in titles for b in titles) >= 4
    assert {len(family.titles()) for family in FAMILIES} == {1, 2, 3}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--notes", 0),
        ("--words", 10),
        ("--overlook", 1.5),
        ("--overlook", "nan"),
        ("--answer-first", -0.1),
        ("--rivals", 9),
        ("--asides", 7),
        ("--tail", "inf"),
    ],
)
def test_bad_arguments_are_a_sentence_and_write_nothing(tmp_path: Path, option: str, value: object) -> None:
    assert_refused(run_command("data_prep.synthesize", "--out", tmp_path / "out", option, value), option)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", [("--notes", 20, "--words", 50), ("--dialogues", 20)])
def test_what_it_did_not_write_is_never_deleted(tmp_path: Path, what: tuple[object, ...]) -> None:
    words = ("data_prep.synthesize", *what, "--out", tmp_path / "out")
    for _ in range(2):
        assert run_command(*words).returncode == 0
    (tmp_path / "out/thesis.txt").write_text("mine")
    assert_refused(run_command(*words), "out/thesis.txt was not written by this command", "another --out")
    assert_refused(run_command(*words[:-1], tmp_path / "out/thesis.txt"), "thesis.txt is no folder")
    assert (tmp_path / "out/thesis.txt").read_text() == "mine"
