"""Synthetic traces say what they are: of each style, wrong in a consistent way where they overlook something."""

from pathlib import Path

import numpy as np
import pytest

from data_prep import parquet
from data_prep.cohort import sections
from data_prep.synthetic.vocabulary import FAMILIES, NEITHER
from reward_fns import drg, icd
from reward_fns.task import TASKS
from sft.tracing import quality
from sft.tracing.settings import Settings
from tests.data_prep.synthetic.clinic import CONDITIONS, FILES, NOTES, first_codes, rows, synthesize, traces


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
