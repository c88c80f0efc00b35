"""The hospital course is found where the rules say, and unwrapped as split and join would."""

import pytest

from data_prep.cohort import sections


@pytest.mark.parametrize(
    ("text", "published", "lenient"),
    [
        ("BRIEF HOSPITAL COURSE:\nA b.\n \nMedications on Admission:\nx", None, "A b.\n \n"),
        ("rief Hospital Course:\nA b.\n \nDischarge Disposition:\nHome", None, "A b.\n \n"),
        ("Brief Hospital Course:\nA b.\n \n___ Disposition:\nHome", None, "A b.\n \n"),
        ("the hospital course: long\nA b.\nFacility:\n", None, None),
        ("Brief Hospital Course: x\nA b.\nDischarge Medications:\n", "\nA b.\n", "\nA b.\n"),
        ("Brief Hospital Course:\nA ___ on Admission b ___  on Admission", "\nA ", "\nA "),
        ("Brief Hospital Course:\nA Discharge Medications x Medications on Admission", "\nA Discharge Medications x ",
         "\nA Discharge Medications x "),
        ("Gap-___ A b. Medications on Admission", " A b. ", " A b. "),
        ("Gap-___ A b. Discharge Medications", None, None),
        ("Brief Hospital Course: Medications on Admission", None, None),
    ],
)  # fmt: skip
def test_courses_begin_and_end_where_the_rules_say(text: str, published: str | None, lenient: str | None) -> None:
    assert sections.hospital_course(text) == published
    assert sections.hospital_course(text, "lenient") == lenient


@pytest.mark.parametrize("text", ["", " ", "a\x1cb \t\nc", " a\u00a0\u2003b\n", "a\x00 b", "\x85a  b"])
def test_unwrapped_is_what_split_and_join_give(text: str) -> None:
    assert sections.unwrapped(text) == " ".join(text.split())
