"""Find the MS-DRG v34 title that a billing system's shorthand stands for, or leave it for review.

    drg_matcher.match("DISORDERS OF LIVER EXCEPT MALIG,CIRR,ALC HEPA W CC", "442").drg

Shorthand drops vowels, cuts words, joins them, leaves out prepositions, and ends at 75 characters. So the words of the
description are aligned, in order, with the words of each title, of v34 and of the other years (drg_renamings). Every
word of the description must be explained; words of the title may be missing at a price. Statuses (WITH MCC, …),
numbers and NON must stand in both, letter by letter: no price buys them. The cheapest title is taken only when no title
of another DRG comes near. Where several do and have the same status, the DRG number decides if it is that of one of
them. Where none is cheap enough, the v34 DRG of that number is taken if it has the description's status and most of its
words. Else nobody decides: a status that is not said is never guessed.
"""

import re
from functools import cache
from typing import NamedTuple

from data_prep.cohort import drg_renamings
from data_prep.cohort.drg_words import (
    IMPOSSIBLE,
    LIGHT,
    LINKS,
    NEVER,
    NUMBER,
    STATUSES,
    explained,
    fixed,
    same,
    status_of,
    words_of,
)  # fmt: skip
from reward_fns.drg import ms_drg
from reward_fns.drg.ms_drg import Drg

CUT = 70  # a description this long may end before its title does: systems cut at 75, and commas may be gone since
MOST, MARGIN = 0.9, 0.3  # the highest price of a match, and how much more any other title must cost
SHARED = 0.75  # of the words, for the number to decide
VAGUE = frozenset(["DISORDERS", "DISORDER", "DISEASE", "DISEASES", "DIAGNOSES", "DIAGNOSIS", "PROCEDURES", "PROCEDURE",
                   "SYSTEM", "TRACT", "TISSUE", "CONDITION", "@OR"])  # fmt: skip
# What some years write out, and others do not.
IN_FULL = {
    "PDX": "PRINCIPAL DIAGNOSIS", "SDX": "SECONDARY DIAGNOSIS", "G.I.": "GASTROINTESTINAL", "COMA COMA": "COMA",
}  # fmt: skip
MATCHER, RENAMING, NUMBERED, RECUT, NOTHING = "matcher", "renaming", "number", "re-cut", "nothing"
_STATUS = re.compile(r" W\S* (CC/MCC|MCC|CC)( .*)?$")


class Found(NamedTuple):
    """A DRG (None: the row is dropped) and what found it."""

    drg: Drg | None
    by: str


class Title(NamedTuple):
    """A title as words, what it costs that a description lacks each of them, its number, its v34 DRG, and its rule."""

    words: tuple[str, ...]
    absent: tuple[float, ...]
    number: str
    drg: Drg | None
    by: str


def match(description: str, number: str = "") -> Found:
    """The DRG that this description abbreviates; `number` chooses among titles, and never on a status."""
    prices = candidates(description)
    near = [
        title for title, price in prices if price <= prices[0][1] + (MARGIN if prices[0][1] < MARGIN else 2 * MARGIN)
    ]
    if not prices or prices[0][1] > MOST:
        return _numbered(words_of(description), number)
    if len({title.drg or title.number for title in near}) > 1:
        same = [title for title in near if _equal(title.number, number)]
        near = same if len({status_of(title.words) for title in near}) == 1 else []
    return Found(near[0].drg, near[0].by) if near else Found(None, NOTHING)


def _equal(one: str, other: str) -> bool:
    return one.isdigit() and other.isdigit() and int(one) == int(other)


def _numbered(said: tuple[str, ...], number: str) -> Found:
    """The v34 DRG of that number, if it has this status and most of these words, and denies none of them."""
    for title in (title for title in _titles() if title.by == MATCHER and _equal(title.number, number)):
        theirs, ours = ([w for w in words if w not in LINKS and not fixed(w)] for words in (said, title.words))
        shared = 2 * sum(any(same(word, other) for other in ours) for word in theirs)
        if (
            status_of(said) == status_of(title.words)
            and all(said.count(word) == title.words.count(word) for word in ("NON", "WITHOUT"))
            and {word for word in said if NUMBER.match(word)} <= set(title.words)
            and shared >= SHARED * (len(theirs) + len(ours))
        ):
            return Found(title.drg, NUMBERED)
    return Found(None, NOTHING)


