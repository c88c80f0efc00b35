"""DRG descriptions as words, and which words one word of shorthand can stand for, at what price.

words_of("CELLULITIS W/O MCC")  # ("CELLULITIS", "WITHOUT", "MCC")
explained("LIVERTRANSPL", ("LIVER", "TRANSPLANT"), last=False)  # [(2, 0.06…)]: both, joined and cut
"""

import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from functools import cache

# links that can also stand where the title has none
LIGHT = frozenset(["AND", "OR", "OF", "THE", "FOR", "IN", "TO", "BY", "AS"])
LINKS = dict.fromkeys(LIGHT, 0.02) | dict.fromkeys(("WITH", "WITHOUT", "EXCEPT"), 0.2)
NEVER = frozenset(["CCMCC", "MCC", "CC", "NON"])
STATUSES = frozenset(["CCMCC", "MCC", "CC"])
ALIKE = {"9+": "EXTENSIVE", "DX": "DIAGNOSI", "FX": "FRACTURE"}
SPELT = {"W": ("WITH",), "WTH": ("WITH",), "WCC": ("WITH", "CC"), "WO": ("WITHOUT",), "WTHT": ("WITHOUT",)}
TYPO = 0.8  # of the letters of a misspelt word
IMPOSSIBLE = float("inf")
NUMBER = re.compile(r"[<>=]*\d+\+?$")
_SEPARATORS = re.compile(r"[\s,/;:()\-]+")


def words_of(text: str) -> tuple[str, ...]:
    """Words in one spelling: statuses whole, O.R. apart from OR, no dots, no hyphens."""
    text = f" {text.upper()} ".replace("&", " AND ").replace("O.R.", " @OR ")
    text = text.replace("MCC/CC", "CC/MCC").replace("CC/MCC", " CCMCC ")
    text = re.sub(r"W/O(UT)?", " WITHOUT ", text)
    text = re.sub(r"WITH(OUT)?|(?<!CC)MCC", r" \g<0> ", text)
    text = re.sub(r"([<>]=?)\s+(?=\d)", r"\1", text)
    text = re.sub(r"(\d+)\s*\+(?=\s*H)", r">\1", text).replace("<96", "<=96")
    words = _SEPARATORS.split(text.replace(".", ""))
    return tuple(word for whole in words for word in SPELT.get(whole, (whole,)) if word)


def status_of(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words of a status, ("WITH", "MCC"), or none."""
    last = max((k for k, word in enumerate(words) if word in STATUSES), default=-1)
    return words[max(last - 1, 0) : last + 1]


@cache
def explained(said: str, meant: tuple[str, ...], last: bool) -> list[tuple[int, float]]:
    """How many words of the title, from its first, one word of a description can stand for, and at what price."""
    found = []
    if (price := alike(said, meant[0], last)) < IMPOSSIBLE:
        found.append((1, price))
    if not fixed(said) and not fixed(meant[0]):
        found += [(taken, price) for taken, price in _joined(said, meant[:7], last) if taken > 1]
        initials = [(k, word[0]) for k, word in enumerate(meant) if word not in LINKS]
        if 3 <= len(said) <= len(initials) and said == "".join(letter for _, letter in initials[: len(said)]):
            found.append((initials[len(said) - 1][0] + 1, 0.2))
    return found


def fixed(word: str) -> bool:
    """Whether a word is never abbreviated."""
    return word in NEVER or word in ("WITH", "WITHOUT", "@OR") or bool(NUMBER.match(word))


def alike(said: str, meant: str, last: bool) -> float:
    """The price of one word for another; where the description was cut, its last word may be any beginning."""
    if said == meant:
        return 0.0
    if last and meant.startswith(said.replace("@OR", "O")):
        return 0.02
    if (said, meant) == ("OR", "@OR") or ALIKE.get(said) == meant.removesuffix("S"):
        return 0.02
    if fixed(said) or fixed(meant):
        return IMPOSSIBLE
    if said.removesuffix("S") == meant.removesuffix("S"):
        return 0.01
    shortest = min((price for length, price in _shortened(said, 0, meant) if length == len(said)), default=IMPOSSIBLE)
    if shortest == IMPOSSIBLE and len(said) >= 3 and said[0] == meant[0]:
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


def same(said: str, meant: str) -> bool:
    return alike(said, meant, False) < IMPOSSIBLE or SequenceMatcher(None, said, meant).ratio() >= TYPO
