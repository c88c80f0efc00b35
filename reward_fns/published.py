"""The rewards as the papers' published code computes them, faults included: what `matching: published` means.

Both are re-stated from a description of their behaviour and run in linear time, which the published ICD rule does not.
"""

import re
from typing import NamedTuple

from reward_fns import icd10, ms_drg

# Case does not matter to the published search for the answer, though it does to the published test of the format.
_OPENING, _CLOSING = (re.compile(tag, re.IGNORECASE) for tag in ("<answer>", "</answer>"))
_STATUS = re.compile(r"\s(WITH|WITHOUT)\s")
_TITLES = frozenset(drg.title for drg in ms_drg.DRGS)


def drg_parts(completion: str) -> tuple[str, str] | None:
    """Reasoning and answer as the published DRG reward finds them, or None for a format it calls wrong.

    Its format: a think block, anything, and a last answer block without answer tags inside. Its answer: that of the
    *first* pair of answer tags, which may stand in the reasoning.
    """
    body = completion.strip()
    if not (body.startswith("<think>") and body.endswith("</answer>")):
        return None
    stop = len(body) - len("</answer>")
    start = body.rfind("<answer>", 0, stop)
    before = body[: max(start, 0)].rstrip()
    if not before.endswith("</think>") or len(before) < len("<think></think>"):
        return None
    if "</answer>" in body[start:stop]:
        return None
    first = _OPENING.search(body).end()
    return before[len("<think>") : -len("</think>")], body[first : _CLOSING.search(body, first).start()].strip()


def drg_outcome(answer: str, gold: str) -> str:
    """Which row of the reward table the published code gives: right, base, status, nothing or invalid."""
    answer, gold = answer.upper(), gold.upper().strip()
    if answer not in _TITLES:
        return "invalid"
    if gold in answer:
        return "right"
    split = _STATUS.search(gold)
    if split is None:
        return "nothing"
    if gold[: split.start()].strip() in answer:
        return "base"
    return "status" if f"{split[1]} {gold[split.end() :]}" in answer else "nothing"


class IcdParts(NamedTuple):
    """What the published ICD reward adds up: reasoning in the first pair, its outcome, further pairs, no text."""

    think: float
    outcome: float
    surplus: float
    empty: float


_ICD_TAG = re.compile("(</?(?:think|diagnosis)>)")
_ICD_CODE = re.compile("[A-Z][0-9]{2}[A-Z0-9]{0,4}\n?")  # its "$" lets a last line break pass


def icd_pairs(completion: str) -> list[tuple[str, str]]:
    """Every (reasoning, diagnosis) pair that the published parser finds in "<think>" + completion.

    A pair starts a line, white space aside: a think block without think tags inside, or none, then a diagnosis block
    without diagnosis tags inside, only white space between them. Pairs do not overlap.
    """
    pieces = _ICD_TAG.split("<think>" + completion)
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


def icd_parts(completion: str, gold: str) -> IcdParts:
    """The published ICD reward without judge, with the constants of its 7B and 8B jobs."""
    pairs = icd_pairs(completion)
    empty = 0.0 if completion else -5.0
    if not pairs:
        return IcdParts(0.0, -1.0, 0.0, empty)
    think, code = pairs[0][0], pairs[0][1].strip().replace(".", "")
    if not _ICD_CODE.fullmatch(code) or code[0] != gold[0]:
        outcome = -1.0
    elif code == gold:
        outcome = 15.0 * len(gold)
    else:
        common = icd10.overlap(code, gold)
        outcome = 15.0 * (common / len(gold) + (common - 2 if common >= 3 else 0))
    return IcdParts(1.0 if think else 0.0, outcome, 1.0 - len(pairs), empty)
