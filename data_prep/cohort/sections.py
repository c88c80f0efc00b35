"""Find the hospital course of a discharge summary by its headings."""

import re

COURSE = "Brief Hospital Course"
ON_ADMISSION = ("Medications on Admission", "___  on Admission", "___ on Admission")
AT_DISCHARGE = "Discharge Medications"
# The last laboratory value before a course that has lost its heading.
STUB = re.compile(r"(?:Mg-[12].|LACTATE-[12].|Epi-|Gap-|COUNT-|TRF-)___")
NEEDED = ("-___", "Mg-", "LACTATE-")  # a part of it, found much faster
# Headings of a course that the other rules pass over, and all that can come after one.
LENIENT = re.compile(r"^[ \t]*(?:B?rief )?Hospital Course\b[^\n]*\n", re.IGNORECASE | re.MULTILINE)
AFTER = re.compile(
    r"^[ \t]*(?:(?:Medications|___) +on Admission|Discharge (?:Medications|Disposition|Diagnos[ei]s|Condition"
    r"|Instructions)|___ (?:Medications|Disposition)|Facility) *:",
    re.IGNORECASE | re.MULTILINE,
)
SPACES = re.compile("   *")  # two or more; with two letters to look for, it is found twice as fast as "  +"
BETWEEN, OTHER_SPACES = "\v\v", "\t\f\r\x1c\x1d\x1e\x1f"  # white space of ASCII that notes hardly have
RULES = ("published", "fixed", "lenient")


def hospital_course(text: str, rules: str = "fixed") -> str | None:
    """The hospital course as it stands in the note, None without one.

    published: DRG-LLaMA's rules, the first that matches, and what its program makes of them. (a) From the line after
    "Brief Hospital Course" to the last mention of the medications on admission, which may be far down in the
    instructions; (b) to the last "Discharge Medications"; (d) from a laboratory stub to the last "Medications on
    Admission". At least a line break lies between. Its rule (c) never matches.
    fixed: to the first of these, and never past a heading that comes after a course.
    lenient: fixed, and where it finds nothing, a course under its heading in other spellings.
    """
    heading = text.find(COURSE)
    start = text.find("\n", heading) if heading >= 0 else -1
    if start >= 0:
        found = _to_last(text, start) if rules == "published" else _to_first(text, start, ON_ADMISSION)
        if found is not None:
            return found
    if rules == "lenient" and (begin := LENIENT.search(text)) and (after := AFTER.search(text, begin.end())):
        return text[begin.end() : after.start()]
    if any(map(text.__contains__, NEEDED)) and (stub := STUB.search(text)):
        if rules != "published":
            return _to_first(text, stub.end(), ON_ADMISSION[:1])
        line = text.find("\n", stub.end())
        end = text.rfind(ON_ADMISSION[0], line) if line >= 0 else -1
        return text[stub.end() : end] if end >= 0 else None
    return None


def _to_last(text: str, start: int) -> str | None:
    """From what follows the line breaks at `start` to the last terminator of the first kind that there is."""
    for ends in (ON_ADMISSION, (AT_DISCHARGE,)):
        end = max(text.rfind(word, start) for word in ends)
        if end >= 0:
            return "\n" + text[start:end].lstrip("\n")  # one line break of them is captured
    return None


def _to_first(text: str, start: int, words: tuple[str, ...]) -> str | None:
    """From `start` to the first of the words, or to a heading before it."""
    first, end = -1, len(text)
    for word in words:
        if (place := text.find(word, start, end)) >= 0:
            first, end = place, place + len(word) - 1
    if text.find("Discharge ", start, end) >= 0:
        if words is ON_ADMISSION and (place := text.find(AT_DISCHARGE, start, end)) >= 0:
            first = place
        if first >= 0 and (earlier := AFTER.search(text, start, first)):
            first = earlier.start()
    return text[start:first] if first >= 0 else None


def unwrapped(*texts: str) -> str:
    """Each text with every run of white space as one space, which undoes the hard wrap; a blank line between them."""
    whole = BETWEEN.join(texts)
    if (
        not whole.isascii()
        or whole.count("\v") > len(BETWEEN) * (len(texts) - 1)
        or any(map(whole.__contains__, OTHER_SPACES))
    ):
        return "\n\n".join(" ".join(text.split()) for text in texts)
    # several times faster than to split and join, which makes a string of every word
    flat = whole.replace("\n", " ").strip()
    if flat.rfind("  ") >= 0:  # found in half the time that `in` takes
        flat = SPACES.sub(" ", flat)
    return flat.replace("\v", "\n")
