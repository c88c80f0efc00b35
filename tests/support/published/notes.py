"""The admission notes of the published builder once more, character by character, and notes that try every branch."""

import random

SECTIONS = ["chief complaint", "present illness", "medical history", "medications on admission", "allergies",
            "physical exam", "family history", "social history"]  # fmt: skip
TITLES = ["CHIEF COMPLAINT", "PRESENT ILLNESS", "MEDICAL HISTORY", "MEDICATION ON ADMISSION", "ALLERGIES",
          "PHYSICAL EXAM", "FAMILY HISTORY", "SOCIAL HISTORY"]  # fmt: skip


def note(text: str) -> str | None:
    """The admission note; None without complaint, illness and history."""
    paragraph = "___\nFamily History:"
    for at in reversed(range(len(text))):
        if text[at : at + len(paragraph)].lower() == paragraph.lower():
            text = text[:at] + "___\n\nFamily History:" + text[at + len(paragraph) :]
    found = [section(text, name) for name in SECTIONS]
    if not any(found[:3]):
        return None
    return "\n\n".join(f"{title}: {said}" for title, said in zip(TITLES, found, strict=True))


def section(text: str, name: str) -> str:
    """From the first "name:", at least one character, to the first line break where it can end."""
    start = next((at for at in range(len(text)) if text[at : at + len(name) + 1].lower() == f"{name}:"), None)
    if start is None:
        return ""
    begin = start + len(name) + 1
    end = next((at for at in range(begin + 1, len(text)) if ends_at(text, at)), None)
    said = "" if end is None else text[begin:end].replace("\n", " ").strip()
    return "" if said.startswith("[]") else said


def ends_at(text: str, at: int) -> bool:
    """Whether a blank line begins with this line break, and after it a colon comes before any ( ) \\ | . and digit."""
    if text[at] != "\n":
        return False
    blank = at + 1
    while blank < len(text) and text[blank].isspace() and text[blank] != "\n":
        blank += 1
    if text[blank : blank + 1] != "\n":
        return False
    for place in range(blank + 1, len(text)):
        if text[place] == ":" and place > blank + 1:
            return True
        if text[place] in "()\\|." or text[place].isdecimal():
            return False
    return False


def adversarial(seed: int, many: int) -> list[str]:
    """Notes put together of what the rules look at, in no order."""
    chance = random.Random(seed)
    names = [spelt for name in SECTIONS for spelt in (f"{name}:", f"{name.title()}:", f"{name.upper()}:")]
    blanks = ["\n", "\n\n", "\n \n", "\n\t\n", "\n \n \n"]
    signs = [":", "1", ".", "(", ")", "|", "\\", "[]", "[] x", "___", "é", "٣", "\xa0", "\r"]
    others = ["Attending:", "Name: ", "In the ED, vitals were:", "words", " ", "two words", "two\nlines"]
    pieces = [*names, "___\nFamily History:", "___\nFAMILY HISTORY:", *blanks * 4, *signs, *others]
    return ["".join(chance.choice(pieces) for _ in range(chance.randint(1, 60))) for _ in range(many)]
