"""Synthetic notes have a label to be read, with about the effort that it takes, and codes that exist."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import simple_icd_10_cm

from data_prep.cohort import admission, sections, splits
from data_prep.synthetic.vocabulary import BACKGROUND, CC, COMORBIDITIES, FAMILIES, MCC, NEITHER
from tests.data_prep.synthetic.clinic import CONDITIONS, NOTES, first_codes, rows, synthesize, traces


def keyword_reader(note: str) -> str | None:
    """Read without understanding: the first condition named and the worst comorbidity named, negated or not."""
    named = [(note.find(phrase), family) for family in FAMILIES for phrase in family.conditions if phrase in note]
    severity = next((s for s in (MCC, CC) if any(phrase in note for phrase in COMORBIDITIES[s])), NEITHER)
    return min(named, key=lambda pair: pair[0])[1].title(severity) if named else None


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


def test_a_longer_tail_leaves_fewer_cases_to_the_rare_families(tmp_path: Path, mimic: Path) -> None:
    steep = synthesize(tmp_path / "steep", "--notes", 300, "--words", 50, "--tail", 2)
    counts = [Counter(row["ground_truth"] for row in traces(of)) for of in (mimic, steep)]
    most = [sum(count for _, count in each.most_common(6)) / each.total() for each in counts]
    assert most[1] > most[0] + 0.2
