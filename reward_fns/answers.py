"""The one parser of completions: <think>reasoning</think> and then <answer>…</answer> or <diagnosis>…</diagnosis>.

    from reward_fns.answers import parse
    parse("<think>Chest pain, troponin up.</think><answer>ANGINA PECTORIS</answer>").text

A completion is in the right format when each of the four tags occurs exactly once (a tag in other case is an
occurrence too, but only lower case is valid), in this order, with something but white space between the think tags
and only white space outside the two blocks. In a wrong format there is no answer and no reasoning: nothing that
stands anywhere else can be taken for the answer. Every scan is linear in the length of the completion.
"""

from typing import NamedTuple

_FEW = 32  # so many "<" are looked at one by one; more are searched for in a lower-case copy


class Answer(NamedTuple):
    """What a completion says. `reasoning` and `text` (stripped) are empty when the format is wrong."""

    format_ok: bool
    reasoning: str
    text: str


_WRONG = Answer(False, "", "")


def tags(tag: str) -> tuple[str, str, str, str]:
    """The four tags in their order."""
    return "<think>", "</think>", f"<{tag}>", f"</{tag}>"


_TAGS = {tag: tags(tag) for tag in ("answer", "diagnosis")}


def with_prefill(completion: str, prefill: str) -> str:
    """The completion with the text its prompt ended with, which the model continued, back in front of it."""
    return completion if completion.startswith(prefill) else prefill + completion


def parse(completion: str, tag: str = "answer", prefill: str = "") -> Answer:
    """Split a completion into reasoning and answer; `prefill` goes before it unless it already starts with it."""
    body = with_prefill(completion, prefill).strip()
    four = _TAGS.get(tag) or tags(tag)
    think, end_think, opening, closing = four
    if not (body.startswith(think) and body.endswith(closing)):
        return _WRONG
    stop = len(body) - len(closing)
    start = body.rfind(opening, 0, stop)
    middle = body.rfind(end_think, len(think), start) if start > 0 else -1
    if middle < 0:
        return _WRONG
    reasoning = body[len(think) : middle].strip()
    gap = body[middle + len(end_think) : start]
    text = body[start + len(opening) : stop].strip()
    if not reasoning or (gap and not gap.isspace()) or _has_tag(reasoning, four) or _has_tag(text, four):
        return _WRONG
    return Answer(True, reasoning, text)


def _has_tag(text: str, four: tuple[str, str, str, str]) -> bool:
    at = text.find("<")
    longest = len(four[-1])
    for _ in range(_FEW):
        if at < 0:
            return False
        if text[at : at + longest].lower().startswith(four):
            return True
        at = text.find("<", at + 1)
    rest = text[max(at, 0) :].lower()
    return at >= 0 and any(tag in rest for tag in four)


def count_blocks(text: str, tag: str) -> int:
    """How many blocks of this tag (in any case) follow one another; a block ends at the first closing tag."""
    text = text.lower()
    _, _, opening, closing = tags(tag)
    blocks, at = 0, text.find(opening)
    while at >= 0:
        end = text.find(closing, at + len(opening))
        if end < 0:
            break
        blocks += 1
        at = text.find(opening, end + len(closing))
    return blocks
