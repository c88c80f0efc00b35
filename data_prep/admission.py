"""Cut a discharge summary down to what is known at admission: eight sections, in the order of DeepICD-R1.

    sections = admission.find(text, "fixed")   # eight texts, "" where a section is missing
    admission.note(sections)                   # the admission note; None without complaint, illness and history

`published` finds a section wherever its name and a colon stand and ends it at the first blank line that some words and
a colon follow: an inner paragraph such as "In the ED, initial vitals were:" cuts it, an exam at discharge after a
single line break stays in it, and a last section, which nothing ends, is lost.

`fixed` knows the headings of a discharge summary: a section begins and ends at one of them, at a line's start. What
stands under any other of them is dropped, and so is an exam at discharge. From the results on, where summaries have
nothing else of the admission, only the medications on admission are taken.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

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
BEFORE_RESULTS = (
    "name", "unit no", "admission date", "discharge date", "date of birth", "sex", "service", "attending",
    "major surgical or invasive procedure", "major surgical or invasive procedures", "surgical history",
    "past surgical history", "___ history", "___ exam", "___ exam on admission",
)  # fmt: skip
FROM_RESULTS = (
    "pertinent results", "brief hospital course", "rief hospital course", "hospital course", "facility", "addendum",
    "followup instructions", "follow-up instructions", "follow up instructions", "discharge medications",
    "discharge medication", "discharge disposition", "discharge diagnosis", "discharge diagnoses",
    "discharge condition", "discharge instructions", "discharge instruction",
)  # fmt: skip
# These end what stands before them also where their colon is missing.
ALONE = {name for name in FROM_RESULTS if " " in name}
DROPPED, LATER = "dropped", "dropped, and nothing but the medications on admission follows"
BLANKED = "___"
# Any line that may be a heading: up to 45 characters, and a colon or nothing after them.
LINE = re.compile(r"\n([^\n:]{1,45}+)(:|(?=\n)|\Z)")
USUAL = "\nMedications on Admission:"
HOME = re.compile(r"\n[ \t]*((?:home|med|admission|___)[^\n:]{0,40}+):", re.I)

_THING = r"(?:(?:physical|exam|examination|pe|vitals?|signs|vs|labs?|laboratory|weight|wt)\b[^\w]*)"
_WHEN = r"(?:on|at|upon|prior\s+to|before|(?:day|time|date)\s+of)\b\s*"
# A line that opens an exam at discharge: "DISCHARGE EXAM:", "Vitals on discharge", "== At discharge", "Discharge:".
DISCHARGE_EXAM = re.compile(
    rf"\n[^\w\n]*+(?:{_THING}*(?:{_WHEN}(?:the\s+)?)+(?:discharge|d/?c)\b|{_THING}+(?:discharge|d/?c)\b"
    rf"|(?:discharge|d/?c)\s+(?:day\s+)?{_THING}|(?:discharge|d/?c)(?:[^\w\n.,;]|[_\d])*(?:[:=]|$))",
    re.I | re.M,
)
# Where a published section ends: a blank line, then a heading, which has no digit, period, bracket or bar.
PUBLISHED_END = re.compile(r"(?<!\s)[^\S\n]*+\n(?:[^\S\n]*+\n)++[^\S\n]*+[^\s:.()|\\\d][^\n:.()|\\\d]*+:")


def _headings() -> dict[str, str]:
    """Every heading, and the section that it opens."""
    plain = {spelling: section for section, spellings in SPELLINGS.items() for spelling in spellings}
    plain |= dict.fromkeys(BEFORE_RESULTS, DROPPED) | dict.fromkeys(FROM_RESULTS, LATER)
    blanked: dict[str, set[str]] = {}
    for heading, section in plain.items():
        words = heading.split()
        for at in range(len(words) if len(words) > 1 else 0):
            blanked.setdefault(" ".join([*words[:at], BLANKED, *words[at + 1 :]]), set()).add(section)
    # what may be a kept section and may be another ("___ Medications") is dropped
    unclear = {name: LATER if LATER in sections else DROPPED for name, sections in blanked.items()}
    return unclear | {name: min(sections) for name, sections in blanked.items() if len(sections) == 1} | plain


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
    text = f"\n{text}"
    found: dict[str, str] = {}
    inside, start = DROPPED, 0
    for match in LINE.finditer(text):
        opens = _opens(match[1], match[2])
        if opens is None or opens in found or opens == inside:
            continue  # no heading, or a section named again: no border
        if inside in SPELLINGS:
            found[inside] = text[start : match.start()]
        inside, start = opens, match.end()
        if opens == LATER:
            found.setdefault(HOME_DRUGS, _home_drugs(text, start))
            break
    if inside in SPELLINGS:
        found[inside] = text[start:]
    if (exam := found.get(EXAM)) and (leaves := DISCHARGE_EXAM.search(exam)):
        found[EXAM] = exam[: leaves.start()]
    return [_line(found[section]) if section in found else "" for section in SECTIONS]


def _home_drugs(text: str, start: int) -> str:
    """The medications on admission, where they stand after this place."""
    if (usual := text.find(USUAL, start)) >= 0:  # to search for every spelling takes many times longer
        begin = usual + len(USUAL)
    else:
        named = (match.end() for match in HOME.finditer(text, start) if _opens(match[1], ":") == HOME_DRUGS)
        begin = next(named, len(text))
    lines = LINE.finditer(text, begin)
    ends = (line.start() for line in lines if _opens(line[1], line[2]) in (DROPPED, LATER))
    return text[begin : next(ends, len(text))]


@lru_cache(maxsize=1 << 16)
def _opens(heading: str, colon: str) -> str | None:
    """What the words before a colon, or a whole line without one, open; None: they are no heading."""
    name = " ".join(heading.lower().split())
    if not colon and name not in ALONE:
        return None
    return HEADINGS.get(name) or (DROPPED if "discharge" in name and DISCHARGE_EXAM.match(f"\n{name}:") else None)


def _line(text: str) -> str:
    """The text with every run of white space as one space."""
    flat = text.replace("\n", " ")
    if not flat.isascii() or not flat.isprintable():
        return " ".join(text.split())
    while "  " in flat:  # few and short: faster than to split and join
        flat = flat.replace("  ", " ")
    return flat.strip()
