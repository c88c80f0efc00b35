"""Find the hospital course of a discharge summary by its headings."""

import re

COURSE = "Brief Hospital Course"
ON_ADMISSION = ("Medications on Admission", "___  on Admission", "___ on Admission")
AT_DISCHARGE = ("Discharge Medications",)
# The last laboratory value before a course that has lost its heading.
STUB = re.compile(r"(?:Mg-[12]\.|LACTATE-[12]\.|Epi-|Gap-|COUNT-|TRF-)___")
# Headings of a course that published rules pass over, and all that can come after one.
LENIENT = re.compile(r"^[ \t]*(?:B?rief )?Hospital Course\b[^\n]*\n", re.IGNORECASE | re.MULTILINE)
AFTER = re.compile(
    r"^[ \t]*(?:(?:Medications|___) +on Admission|Discharge (?:Medications|Disposition|Diagnos[ei]s|Condition"
    r"|Instructions)|___ (?:Medications|Disposition)|Facility) *:",
    re.IGNORECASE | re.MULTILINE,
)
SPACES = re.compile("   *")  # two or more; with two letters to look for, it is found twice as fast as "  +"
BETWEEN, OTHER_SPACES = "\v\v", "\t\f\r\x1c\x1d\x1e\x1f"  # white space of ASCII that notes hardly have
RULES = ("published", "lenient")


def hospital_course(text: str, rules: str = "published") -> str | None:
    """The hospital course by DRG-LLaMA's rules, the first that matches, as it stands in the note; None without one.

    (a) from the line after "Brief Hospital Course" to the first heading of the medications on admission; (b) to
    "Discharge Medications"; (d) from a laboratory stub to "Medications on Admission". Their rule (c) never matches;
    with the lenient rules, a heading in other spellings and any heading after it take its place.
    """
    heading = text.find(COURSE)
    start = text.find("\n", heading) if heading >= 0 else -1
    if start >= 0:
        for ends in (ON_ADMISSION, AT_DISCHARGE):
            end = _first(text, ends, start)
            if end >= 0:
                return text[start:end]
    if rules == "lenient" and (begin := LENIENT.search(text)) and (after := AFTER.search(text, begin.end())):
        return text[begin.end() : after.start()]
    likely = "-___" in text or ".___" in text  # a search for the stubs takes many times longer
    if likely and (stub := STUB.search(text)):
        end = text.find(ON_ADMISSION[0], stub.end())
        if end >= 0:
            return text[stub.end() : end]
    return None


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


def _first(text: str, words: tuple[str, ...], start: int) -> int:
    """Where the first of the words begins after `start`, or -1."""
    first, end = -1, len(text)
    for word in words:
        if (place := text.find(word, start, end)) >= 0:
            first, end = place, place + len(word) - 1
    return first
