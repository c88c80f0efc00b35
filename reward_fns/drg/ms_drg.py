"""The 757 MS-DRGs of version 34 and the look-up of one by its title.

    from reward_fns.drg import ms_drg
    ms_drg.find("Heart failure & shock w MCC").number  # "291"

`ms_drg_v34.csv` holds number, MDC, type, title as CMS printed it, base DRG and CC/MCC status. A DRG is its
(base, status) pair. Status is one of DRG-LLaMA's five classes, see STATUS_WORDS.

The look-up tolerates case, runs of white space, one trailing full stop, commas, & for AND, W and W/O, and either
spelling where CMS misspelt or shortened a word. The DRG's own number before the title is tolerated ("291", "DRG 291:",
"MS-DRG 291 -"); another number, a number alone, or a character outside ASCII make it no answer.
"""

import csv
import re
from itertools import product
from pathlib import Path
from typing import NamedTuple

STATUS_WORDS = ("without CC/MCC", "with CC", "with MCC", "without MCC", "none")  # "with CC" includes "with CC/MCC"
NO_STATUS = 4

CORRECT = {
    "PROEDURESC": "PROCEDURES",
    "PROCEDURSE": "PROCEDURES",
    "CATHETERATION": "CATHETERIZATION",
    "CATETERIZATION": "CATHETERIZATION",
    "GASTROENTERISTIS": "GASTROENTERITIS",
    "FIXATIOM": "FIXATION",
    "CHEMOTHERPY": "CHEMOTHERAPY",
    "GRFT": "GRAFT",
    "W": "WITH",
    "W/O": "WITHOUT",
}
# What CMS shortened in a few titles, and what it stands for.
_IN_FULL = {
    "PROC": ("PROC", "PROCEDURE", "PROCEDURES"),
    "CHOLECYST": ("CHOLECYST", "CHOLECYSTECTOMY"),
    "REMOVAL": ("REMOVAL", "REMOVAL OF"),
}
_SMALL_WORDS = frozenset(["AND", "OR", "OF", "THE", "FOR", "EXCEPT", "WITH", "WITHOUT", "MCC", "CC", "CC/MCC"])
# A number before a title: "291 ", "291: ", "DRG 291 - ", "MS-DRG 291. ".
_NUMBER = re.compile(r"(?:(?:MS-)?DRG:?\s)?\s?([0-9]{1,3})(?:\s?[:.,)\u2013\u2014-]|\s)", re.ASCII | re.IGNORECASE)
_MOST, _LONGEST = 60, 300  # words, and characters without runs of white space, beyond which nothing can be a title


class Drg(NamedTuple):
    """One MS-DRG; `number` has three digits ("007"), `mdc` is "" before the MDCs (transplants, 981-999)."""

    number: str
    mdc: str
    type: str
    title: str
    base: str
    status: int

    @property
    def status_word(self) -> str:
        return STATUS_WORDS[self.status]


def key(text: str) -> str:
    """A title as the look-up compares it, "" for what cannot be one; without a number before it."""
    words = " ".join(text.split(None, _MOST))
    if len(words) > _LONGEST or not words.isascii():
        return ""
    words = " ".join(words.replace("&", " AND ").replace(",", " ").split())
    return " ".join([CORRECT.get(word, word) for word in words.removesuffix(".").upper().split()])


def find(text: str) -> Drg | None:
    """The DRG that this text names by its title, or None."""
    found = BY_TITLE.get(text)
    if found is not None:
        return found
    number = _NUMBER.match(text.lstrip())
    if number is None:
        return BY_KEY.get(key(text))
    found = BY_KEY.get(key(text.lstrip()[number.end() :]))
    return found if found is not None and int(found.number) == int(number[1]) else None


def nearest(text: str, n: int = 3) -> list[str]:
    """The titles nearest to a text (or of the DRG with that number), best first, for error messages."""
    from difflib import get_close_matches

    wanted = str(text).strip()[:_LONGEST]
    if wanted.isascii() and wanted.isdigit():
        return [drg.title for drg in DRGS if int(drg.number) == int(wanted)]
    wanted = key(wanted) or wanted.upper()
    words = set(wanted.split()) - _SMALL_WORDS
    if not words:
        return []
    shared = {known: len(words.intersection(known.split())) for known in BY_KEY}
    near = [known for known, count in shared.items() if count == max(shared.values())]
    return list(dict.fromkeys(BY_KEY[match].title for match in get_close_matches(wanted, near, 3 * n, 0.0)))[:n]


def _load() -> tuple[Drg, ...]:
    with open(Path(__file__).parent / "ms_drg_v34.csv", encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        return tuple(Drg(*row[:5], int(row[5])) for row in rows)


def _spellings(title: str) -> list[str]:
    """The keys of a title: as printed, and with every word that CMS shortened written in full."""
    return [" ".join(words) for words in product(*[_IN_FULL.get(word, (word,)) for word in key(title).split()])]


DRGS = _load()
BY_TITLE = {drg.title: drg for drg in DRGS}
BY_KEY = {spelling: drg for drg in DRGS for spelling in _spellings(drg.title)}