@cache
def candidates(description: str) -> list[tuple[Title, float]]:
    """The titles that can be meant, cheapest first, with their prices."""
    cut = len(description.strip()) >= CUT
    if cut:
        description = re.sub(r" W(ITHOU?|/)$", " WITHOUT", re.sub(r"CC/M?C?$", "CC/MCC", description.strip()))
    words = words_of(description)
    status = status_of(words)
    best: dict[tuple[Drg | None, str], tuple[Title, float]] = {}
    for title in _titles_from(words[0][0]) if words else ():
        if status == status_of(title.words) or (cut and (not status or words[-1] == status[-1])):
            price = _Alignment(words, title, cut)[0, 0]
            if price < best.get((title.drg, title.number), (title, IMPOSSIBLE))[1]:
                best[title.drg, title.number] = title, price
    return sorted(best.values(), key=lambda found: (found[1], found[0].number))


class _Alignment(dict[tuple[int, int], float]):
    """The least that it costs to explain the words of a description from the i-th by those of a title from the j-th."""

    def __init__(self, words: tuple[str, ...], title: Title, cut: bool) -> None:
        self.words, self.title, self.cut = words, title, cut

    def __missing__(self, place: tuple[int, int]) -> float:
        self[place] = price = self._price(*place)
        return price

    def _price(self, i: int, j: int) -> float:
        said, meant, absent = self.words, self.title.words, self.title.absent
        if i == len(said):
            return 0.05 if self.cut and j < len(meant) else sum(absent[j:])
        best = IMPOSSIBLE
        if said[i] in LIGHT:
            best = (0.2 if said[i] == "FOR" else LINKS[said[i]]) + self[i + 1, j]
        if j == len(meant):
            return best
        if absent[j] < IMPOSSIBLE:
            best = min(best, absent[j] + self[i, j + 1])
        for taken, price in explained(said[i], meant[j:], self.cut and i == len(said) - 1):
            best = min(best, price + self[i + 1, j + taken])
        if i + 1 < len(said) and said[i] + said[i + 1] == meant[j]:
            best = min(best, 0.1 + self[i + 2, j + 1])
        return best


@cache
def _titles_from(letter: str) -> list[Title]:
    """The titles whose first word begins with this letter, or does so without its first vowels."""
    return [t for t in _titles() if letter in (t.words[0][0], t.words[0].lstrip("AEIOU")[:1] or t.words[0][0])
            or (letter == "O" and t.words[0] == "@OR")]  # fmt: skip


@cache
def _titles() -> list[Title]:
    known = [*ms_drg.BY_KEY.items(), *ms_drg.BY_TITLE.items()]  # as CMS misspelt them, too
    # Every spelling of a base with each of its statuses, or one that is cut before its status could fit a single one.
    bodies: dict[str, set[str]] = {}
    for text, drg in known:
        bodies.setdefault(drg.base, set()).add(_STATUS.sub("", text))
    for drg in ms_drg.DRGS:
        if status := _STATUS.search(drg.title):
            known += [(body + status[0], drg) for body in sorted(bodies[drg.base])]
    texts = [(text, drg.number, drg, MATCHER) for text, drg in known]
    texts += [(r.title, r.number, r.home, RENAMING if r.home else RECUT) for r in drg_renamings.all_of().values()]
    for short, full in IN_FULL.items():
        texts += [(text.replace(short, full), *what) for text, *what in texts if short in text]
    spelt = {words_of(text): what for text, *what in reversed(texts)}
    return [Title(words, _absent(words), *what) for words, what in spelt.items()]


def _absent(words: tuple[str, ...]) -> tuple[float, ...]:
    """The price of each word of a title, for a description without it."""
    prices = [LINKS.get(word) or (0.5 if word in VAGUE else 1.0) for word in words]
    status = max((k for k, word in enumerate(words) if word in STATUSES), default=len(words) + 1)
    for k, word in enumerate(words):
        if k > status:  # "OR TPA IN 24 HOURS"
            prices[k] = 0.1
        elif word in NEVER or NUMBER.match(word) or k == status - 1:  # WITH or WITHOUT
            prices[k] = IMPOSSIBLE
    return tuple(prices)
