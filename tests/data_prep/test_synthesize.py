"""The synthetic MIMIC has the real one's layout and quirks, a label to be read, and traces that say what they are."""

import csv
import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import simple_icd_10_cm

from data_prep import parquet
from data_prep.cohort import admission, sections, splits
from data_prep.cohort.drg_titles import Titles
from data_prep.cohort.mimic import COLUMNS
from data_prep.synthetic.vocabulary import BACKGROUND, CC, COMORBIDITIES, FAMILIES, MCC, NEITHER
from reward_fns import drg, icd
from reward_fns.drg import ms_drg
from reward_fns.task import TASKS
from sft.tracing import quality
from sft.tracing.settings import Settings
from tests.conftest import assert_refused, run_command, run_process

NOTES = 1000
FILES = {f"{'note' if name == 'discharge' else 'hosp'}/{name}.csv.gz": COLUMNS[name] for name in COLUMNS}


def synthesize(out: Path, *options: object) -> Path:
    done = run_command("data_prep.synthesize", "--out", out, *options)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def mimic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesize(tmp_path_factory.mktemp("synthetic") / "mimic", "--notes", NOTES)


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with gzip.open(folder / name, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def traces(folder: Path, style: str = "cot_first") -> list[dict]:
    return [row for row in parquet.read_traces(folder / "traces.parquet").to_pylist() if row["style"] == style]


def keyword_reader(note: str) -> str | None:
    """Read without understanding: the first condition named and the worst comorbidity named, negated or not."""
    named = [(note.find(phrase), family) for family in FAMILIES for phrase in family.conditions if phrase in note]
    severity = next((s for s in (MCC, CC) if any(phrase in note for phrase in COMORBIDITIES[s])), NEITHER)
    return min(named, key=lambda pair: pair[0])[1].title(severity) if named else None


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


CONDITIONS = {
    phrase: family.code(phrase) for family in FAMILIES for phrase in (*family.conditions, *family.rare)
}  # fmt: skip


def first_codes(folder: Path) -> dict[str, str]:
    """The principal ICD-10 code of every admission that has one."""
    return {
        row["hadm_id"]: row["icd_code"]
        for row in rows(folder, "hosp/diagnoses_icd.csv.gz")
        if row["seq_num"] == "1" and row["icd_version"] == "10"
    }


def test_icd_codes_exist_and_span_15_chapters() -> None:
    principal = [code for family in FAMILIES for code in (family.conditions | family.rare).values()]
    others = [code for group in (*COMORBIDITIES.values(), BACKGROUND) for code in group.values()]
    assert 140 <= len(set(principal)) <= 160
    assert len(principal) == len(set(principal)) == len(CONDITIONS)
    assert all(simple_icd_10_cm.is_valid_item(code) and simple_icd_10_cm.is_leaf(code) for code in principal + others)
    assert len({simple_icd_10_cm.get_ancestors(code)[-1] for code in principal}) >= 15


@pytest.mark.parametrize("times", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_a_few_codes_are_met_in_the_test_split_only(mimic: Path, tmp_path: Path, times: int) -> None:
    folder = mimic if times == 1 else synthesize(tmp_path / "large", "--notes", times * NOTES, "--words", 50)
    codes = np.array(list(first_codes(folder).values()))
    train, test, _ = splits.stratified(codes, np.arange(len(codes)), (70, 20, 10)).parts
    assert 1 <= len(set(codes[test]) - set(codes[train])) <= 12


def test_the_principal_code_is_that_of_the_condition_in_the_note(mimic: Path) -> None:
    first, phrases = first_codes(mimic), {code: phrase for phrase, code in CONDITIONS.items()}
    notes = [n for n in rows(mimic, "note/discharge.csv.gz") if n["note_type"] == "DS" and n["hadm_id"] in first]
    for note in notes:
        present = admission.find(note["text"], "fixed")[1]
        assert phrases[first[note["hadm_id"]]] in present


def test_a_reader_of_admission_notes_reaches_70_to_90_percent_and_the_published_sections_cost_some(mimic: Path) -> None:
    first = first_codes(mimic)
    right = {mode: 0 for mode in admission.MODES}
    notes = [n for n in rows(mimic, "note/discharge.csv.gz") if n["note_type"] == "DS" and n["hadm_id"] in first]
    for note in notes:
        for mode in admission.MODES:
            text = admission.note(note["text"], mode) or ""
            named = [(text.find(phrase), code) for phrase, code in CONDITIONS.items() if phrase in text]
            right[mode] += bool(named) and min(named)[1] == first[note["hadm_id"]]
    assert 0.70 <= right["published"] / len(notes) < right["fixed"] / len(notes) - 0.02 <= 0.88
    assert Counter(first.values()).most_common(1)[0][1] / len(first) < 0.10


def test_notes_have_the_flaws_that_admission_notes_must_cope_with(mimic: Path) -> None:
    texts = [row["text"] for row in rows(mimic, "note/discharge.csv.gz") if row["note_type"] == "DS"]
    cut = [one for text in texts if (one := admission.find(text, "fixed")) != admission.find(text, "published")]
    assert 0.3 <= len(cut) / len(texts) <= 0.8
    assert any("\n \nIn the ED, initial vitals were: " in text for text in texts)
    for exam in (
        "\n \nDISCHARGE EXAM:",
        "lungs: clear\nHeart: regular\nAbdomen: soft\nDISCHARGE EXAM:",
        "\nAt discharge:",
    ):
        assert any(exam.lower() in text.lower() for text in texts), exam
    assert any("Discharge Disposition" not in text for text in texts)  # cut short: nothing ends the last section


def test_a_keyword_reader_reaches_70_to_90_percent_and_the_majority_less_than_10(mimic: Path) -> None:
    truth = {row["hadm_id"]: row["ground_truth"] for row in traces(mimic)}
    right = total = 0
    for note in rows(mimic, "note/discharge.csv.gz"):
        course = sections.hospital_course(note["text"])
        if course and int(note["hadm_id"]) in truth:
            total += 1
            right += keyword_reader(sections.unwrapped(course)) == truth[int(note["hadm_id"])]
    assert 0.70 <= right / total <= 0.90
    assert Counter(truth.values()).most_common(1)[0][1] / len(truth) < 0.10


def test_every_style_has_a_trace_per_coded_admission_with_a_course(mimic: Path) -> None:
    by_style = {style: {row["hadm_id"] for row in traces(mimic, style)} for style in
                ("cot_first", "answer_first", "differential")}  # fmt: skip
    assert by_style["cot_first"] == by_style["answer_first"] == by_style["differential"]
    coded = {int(r["hadm_id"]) for r in rows(mimic, "hosp/drgcodes.csv.gz") if r["drg_type"].strip() == "HCFA"}
    notes = rows(mimic, "note/discharge.csv.gz")
    assert {int(n["hadm_id"]) for n in notes if sections.hospital_course(n["text"])} & coded <= by_style["cot_first"]
    for row in parquet.read_traces(mimic / "traces.parquet").to_pylist():
        assert row["accepted"] == (row["answer"] == row["ground_truth"])
        assert not any(tag in row["reasoning"] for tag in ("<think>", "</think>", "<answer>", "</answer>"))
        assert 20 <= len(row["reasoning"].split()) <= (60 if row["style"] != "differential" else 130)


def test_reasonings_earn_what_their_style_earns(mimic: Path) -> None:
    for style, penalised in (("cot_first", False), ("answer_first", True)):
        for row in traces(mimic, style):
            text = TASKS["drg"].completion(row["reasoning"], row["answer"])
            score = drg.compute_score("mimic_drg", text, row["ground_truth"], accuracy="strict", cot_first_penalty=0.5)
            assert score["score"] == (2.0 if row["accepted"] else 0.0) - 0.5 * penalised, row["reasoning"]
    for row in traces(mimic, "differential"):
        assert row["reasoning"].count(f"[{row['answer']}]") == 2
        assert row["reasoning"].count("[") == 6


def test_overlooking_is_wrong_but_consistent_and_worded_like_a_true_case(mimic: Path) -> None:
    lowest = {title: family.title(NEITHER) for family in FAMILIES for title in family.titles()}
    cases = traces(mimic)
    decisive = [row for row in cases if row["ground_truth"] != lowest[row["ground_truth"]]]
    missed = [row for row in decisive if not row["accepted"]]
    assert 0.4 <= len(missed) / len(decisive) <= 0.6
    assert len(missed) == sum(not row["accepted"] for row in cases)
    assert all(row["answer"] == lowest[row["ground_truth"]] for row in missed)
    nothing = "Among the secondary diagnoses, nothing changes the group."
    assert all(nothing in row["reasoning"] for row in missed)
    assert any(nothing in row["reasoning"] for row in cases if row["accepted"])


def test_icd_traces_give_the_code_at_their_end_only_and_overlook_details(mimic: Path) -> None:
    first = first_codes(mimic)
    usual = {family.code(next(iter(family.conditions))) for family in FAMILIES}
    phrases = {code: phrase for phrase, code in CONDITIONS.items()}
    found = traces(mimic, "oracle")
    texts = {row["hadm_id"] for row in rows(mimic, "note/discharge.csv.gz")}
    assert {row["hadm_id"] for row in found} == {int(hadm_id) for hadm_id in first if hadm_id in texts}
    for row in found:
        assert row["task"] == "icd" and row["ground_truth"] == first[str(row["hadm_id"])]
        gold, reasoning = row["ground_truth"], row["reasoning"]
        task = TASKS["icd"]
        written = task.completion(reasoning, row["answer"])
        assert quality.fault(Settings(task="icd", style="oracle"), written, "stop", row["answer"], "") == ""
        score = icd.compute_score("mimic_icd", written, gold)
        assert score["acc"] == row["accepted"] and score["format"] == 1.0
        assert row["accepted"] or row["answer"] in usual
        assert (f"The detail that counts is {phrases[gold]}." in reasoning) == (row["accepted"] and gold not in usual)
    decisive = [row for row in found if row["ground_truth"] not in usual]
    assert 0.4 <= sum(not row["accepted"] for row in decisive) / len(decisive) <= 0.6


def test_overlook_0_gives_only_right_traces_and_the_same_notes(tmp_path: Path, mimic: Path) -> None:
    synthesize(tmp_path / "mimic", "--notes", NOTES, "--overlook", 0)
    assert all(row["accepted"] for style in ("cot_first", "oracle") for row in traces(tmp_path / "mimic", style))
    for name in FILES:
        assert (tmp_path / "mimic" / name).read_bytes() == (mimic / name).read_bytes()


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


@pytest.fixture(scope="module")
def uncertain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = ("--overlook", 0, "--rivals", 1, "--asides", 3, "--answer-first", 0.5)
    return synthesize(tmp_path_factory.mktemp("uncertain") / "mimic", "--notes", 600, "--words", 50, *words)


def test_with_rivals_a_course_names_several_reasons_and_the_first_is_the_likeliest(uncertain: Path) -> None:
    truth = {row["hadm_id"]: row["ground_truth"] for row in traces(uncertain)}
    titles = {phrase: set(family.titles()) for family in FAMILIES for phrase in (*family.conditions, *family.rare)}
    first = second = 0
    for note in rows(uncertain, "note/discharge.csv.gz"):
        course = sections.unwrapped(sections.hospital_course(note["text"]) or "").partition(".")[0]
        if not course or int(note["hadm_id"]) not in truth or "history of" in course:
            continue
        admitted = sections.unwrapped(sections.hospital_course(note["text"])).partition("admitted with ")[2]
        named = admitted.partition(".")[0].partition(" and stayed")[0]
        ends = [titles[phrase] for phrase in titles if named.startswith(f"{phrase} and ")]
        others = [titles[phrase] for phrase in titles if named.endswith(f" and {phrase}")]
        assert ends and others, named
        gold = truth[int(note["hadm_id"])]
        first += any(gold in of for of in ends)
        second += any(gold in of for of in others)
    assert 0.60 <= first / (first + second) <= 0.73 and first + second > 300  # 2/3


def test_reasonings_differ_in_length_and_a_share_begins_with_the_answer(uncertain: Path, mimic: Path) -> None:
    found = traces(uncertain)
    leading = sum(row["reasoning"].startswith(f"The DRG is {row['answer']}.") for row in found) / len(found)
    assert 0.4 <= leading <= 0.6
    spread = [
        np.std([len(row["reasoning"].split()) for row in traces(of, "answer_first")]) for of in (mimic, uncertain)
    ]
    assert spread[1] > 1.5 * spread[0]


def test_a_longer_tail_leaves_fewer_cases_to_the_rare_families(tmp_path: Path, mimic: Path) -> None:
    steep = synthesize(tmp_path / "steep", "--notes", 300, "--words", 50, "--tail", 2)
    counts = [Counter(row["ground_truth"] for row in traces(of)) for of in (mimic, steep)]
    most = [sum(count for _, count in each.most_common(6)) / each.total() for each in counts]
    assert most[1] > most[0] + 0.2
