"""The ICD reward and evaluation as the paper's published code computes them, faults included.

    published.parts(completion, "I214")     # what the reward adds up: `matching: published`
    published.answer(completion)            # the text that the evaluation takes for the code
    published.chapter("I214", labels)       # the chapter under which it files any text

Re-stated from a description of its behaviour, in linear time, which the published rule does not take.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from reward_fns.icd import icd10


class Parts(NamedTuple):
    """What the published ICD reward adds up: reasoning in the first pair, its outcome, further pairs, no text."""

    think: float
    outcome: float
    surplus: float
    empty: float


# Where chapters end, in the order in which they are tried: I to XIX, XXII, XX, XXI.
_ENDS = "C00 D50 E00 F00 G00 H00 H60 I00 J00 K00 L00 M00 N00 O00 P00 Q00 R00 S00 U00 V00 Z00 a00".split()  # noqa: SIM905
ENDS = dict(zip(_ENDS, map(str, (*range(1, 20), 22, 20, 21)), strict=True))
_TAG = re.compile("(</?(?:think|diagnosis)>)")
_CODE = re.compile("[A-Z][0-9]{2}[A-Z0-9]{0,4}\n?")  # its "$" lets a last line break pass


def pairs_of(completion: str) -> list[tuple[str, str]]:
    """Every (reasoning, diagnosis) pair that the published parser finds in "<think>" + completion.

    A pair starts a line, white space aside: a think block without think tags inside, or none, then a diagnosis block
    without diagnosis tags inside, only white space between them. Pairs do not overlap.
    """
    pieces = _TAG.split("<think>" + completion)
    gaps, tags = pieces[0::2], pieces[1::2]  # gaps[i] stands before tags[i]
    pairs, at = [], 0
    while at < len(tags):
        gap = gaps[at]
        if at == 0 or ("\n" in gap and "\n" in gap[len(gap.rstrip()) :]):
            think = _closing(tags, at, "<think>", "</think>")
            after = think + 1 if think and not gaps[think + 1].strip() else at
            diagnosis = _closing(tags, after, "<diagnosis>", "</diagnosis>")
            if diagnosis:
                reasoning = "".join(pieces[2 * at + 2 : 2 * think + 1]) if after > at else ""
                pairs.append((reasoning, "".join(pieces[2 * after + 2 : 2 * diagnosis + 1])))
                at = diagnosis
        at += 1
    return pairs


def _closing(tags: list[str], at: int, opening: str, closing: str) -> int:
    """The place of the tag that closes the block opened at a place, 0 when there is no such block."""
    if at < len(tags) and tags[at] == opening:
        for place in range(at + 1, len(tags)):
            if tags[place] == closing:
                return place
            if tags[place] == opening:
                break
    return 0


def answer(completion: str) -> str:
    """The diagnosis of the first pair without dots, in its own case and with its inner blanks; "" without a pair."""
    pairs = pairs_of(completion)
    return pairs[0][1].strip().replace(".", "") if pairs else ""


def chapter(text: str, labels: frozenset[str] = icd10.NONE) -> str | None:
    """The chapter whose end is the first to sort behind the text's first three characters in upper case.

    None for what sorts behind all ends, on which the published evaluation crashes. A chapter that none of the labels is
    in counts as its class for unknown labels, which is XIV: it files the label "NIL" as any other text.
    """
    found = _chapter(text[:3])
    return found if not labels or found is None or found in _chapters_of(labels) else _chapter("NIL")


@lru_cache(maxsize=1 << 14)
def _chapter(start: str) -> str | None:
    return next((number for end, number in ENDS.items() if start.upper() < end), None)


@lru_cache(maxsize=8)
def _chapters_of(labels: frozenset[str]) -> set[str | None]:
    return {_chapter(label[:3]) for label in labels}


def parts(completion: str, gold: str) -> Parts:
    """The published ICD reward without judge, with the constants of its 7B and 8B jobs."""
    pairs = pairs_of(completion)
    empty = 0.0 if completion else -5.0
    if not pairs:
        return Parts(0.0, -1.0, 0.0, empty)
    think, code = pairs[0][0], pairs[0][1].strip().replace(".", "")
    if not _CODE.fullmatch(code) or code[0] != gold[0]:
        outcome = -1.0
    elif code == gold:
        outcome = 15.0 * len(gold)
    else:
        common = icd10.overlap(code, gold)
        outcome = 15.0 * (common / len(gold) + (common - 2 if common >= 3 else 0))
    return Parts(1.0 if think else 0.0, outcome, 1.0 - len(pairs), empty)
