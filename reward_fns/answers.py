"""The one parser of completions: <think>reasoning</think> and then <answer>…</answer> or <diagnosis>…</diagnosis>.

    from reward_fns.answers import parse
    parse("<think>Chest pain, troponin up.</think><answer>ANGINA PECTORIS</answer>").text

A completion is in the right format when each of the four tags occurs exactly once (a tag in other case is an
occurrence too, but only lower case is valid), in this order, with something but white space between the think tags
and only white space outside the two blocks. In a wrong format there is no answer and no reasoning: nothing that
stands anywhere else can be taken for the answer. Every scan is linear in the length of the completion.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple


class Answer(NamedTuple):
    """What a completion says. `reasoning` and `text` (stripped) are empty when the format is wrong."""

    format_ok: bool
    reasoning: str
    text: str


_SIGNS = 16  # so many "<" that begin no tag ("< 90%") are skipped before the slower search for tags
_NO_NAME = frozenset(" =0123456789\n")
_WRONG = Answer(False, "", "")


@lru_cache(maxsize=8)
def _tags(tag: str) -> tuple[str, str, Callable[[str, int], object]]:
    """The opening and closing tag of the answer, and the search for any of the four tags in any case."""
    return f"<{tag}>", f"</{tag}>", re.compile(f"</?(?:think|{re.escape(tag)})>", re.IGNORECASE).search


def with_prefill(completion: str, prefill: str) -> str:
    """The completion with the text its prompt ended with, which the model continued, back in front of it."""
    return completion if completion.startswith(prefill) else prefill + completion


def parse(completion: str, tag: str = "answer", prefill: str = "") -> Answer:
    """Split a completion into reasoning and answer; `prefill` goes before it unless it already starts with it."""
    body = (with_prefill(completion, prefill) if prefill else completion).strip()
    opening, closing, any_tag = _tags(tag)
    if not (body.startswith("<think>") and body.endswith(closing)):
        return _WRONG
    stop = len(body) - len(closing)
    start = body.rfind(opening, 0, stop)
    middle = body.rfind("</think>", len("<think>"), start) if start > 0 else -1
    if middle < 0:
        return _WRONG
    reasoning = body[len("<think>") : middle].strip()
    gap = body[middle + len("</think>") : start]
    text = body[start + len(opening) : stop].strip()
    if not reasoning or (gap and not gap.isspace()):
        return _WRONG
    for part in (reasoning, text):
        if "<" in part and ">" in part and _has_tag(part, any_tag):
            return _WRONG
    return Answer(True, reasoning, text)


def _has_tag(text: str, any_tag: Callable[[str, int], object]) -> bool:
    at = text.find("<")
    for _ in range(_SIGNS):
        if at < 0:
            return False
        if text[at + 1 : at + 2] not in _NO_NAME:
            break
        at = text.find("<", at + 1)
    return at >= 0 and any_tag(text, at) is not None


def count_blocks(text: str, tag: str) -> int:
    """How many blocks of this tag (in any case) follow one another; a block ends at the first closing tag."""
    text = text.lower()
    opening, closing, _ = _tags(tag)
    blocks, at = 0, text.find(opening)
    while at >= 0:
        end = text.find(closing, at + len(opening))
        if end < 0:
            break
        blocks += 1
        at = text.find(opening, end + len(closing))
    return blocks
