"""Cut a discharge summary down to what is known at admission: eight sections, in the order of DeepICD-R1.

    sections = admission.find(text, "fixed")   # eight texts, "" where a section is missing
    admission.note(sections)                   # the admission note; None without complaint, illness and history

`published` finds a section wherever its name and a colon stand and ends it at the first blank line that some words and
a colon follow: an inner paragraph such as "In the ED, initial vitals were:" cuts it, an exam at discharge after a
single line break stays in it, and a last section, which nothing ends, is lost.

`fixed` knows the headings of a discharge summary: a section begins and ends at one of them, at a line's start. What
stands under any other of them is dropped, and so is an exam at discharge. After the hospital course, where summaries
have nothing else of the admission, only the medications on admission are taken.
"""

import re
from collections.abc import Sequence

SECTIONS = (
    "chief complaint",
    "present illness",
    "medical history",
    "medications on admission",
    "allergies",
    "physical exam",
    "family history",
    "social history",
)
NEEDED = 3  # one of the first three must say something
MODES = ("fixed", "published")
HOME_DRUGS, EXAM = SECTIONS[3], SECTIONS[5]

# Headings as `fixed` reads them, in lower case; any word of a longer one may be blanked out ("___ on Admission").
SPELLINGS = {
    "chief complaint": ("chief complaint", "chief complaints"),
    "present illness": ("history of present illness", "history of the present illness", "present illness"),
    "medical history": ("past medical history", "prior medical history", "medical history"),
    HOME_DRUGS: (
        "medications on admission", "medication on admission", "meds on admission", "home medications on admission",
        "admission medications",
    ),
    "allergies": ("allergies", "allergies / adverse drug reactions"),
    EXAM: (
        "physical exam", "physical examination", "admission physical exam", "admission physical examination",
        "physical exam on admission", "physical examination on admission",
    ),
    "family history": ("family history", "family medical history"),
    "social history": ("social history",),
}  # fmt: skip
BEFORE_COURSE = (
    "name", "unit no", "admission date", "discharge date", "date of birth", "sex", "service", "attending",
    "major surgical or invasive procedure", "major surgical or invasive procedures", "surgical history",
    "past surgical history", "pertinent results", "___ history", "___ exam",
)  # fmt: skip
FROM_COURSE = (
    "brief hospital course", "rief hospital course", "hospital course", "facility", "followup instructions",
    "follow-up instructions", "follow up instructions", "addendum", "discharge medications", "discharge medication",
    "discharge disposition", "discharge diagnosis", "discharge diagnoses", "discharge condition",
    "discharge instructions", "discharge instruction",
)  # fmt: skip
# These end what stands before them also where their colon is missing.
ALONE = {name for name in FROM_COURSE if " " in name} | {"pertinent results"}
DROPPED, COURSE = "dropped", "hospital course"
BLANKED = "___"
LONGEST = 60  # characters of a heading

_THING = r"(?:(?:physical|exam|examination|pe|vitals?|signs|vs|labs?|laboratory|weight|wt)\b[^\w]*)"
_WHEN = r"(?:on|at|upon|prior\s+to|before|(?:day|time|date)\s+of)\b\s*"
# A line that opens an exam at discharge: "DISCHARGE EXAM:", "Vitals on discharge", "== At discharge", "Discharge:".
DISCHARGE_EXAM = re.compile(
    rf"\W*(?:{_THING}*(?:{_WHEN}(?:the\s+)?)+(?:discharge|d/?c)\b|{_THING}+(?:discharge|d/?c)\b"
    rf"|(?:discharge|d/?c)\s+(?:day\s+)?{_THING}|(?:discharge|d/?c)(?:[^\w.,;]|[_\d])*(?:[:=]|$))",
    re.I,
)
# Where a published section ends: a blank line, then a heading, which has no digit, period, bracket or bar.
PUBLISHED_END = re.compile(r"\n\s*\n[^\n:.()|\\\d]+:")


def _headings() -> dict[str, str]:
    """Every heading, and the section that it opens."""
    plain = {spelling: section for section, spellings in SPELLINGS.items() for spelling in spellings}
    plain |= dict.fromkeys(BEFORE_COURSE, DROPPED) | dict.fromkeys(FROM_COURSE, COURSE)
    known = dict(plain)
    for heading, section in plain.items():
        words = heading.split()
        for at in range(len(words) if len(words) > 1 else 0):
            known.setdefault(" ".join([*words[:at], BLANKED, *words[at + 1 :]]), section)
    return known


HEADINGS = _headings()
_UPPER = [section.upper() for section in SECTIONS]


def find(text: str, mode: str) -> list[str]:
    """The eight sections, each as one line."""
    return _published(text) if mode == "published" else _fixed(text)


def note(sections: Sequence[str]) -> str | None:
    """The admission note, or None where it would say nothing of the reason for the stay."""
    if not any(sections[:NEEDED]):
        return None
    return "\n\n".join(f"{name}: {said}".rstrip() for name, said in zip(_UPPER, sections, strict=True))


def _published(text: str) -> list[str]:
    found = []
    for section in SECTIONS:
        start = re.search(f"{section}:", text, re.I)
        end = PUBLISHED_END.search(text, start.end()) if start else None
        found.append(text[start.end() : end.start()].replace("\n", " ").strip() if start and end else "")
    return found


def _fixed(text: str) -> list[str]:
    found: dict[str, list[str]] = {}
    inside: list[str] | None = None  # the lines of the section that is being read, if it is kept
    after_course = False
    for line in text.split("\n"):
        heading, colon, rest = line.partition(":")
        opens = _opens(heading, colon) if len(heading) <= LONGEST else None
        if opens in SPELLINGS and (opens in found or (after_course and opens != HOME_DRUGS)):
            opens = None  # named again, or where a summary has nothing of the admission: no border
        if opens is None:
            if inside is not None and inside is found.get(EXAM) and DISCHARGE_EXAM.match(line):
                inside = None
            if inside is not None:
                inside.append(line)
            continue
        after_course = after_course or opens == COURSE
        inside = found.setdefault(opens, [rest]) if opens in SPELLINGS else None
        if after_course and HOME_DRUGS in found and inside is None:
            break
    return [" ".join(" ".join(found.get(section, ())).split()) for section in SECTIONS]


def _opens(heading: str, colon: str) -> str | None:
    """What the words before a colon, or a whole line without one, open; None: they are no heading."""
    name = " ".join(heading.lower().split())
    if colon or name in ALONE:
        return HEADINGS.get(name) or (DROPPED if "discharge" in name and DISCHARGE_EXAM.match(f"{name}:") else None)
    return None
