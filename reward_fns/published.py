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


class Tag(NamedTuple):
    """A tag in a text; `following` is the place, among all tags, of the next one of the same name (0 for none)."""

    start: int
    end: int
    name: str
    opens: bool
    following: int


_ICD_TAG = re.compile("<(/?)(think|diagnosis)>")
_ICD_CODE = re.compile("[A-Z][0-9]{2}[A-Z0-9]{0,4}\n?")  # its "$" lets a last line break pass


def icd_pairs(completion: str) -> list[tuple[str, str]]:
    """Every (reasoning, diagnosis) pair that the published parser finds in "<think>" + completion.

    A pair starts a line, white space aside: a think block without think tags inside, or none, then a diagnosis block
    without diagnosis tags inside, only white space between them. Pairs do not overlap.
    """
    text = "<think>" + completion
    tags = _tags(text)
    pairs, at, end = [], 0, 0
    while at < len(tags):
        gap = text[end : tags[at].start]
        if end == 0 or "\n" in gap[len(gap.rstrip()) :]:
            think = _closing(tags, at, "think")
            after = think + 1 if think else at
            diagnosis = _closing(tags, after, "diagnosis") if after < len(tags) else 0
            if diagnosis and not (think and text[tags[think].end : tags[after].start].strip()):
                reasoning = text[tags[at].end : tags[think].start] if think else ""
                pairs.append((reasoning, text[tags[after].end : tags[diagnosis].start]))
                at = diagnosis
        end = tags[at].end
        at += 1
    return pairs


def _tags(text: str) -> list[Tag]:
    found, last = list(_ICD_TAG.finditer(text)), {"think": 0, "diagnosis": 0}
    tags = []
    for at in range(len(found) - 1, -1, -1):
        slash, name = found[at].groups()
        tags.append(Tag(*found[at].span(), name, not slash, last[name]))
        last[name] = at
    return tags[::-1]


def _closing(tags: list[Tag], at: int, name: str) -> int:
    """The place of the tag that closes the block of this name opened at a place, 0 when there is no such block."""
    tag = tags[at]
    opened = tag.name == name and tag.opens and tag.following
    return tag.following if opened and not tags[tag.following].opens else 0


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
