"""The admission note holds what was known at admission: in `fixed` mode all of it, and never a word of the rest."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.cohort import admission
from tests.support.published import notes as published_notes

BEFORE = ("Name", "Service", "Attending", "Major Surgical or Invasive Procedure")
AFTER = ("Discharge Medications", "Discharge Disposition", "Facility", "Discharge Diagnosis", "Discharge Condition",
         "Discharge Instructions", "Followup Instructions")  # fmt: skip
# Headings in the order of a summary, and the section that each opens (None: it is dropped).
TEMPLATE = (
    ("Name", None), ("Service", None), ("Allergies", "allergies"), ("Attending", None),
    ("Chief Complaint", "chief complaint"), ("Major Surgical or Invasive Procedure", None),
    ("History of Present Illness", "present illness"), ("Past Medical History", "medical history"),
    ("Social History", "social history"), ("Family History", "family history"), ("Physical Exam", "physical exam"),
    ("Pertinent Results", None), ("Brief Hospital Course", None),
    ("Medications on Admission", "medications on admission"), *((name, None) for name in AFTER),
)  # fmt: skip
AT_DISCHARGE = (
    "DISCHARGE EXAM:", "Discharge Physical Exam:", "Physical exam on discharge:", "== On discharge ==", "D/C exam:",
    "Exam at discharge", "At the time of discharge:", "DISCHARGE", "Vitals prior to discharge:", "[Discharge]:",
    "Discharge PE: T 98", "Upon discharge T 98",
)  # fmt: skip
INNER = ("In the ED, initial vitals were:", "ED course:", "Past oncologic history:", "Of note:", "T 98.6, HR 80:",
         "- home oxygen:", "Wound: no discharge", "Neuro: awake. Eyes without discharge.")  # fmt: skip


def section(name: str, text: str, mode: str = "fixed") -> str:
    return admission.find(text, mode)[admission.SECTIONS.index(name)]


@st.composite
def summaries(draw: st.DrawFn) -> tuple[str, dict[str, list[str]], set[str]]:
    """A discharge summary; the words of every kept section, in order; the words of all others."""
    kept: dict[str, list[str]] = {}
    dropped: set[str] = set()
    blocks = []
    number = iter(range(10_000))

    def words(stem: str) -> list[str]:
        return [f"{stem}{next(number)}" for _ in range(draw(st.integers(0, 4)))]

    def body(stem: str, more: tuple[str, ...]) -> tuple[str, list[str]]:
        text, said = "", []
        for _ in range(draw(st.integers(0, 4))):
            lead = draw(st.sampled_from(("", *more)))
            found = words(stem)
            said += [*lead.split(), *found]
            text += draw(st.sampled_from(("\n", "\n\n", "\n \n", " \n"))) + " ".join([lead, *found])
        return text, said

    for heading, name in TEMPLATE:
        if draw(st.booleans()) and heading != "Brief Hospital Course":
            continue
        shown = draw(st.sampled_from((heading, heading.upper(), heading.lower())))
        if " " in heading and name is None and draw(st.booleans()):
            at = draw(st.integers(0, len(heading.split()) - 1))
            shown = " ".join("___" if i == at else word for i, word in enumerate(shown.split()))
        if name:
            text, kept[name] = body("kept", INNER)
            if name == "physical exam" and draw(st.booleans()):
                more, said = body("gone", ())
                text += "\n" + draw(st.sampled_from(AT_DISCHARGE)) + more
                dropped |= set(said)
        else:
            late = heading in ("Pertinent Results", "Brief Hospital Course", *AFTER)
            text, said = body("gone", ("Physical Exam:", "Family History:", "Course by problem:") if late else ())
            dropped |= {word for word in said if word.startswith("gone")}
        blocks.append(f"{shown}:{draw(st.sampled_from(('', ' ')))}{text}")
    return draw(st.sampled_from(("\n \n", "\n\n", "\n"))).join(blocks), kept, dropped


@given(summaries())
@settings(max_examples=300, deadline=None)
def test_fixed_keeps_all_of_the_eight_sections_and_no_word_of_any_other(
    generated: tuple[str, dict[str, list[str]], set[str]],
) -> None:
    text, kept, dropped = generated
    found = admission.find(text, "fixed")
    assert not set(" ".join(found).split()) & dropped
    for name, said in zip(admission.SECTIONS, found, strict=True):
        assert said.split() == kept.get(name, []), name


def test_published_notes_are_those_of_the_builders_rules_on_4000_adversarial_notes() -> None:
    texts = published_notes.adversarial(0, 4000)
    wanted = [published_notes.note(text) for text in texts]
    assert sum(note is not None for note in wanted) > 1500
    for text, note in zip(texts, wanted, strict=True):
        assert admission.note(text, "published") == note, repr(text)


@given(summaries())
@settings(max_examples=100, deadline=None)
def test_published_notes_of_summaries_are_those_of_the_builders_rules(
    generated: tuple[str, dict[str, list[str]], set[str]],
) -> None:
    assert admission.note(generated[0], "published") == published_notes.note(generated[0])


@pytest.mark.parametrize("between", ["\n", " ", ". Smokes. ", "\n \n", "\n "])
def test_social_history_ends_where_family_history_begins_in_its_paragraph(between: str) -> None:
    text = f"Social History:\nAlone{between}Family History: gout\n \nPhysical Exam:\nGeneral: alert"
    found = dict(zip(admission.SECTIONS, admission.find(text, "fixed"), strict=True))
    assert found["social history"] == f"Alone{between}".replace("\n", " ").strip()
    assert found["family history"] == "gout" and found["physical exam"] == "General: alert"


NOTE = """Allergies:
Penicillins
 
