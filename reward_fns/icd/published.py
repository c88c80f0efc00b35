"""The ICD reward as the paper's published code computes it, faults included: what `matching: published` means.

Re-stated from a description of its behaviour, in linear time, which the published rule does not take.
"""

import re
from typing import NamedTuple

from reward_fns.icd import icd10


class Parts(NamedTuple):
    """What the published ICD reward adds up: reasoning in the first pair, its outcome, further pairs, no text."""

    think: float
    outcome: float
    surplus: float
    empty: float


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
