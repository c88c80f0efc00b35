"""The hospital course is found where the rules say, and unwrapped as split and join would."""

import random

import pytest

from data_prep.cohort import sections
from tests.support.published import cohort as published_cohort

INSTRUCTIONS = "\nDischarge Instructions:\nTake your Medications on Admission as before"


@pytest.mark.parametrize(
    ("text", "published", "fixed", "lenient"),
    [
        ("BRIEF HOSPITAL COURSE:\nA b.\n \nMedications on Admission:\nx", None, None, "A b.\n \n"),
        ("rief Hospital Course:\nA b.\n \nDischarge Disposition:\nHome", None, None, "A b.\n \n"),
        ("Brief Hospital Course:\nA b.\n \n___ Disposition:\nHome", None, None, "A b.\n \n"),
        ("the hospital course: long\nA b.\nFacility:\n", None, None, None),
        ("Brief Hospital Course: x\nA b.\nDischarge Medications:\n", *["\nA b.\n"] * 3),
        ("Brief Hospital Course:\n\n\nA b.\nDischarge Medications:\n", "\nA b.\n", *["\n\n\nA b.\n"] * 2),
        ("Brief Hospital Course:\nA ___ on Admission b ___  on Admission", "\nA ___ on Admission b ", *["\nA "] * 2),
        ("Brief Hospital Course:\nA\nMedications on Admission:\nx" + INSTRUCTIONS,
         "\nA\nMedications on Admission:\nx\nDischarge Instructions:\nTake your ", *["\nA\n"] * 2),
        ("Brief Hospital Course:\nA" + INSTRUCTIONS, "\nA\nDischarge Instructions:\nTake your ", *["\nA\n"] * 2),
        ("Brief Hospital Course:\nA Discharge Medications x Medications on Admission",
         "\nA Discharge Medications x ", *["\nA "] * 2),
        ("Gap-___ A b.\nMedications on Admission", *[" A b.\n"] * 3),
        ("Gap-___ A b. Medications on Admission\nc", None, *[" A b. "] * 2),
        ("Mg-2 ___ A b.\nMedications on Admission\nMedications on Admission",
         " A b.\nMedications on Admission\n", *[" A b.\n"] * 2),
        ("Gap-___ A b. Discharge Medications", None, None, None),
        ("Brief Hospital Course: Medications on Admission", None, None, None),
    ],
)  # fmt: skip
def test_courses_begin_and_end_where_the_rules_say(
    text: str, published: str | None, fixed: str | None, lenient: str | None
) -> None:
    found = {rules: sections.hospital_course(text, rules) for rules in sections.RULES}
    assert found == {"published": published, "fixed": fixed, "lenient": lenient}


def test_published_courses_are_those_of_the_rules_on_20000_texts_of_their_words() -> None:
    chance = random.Random(0)
    words = [
        *published_cohort.ON_ADMISSION, "____ on Admission", "Discharge Medications", "Mg-1.___", "Mg-2 ___",
        "LACTATE-1x___", "Epi-___", "Gap-____", "TRF-___", "Mg-1___", *["Brief Hospital Course:"] * 3,
        *["\n", "\n \n", "\n\n"] * 3, "a", " ", "b c", "\r", "___", ": ",
    ]  # fmt: skip
    found = 0
    for _ in range(20_000):
        text = "".join(chance.choice(words) for _ in range(chance.randint(1, 18)))
        wanted = published_cohort.course(text)
        assert sections.hospital_course(text, "published") == wanted, repr(text)
        found += wanted is not None
    assert found > 4000


@pytest.mark.parametrize("text", ["", " ", "a\x1cb \t\nc", " a\u00a0\u2003b\n", "a\x00 b", "\x85a  b"])
def test_unwrapped_is_what_split_and_join_give(text: str) -> None:
    assert sections.unwrapped(text) == " ".join(text.split())