Attending: ___.
 
Chief Complaint:
Chest pain
 
Major Surgical or Invasive Procedure:
Stent placement
 
History of Present Illness:
___ year old man with pain.
 
In the ED, initial vitals were: T 98.6
He was found to have an infarction.
 
Past Medical History:
- gout
Social History:
___
Family History:
Non-contributory.
 
Physical Exam:
General: alert
Discharge exam:
General: walking
 
Pertinent Results:
___ BLOOD WBC-8
 
Brief Hospital Course:
A stent was placed.
 
___ on Admission:
1. aspirin"""


def test_an_inner_paragraph_with_a_colon_does_not_end_the_present_illness_unless_published() -> None:
    whole = "___ year old man with pain. In the ED, initial vitals were: T 98.6 He was found to have an infarction."
    assert section("present illness", NOTE) == whole
    assert section("present illness", NOTE, "published") == "___ year old man with pain."


def test_an_exam_at_discharge_is_dropped_unless_published() -> None:
    assert section("physical exam", NOTE) == "General: alert"
    assert section("physical exam", NOTE, "published") == "General: alert Discharge exam: General: walking"


def test_a_last_section_is_kept_unless_published() -> None:
    assert section("medications on admission", NOTE) == "1. aspirin"
    named = NOTE.replace("___ on Admission", "Medications on Admission")
    assert section("medications on admission", named, "published") == ""
    more = named + "\n \nDischarge Medications:\n1. warfarin"
    assert section("medications on admission", more, "published") == "1. aspirin"


def test_procedure_results_and_course_never_reach_the_note() -> None:
    note = admission.note(NOTE, "fixed")
    assert note is not None
    for leak in ("Stent", "stent", "BLOOD", "walking"):
        assert leak not in note


def test_the_note_has_eight_upper_case_headings_in_order_with_blank_lines_between() -> None:
    for mode in admission.MODES:
        note = admission.note(NOTE, mode)
        assert note is not None
        titles = [name.upper() for name in admission.SECTIONS]
        if mode == "published":
            titles[3] = "MEDICATION ON ADMISSION"
        assert [block.split(":")[0] for block in note.split("\n\n")] == titles


def test_a_note_without_complaint_illness_and_history_is_none() -> None:
    assert admission.note("Allergies:\nnone\n \nFamily History:\ngout\n \nService: x", "fixed") is None
    assert admission.note("", "published") is None
    assert admission.note("Chief Complaint: pain", "fixed") is not None


@pytest.mark.parametrize("line", AT_DISCHARGE)
def test_every_way_to_open_an_exam_at_discharge_ends_the_exam(line: str) -> None:
    assert section("physical exam", f"Physical Exam:\nGeneral: alert\n{line}\nGeneral: walking") == "General: alert"


@pytest.mark.parametrize(
    "line",
    [
        "Eyes: no discharge",
        "HEENT: no nasal\ndischarge, neck supple",
        "Wound without discharge.",
        "no ear\ndischarge. Mouth moist",
        "Extremities: no pus or discharge\nSkin: dry",
    ],
)
def test_a_discharge_from_the_body_does_not_end_the_exam(line: str) -> None:
    text = f"Physical Exam:\nGeneral: alert\n{line}\nNeuro: awake"
    assert section("physical exam", text) == " ".join(f"General: alert {line} Neuro: awake".split())


def test_a_heading_said_again_is_no_border_and_one_without_colon_ends_a_section() -> None:
    text = "Past Medical History:\nPast Medical History: gout\n \nPertinent Results\nWBC 8\n \nDischarge Diagnosis\nMI"
    assert section("medical history", text) == "Past Medical History: gout"


def test_long_notes_take_linear_time() -> None:
    for text in ("Physical Exam:" + "\n" * 200_000, "a" * 10**6, "Allergies:" + "\n \na" * 100_000, ":" * 10**5):
        for mode in admission.MODES:
            admission.find(text, mode)
