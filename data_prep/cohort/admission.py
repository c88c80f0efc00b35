"""Cut a discharge summary down to what is known at admission: eight sections, in the order of DeepICD-R1.

    admission.note(text, "fixed")   # the admission note; None without complaint, illness and history
    admission.find(text, "fixed")   # its eight sections, "" where one is missing

`published` is what the builder behind the published notes makes: a section begins wherever its name and a colon first
stand, has one character at least, and ends at the first blank line after which a colon comes before any digit, period,
bracket, bar or backslash, be it lines below. So an inner paragraph such as "In the ED, initial vitals were:" cuts it,
an exam at discharge after a single line break stays in it, an empty section swallows the next one, one that begins with
"[]" is emptied, and a last one, which nothing ends, is lost. The fourth title says MEDICATION.

`fixed` knows the headings of a discharge summary: a section begins and ends at one of them, at a line's start, and the
social history also at a "Family History:" within it. What stands under any other of them is dropped, and so is an exam
at discharge. From the results on, where summaries have nothing else of the admission, only the medications on admission
are taken.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from common.files import beside
from data_prep.cohort.sections import unwrapped

_KNOWN = beside(__file__)  # admission.yaml
SPELLINGS: dict[str, list[str]] = _KNOWN["sections"]
SECTIONS = tuple(SPELLINGS)
NEEDED = 3  # one of the first three must say something
MODES = ("fixed", "published")
HOME_DRUGS, EXAM = "medications on admission", "physical exam"
# These end what stands before them also where their colon is missing.
ALONE = {name for name in _KNOWN["from results"] if " " in name}
DROPPED, LATER = "dropped", "dropped, and nothing but the medications on admission follows"
BLANKED = "___"
LONGEST = 45  # letters of a line that opens an exam at discharge, without its colon
USUAL = "\nmedications on admission:"

_THING = r"(?:(?:physical|exam|examination|pe|vitals?|signs|vs|labs?|laboratory|weight|wt)\b[^\w]*)"
_WHEN = r"(?:on|at|upon|prior\s+to|before|(?:day|time|date)\s+of)\b\s*"
# A line that opens an exam at discharge: "DISCHARGE EXAM:", "Vitals on discharge", "== At discharge", "Discharge:".
DISCHARGE_EXAM = re.compile(
    rf"\n[^\w\n]*+(?:{_THING}*(?:{_WHEN}(?:the\s+)?)+(?:discharge|d/?c)\b|{_THING}+(?:discharge|d/?c)\b"
    rf"|(?:discharge|d/?c)\s+(?:day\s+)?{_THING}|(?:discharge|d/?c)(?:[^\w\n.,;]|[_\d])*(?:[:=]|$))",
    re.I | re.M,
)
BLANK_LINE, COLON_OR_NONE = re.compile(r"\n[^\S\n]*+\n"), re.compile(r"[:.()|\\\d]")
PARAGRAPH = re.compile("(___\n)Family History:", re.I)  # the published builder puts a blank line before this heading


def _headings() -> dict[str, str]:
    """Every heading, and the section that it opens."""
    plain = {spelling: section for section, spellings in SPELLINGS.items() for spelling in spellings}
    plain |= dict.fromkeys(_KNOWN["before results"], DROPPED) | dict.fromkeys(_KNOWN["from results"], LATER)
    blanked: dict[str, set[str]] = {}
    for heading, section in plain.items():
        words = heading.split()
        for at in range(len(words) if len(words) > 1 else 0):
            blanked.setdefault(" ".join([*words[:at], BLANKED, *words[at + 1 :]]), set()).add(section)
    # what may be a kept section and may be another ("___ Medications") is dropped
    unclear = {name: LATER if LATER in sections else DROPPED for name, sections in blanked.items()}
    return unclear | {name: min(sections) for name, sections in blanked.items() if len(sections) == 1} | plain


def _any_of(names: Iterable[str]) -> str:
    """A pattern for these names, told apart letter by letter: to try 150 names at every line takes long."""
    tails: dict[str, list[str]] = {}
    for name in names:
        tails.setdefault(name[:1], []).append(name[1:])
    ends = tails.pop("", None)
    branches = []
    for letter, rest in tails.items():
        branches.append((r"[^\S\n]+" if letter == " " else re.escape(letter)) + _any_of(rest))
    return f"(?:{'|'.join(branches)}){'?' if ends else ''}" if branches else ""


HEADINGS = _headings()
HEADING = re.compile(rf"\n[^\S\n]*+{_any_of(HEADINGS)}[^\S\n]*+(?::|(?=\n)|\Z)")
_UPPER = [section.upper() for section in SECTIONS]
_PUBLISHED = [title.replace("MEDICATIONS", "MEDICATION") for title in _UPPER]
_NAMES = [re.compile(f"{section}:", re.I) for section in SECTIONS]


def find(text: str, mode: str) -> list[str]:
    """The eight sections, each as one line."""
    return _published(text) if mode == "published" else [unwrapped(section) for section in _fixed(text)]


def note(text: str, mode: str) -> str | None:
    """The admission note, or None where it would say nothing of the reason for the stay."""
    sections = _published(text) if mode == "published" else _fixed(text)
    if not any(sections[:NEEDED]):
        return None
    if mode == "published":
        return "\n\n".join(f"{name}: {said}" for name, said in zip(_PUBLISHED, sections, strict=True))
    return unwrapped(*(f"{name}: {said}" if said else f"{name}:" for name, said in zip(_UPPER, sections, strict=True)))


def _published(text: str) -> list[str]:
    text = PARAGRAPH.sub(r"\1\nFamily History:", text)
    lower = text.lower() if text.isascii() else ""  # to look a word up in any case takes long
    found = []
    for section, name in zip(SECTIONS, _NAMES, strict=True):
        if lower:
            start = lower.find(f"{section}:") + len(section) + 1
        else:
            start = match.end() if (match := name.search(text)) else len(section)
        end = _published_end(text, start) if start > len(section) else -1
        said = text[start:end].replace("\n", " ").strip() if end >= 0 else ""
        found.append("" if said.startswith("[]") else said)
    return found


def _published_end(text: str, start: int) -> int:
    """Where a section that begins here ends, or -1; its first character and that of a heading may be any."""
    at = start + 1
    while blank := BLANK_LINE.search(text, at):
        begin = blank.end()
        first = COLON_OR_NONE.match(text, begin)
        after = first if first and first[0] != ":" else COLON_OR_NONE.search(text, begin + 1)
        if after is None:
            return -1
        if after[0] == ":":
            return blank.start()
        at = after.start()  # nor can a blank line before it end the section
    return -1


def _fixed(text: str) -> list[str]:
    if text[: text.find("\n") + 1].strip() or "\n" not in text:
        text = f"\n{text}"  # a heading can stand in the first line
    # headings are looked up in lower case; "İ" is the one letter that becomes longer
    lower = text.lower() if text.isascii() else text.replace("İ", "I").lower()
    found: dict[str, tuple[int, int]] = {}
    inside, start = DROPPED, 0
    for match in HEADING.finditer(lower):
        opens = _opens(match[0])
        if opens is None or opens in found or opens == inside:
            continue  # no heading, or a section named again: no border
        if inside in SPELLINGS:
            found[inside] = start, match.start()
        inside, start = opens, match.end()
        if opens == LATER:
            found.setdefault(HOME_DRUGS, _home_drugs(lower, start))
            break
    if inside in SPELLINGS:
        found[inside] = start, len(text)
    begin, end = found.get("social history", (0, 0))
    if (family := lower.find("family history:", begin, end)) >= 0:  # in the same paragraph
        found["social history"] = begin, family
        found.setdefault("family history", (family + len("family history:"), end))
    for name, (begin, end) in found.items():
        found[name] = begin, _exam_at_discharge(name, lower, begin, end)
    return [text[slice(*found[name])].strip() if name in found else "" for name in SECTIONS]


def _home_drugs(lower: str, start: int) -> tuple[int, int]:
    """Where the medications on admission begin and end, looked for after this place."""
    if (usual := lower.find(USUAL, start)) >= 0:  # to search for every spelling takes many times longer
        begin = usual + len(USUAL)
    else:
        headings = HEADING.finditer(lower, start)
        begin = next((each.end() for each in headings if _opens(each[0]) == HOME_DRUGS), len(lower))
    for border in HEADING.finditer(lower, begin):
        if _opens(border[0]) in (DROPPED, LATER):
            return begin, border.start()
    return begin, len(lower)


def _exam_at_discharge(section: str, lower: str, begin: int, end: int) -> int:
    """Where a line opens an exam at discharge, else the end: outside the exam, only a short one with a colon does."""
    place = lower.find("discharge", begin, end)
    if section == EXAM and (place >= 0 or lower.find("d/c", begin, end) >= 0 or lower.find("dc", begin, end) >= 0):
        leaves = DISCHARGE_EXAM.search(lower[begin:end])
        return begin + leaves.start() if leaves else end
    while place >= 0:
        start, colon = lower.rfind("\n", begin, place), lower.find(":", place, end)
        line = lower[start:colon] if start >= 0 and colon >= 0 else ""
        if 1 < len(line) <= LONGEST + 1 and not set(line[1:]) & {"\n", ":"} and DISCHARGE_EXAM.match(f"{line}:"):
            return start
        place = lower.find("discharge", place + 1, end)
    return end


@lru_cache(maxsize=1 << 16)
def _opens(line: str) -> str | None:
    """What a line that HEADING found opens; None for a name that is a heading with its colon only."""
    name = " ".join(line.rstrip(":").split())
    return HEADINGS[name] if line.endswith(":") or name in ALONE else None
