"""Find the MS-DRG v34 title that a billing system's shorthand stands for, or leave it for review.

    drg_matcher.match("DISORDERS OF LIVER EXCEPT MALIG,CIRR,ALC HEPA W CC")

Shorthand drops vowels, cuts words, joins them, leaves out prepositions, and ends at 75 characters. So the words of the
description are aligned, in order, with the words of each title. Every word of the description must be explained;
words of the title may be missing at a price. Statuses (WITH MCC, …), numbers and NON must stand in both, letter by
letter: no price buys them. The cheapest title is taken only when no title of another DRG comes near; where several do
and have the same status, the DRG number decides if it is that of one of them, and else nobody does.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from reward_fns.drg import ms_drg
from reward_fns.drg.ms_drg import Drg

CUT = 70  # a description this long may end before its title does: systems cut at 75, and commas may be gone since
MOST, MARGIN = 0.9, 0.3  # the highest price of a match, and how much more any other title must cost
# links that can also stand where the title has none
LIGHT = frozenset(["AND", "OR", "OF", "THE", "FOR", "IN", "TO", "BY", "AS"])
LINKS = dict.fromkeys(LIGHT, 0.02) | dict.fromkeys(("WITH", "WITHOUT", "EXCEPT"), 0.2)
VAGUE = frozenset(["DISORDERS", "DISORDER", "DISEASE", "DISEASES", "DIAGNOSES", "DIAGNOSIS", "PROCEDURES", "PROCEDURE",
                   "SYSTEM", "TRACT", "TISSUE", "CONDITION", "@OR"])  # fmt: skip
NEVER = frozenset(["CCMCC", "MCC", "CC", "NON"])
STATUSES = frozenset([("CCMCC",), ("MCC",), ("CC",)])
ALIKE = {"9+": "EXTENSIVE", "DX": "DIAGNOSIS", "FX": "FRACTURE"}
SPELT = {"W": ("WITH",), "WTH": ("WITH",), "WCC": ("WITH", "CC"), "WO": ("WITHOUT",), "WTHT": ("WITHOUT",)}
# Titles of later versions whose cases have one v34 title of the same status.
LATER = {
    f"CESAREAN SECTION {sterilization} STERILIZATION {status}": f"CESAREAN SECTION {ours}"
    for sterilization in ("WITH", "WITHOUT")
    for status, ours in (("WITH MCC", "WITH CC/MCC"), ("WITH CC", "WITH CC/MCC"), ("WITHOUT CC/MCC", "WITHOUT CC/MCC"))
}
_IMPOSSIBLE = float("inf")
_NUMBER = re.compile(r"[<>=]*\d+\+?$")
_SEPARATORS = re.compile(r"[\s,/;:()\-]+")


class Title(NamedTuple):
    """A title as words, what it costs that a description lacks each of them, and its DRG."""

    words: tuple[str, ...]
    absent: tuple[float, ...]
    drg: Drg


def words_of(text: str) -> tuple[str, ...]:
    """Words in one spelling: statuses whole, O.R. apart from OR, no dots, no hyphens."""
    text = f" {text.upper()} ".replace("&", " AND ").replace("O.R.", " @OR ").replace("CC/MCC", " CCMCC ")
    text = re.sub(r"W/O(UT)?", " WITHOUT ", text)
    text = re.sub(r"WITH(OUT)?|(?<!CC)MCC", r" \g<0> ", text)
    text = re.sub(r"([<>]=?)\s+(?=\d)", r"\1", text)
    text = re.sub(r"(\d+)\s*\+(?=\s*H)", r">\1", text).replace("<96", "<=96")
    words = _SEPARATORS.split(text.replace(".", ""))
    return tuple(word for whole in words for word in SPELT.get(whole, (whole,)) if word)


def match(description: str, number: str = "") -> Drg | None:
    """The DRG that this description abbreviates; `number` chooses among titles that fit equally well."""
    prices = candidates(description)
    near = [drg for drg, price in prices if price <= prices[0][1] + (MARGIN if prices[0][1] < MARGIN else 2 * MARGIN)]
    if not prices or prices[0][1] > MOST:
        return None
    if len(near) == 1:
        return near[0]
    same = [drg for drg in near if number.isdigit() and int(drg.number) == int(number)]
    return same[0] if same and len({drg.status for drg in near}) == 1 else None


@cache
def candidates(description: str) -> list[tuple[Drg, float]]:
    """The titles that can be meant, cheapest first, with their prices."""
    cut = len(description.strip()) >= CUT
    if cut:
        description = re.sub(r" W(ITHOU?|/)$", " WITHOUT", re.sub(r"CC/M?C?$", "CC", description.strip()))
    words = words_of(description)
    best: dict[Drg, float] = {}
    for title in _titles_from(words[0][0]) if words else ():
        price = _Alignment(words, title, cut)[0, 0]
        if price < best.get(title.drg, _IMPOSSIBLE):
            best[title.drg] = price
    return sorted(best.items(), key=lambda item: (item[1], item[0].number))


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
        best = _IMPOSSIBLE
        if said[i] in LIGHT:
            best = (0.2 if said[i] == "FOR" else LINKS[said[i]]) + self[i + 1, j]
        if j == len(meant):
            return best
        if absent[j] < _IMPOSSIBLE:
            best = min(best, absent[j] + self[i, j + 1])
        for taken, price in explained(said[i], meant[j:], self.cut and i == len(said) - 1):
            best = min(best, price + self[i + 1, j + taken])
        if i + 1 < len(said) and said[i] + said[i + 1] == meant[j]:
            best = min(best, 0.1 + self[i + 2, j + 1])
        return best


@cache
def explained(said: str, meant: tuple[str, ...], last: bool) -> list[tuple[int, float]]:
    """How many words of the title, from its first, one word of a description can stand for, and at what price."""
    found = []
    if (price := alike(said, meant[0], last)) < _IMPOSSIBLE:
        found.append((1, price))
    if not fixed(said) and not fixed(meant[0]):
        found += [(taken, price) for taken, price in _joined(said, meant[:7], last) if taken > 1]
        initials = [(k, word[0]) for k, word in enumerate(meant) if word not in LINKS]
        if 3 <= len(said) <= len(initials) and said == "".join(letter for _, letter in initials[: len(said)]):
            found.append((initials[len(said) - 1][0] + 1, 0.2))
    return found


def fixed(word: str) -> bool:
    """Whether a word is never abbreviated."""
    return word in NEVER or word in ("WITH", "WITHOUT", "@OR") or bool(_NUMBER.match(word))


def alike(said: str, meant: str, last: bool) -> float:
    """The price of one word for another; where the description was cut, its last word may be any beginning."""
    if said == meant:
        return 0.0
    if last and meant.startswith(said.replace("@OR", "O")):
        return 0.02
    if (said, meant) == ("OR", "@OR") or ALIKE.get(said) == meant:
        return 0.02
    if fixed(said) or fixed(meant):
        return _IMPOSSIBLE
    if said.removesuffix("S") == meant.removesuffix("S"):
        return 0.01
    shortest = min((price for length, price in _shortened(said, 0, meant) if length == len(said)), default=_IMPOSSIBLE)
    if shortest == _IMPOSSIBLE and len(said) >= 3 and said[0] == meant[0]:
        letters = iter(meant)
        if all(letter in letters for letter in said.removesuffix("S")):
            return 0.35
    return shortest


def _shortened(said: str, start: int, meant: str) -> Iterator[tuple[int, float]]:
    """Lengths of what, from `start`, can be the word without its end and without some of its vowels."""
    place, most = start, len(meant)
    dropped_first = 0.0
    for k, letter in enumerate(meant):
        if place < len(said) and said[place] == letter:
            place += 1
            if place - start >= min(2, most):
                yield place - start, 0.01 + 0.03 * (1 - (place - start) / most) + dropped_first
        elif letter in "AEIOUY":
            dropped_first = 0.05 if k == 0 else dropped_first
        else:
            return


def _joined(said: str, meant: tuple[str, ...], last: bool, start: int = 0) -> Iterator[tuple[int, float]]:
    """How many words are joined in one, each of them possibly shortened, links between them left out."""
    for k, word in enumerate(meant):
        if not fixed(word):
            for length, price in _shortened(said, start, word):
                if start + length == len(said):
                    yield k + 1, price
                else:
                    for more, further in _joined(said, meant[k + 1 :], last, start + length):
                        yield k + 1 + more, price + further + 0.03
            if last and start and word.startswith(said[start:]):
                yield k + 1, 0.03
        if word not in LIGHT:
            return


@cache
def _titles_from(letter: str) -> list[Title]:
    """The titles whose first word begins with this letter, or does so without its first vowels."""
    return [t for t in _titles() if letter in (t.words[0][0], t.words[0].lstrip("AEIOU")[:1] or t.words[0][0])
            or (letter == "O" and t.words[0] == "@OR")]  # fmt: skip


@cache
def _titles() -> list[Title]:
    texts = [*ms_drg.BY_KEY.items(), *ms_drg.BY_TITLE.items()]  # as CMS misspelt them, too
    texts += [(later, ms_drg.BY_TITLE[ours]) for later, ours in LATER.items()]
    spelt = dict.fromkeys((words_of(text), drg) for text, drg in texts)
    return [Title(words, _absent(words), drg) for words, drg in spelt]


def _absent(words: tuple[str, ...]) -> tuple[float, ...]:
    """The price of each word of a title, for a description without it."""
    prices = [LINKS.get(word) or (0.5 if word in VAGUE else 1.0) for word in words]
    status = max((k for k, word in enumerate(words) if (word,) in STATUSES), default=len(words))
    for k, word in enumerate(words):
        if k > status:  # "OR TPA IN 24 HOURS"
            prices[k] = 0.1
        elif word in NEVER or _NUMBER.match(word) or words[k + 1 : k + 2] in STATUSES:  # WITH and WITHOUT before one
            prices[k] = _IMPOSSIBLE
    return tuple(prices)
