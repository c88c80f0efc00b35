"""The DRG reward as the paper's published code computes it, faults included: what `matching: published` means.

Re-stated from a description of its behaviour.
"""

import re

from reward_fns.drg import ms_drg

# Case does not matter to the published search for the answer, though it does to the published test of the format.
_OPENING, _CLOSING = (re.compile(tag, re.IGNORECASE) for tag in ("<answer>", "</answer>"))
_STATUS = re.compile(r"\s(WITH|WITHOUT)\s")
_TITLES = frozenset(drg.title for drg in ms_drg.DRGS)


def parts(completion: str) -> tuple[str, str] | None:
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


def outcome(answer: str, gold: str) -> str:
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
