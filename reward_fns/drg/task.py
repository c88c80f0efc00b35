"""MS-DRG as the commands see it: levels, metrics, kinds of errors, styles of reasoning."""

import re
from collections.abc import Mapping
from typing import Any

from reward_fns.answers import Answer, with_prefill
from reward_fns.drg import ms_drg, published, weights
from reward_fns.drg.cot_first import WORDS, is_answer_first
from reward_fns.task import Check, Flags, Grouping, Level, Measure, Published, Scope, Score, Task

SCHEME = "strict"  # that evaluation scores with: 2 for the DRG, 0 for another one
NO_ANSWER = "no valid answer"
KINDS = {
    "right": "the DRG is right",
    "under-coded": "right base, a lower status than the gold's",
    "over-coded": "right base, a higher status than the gold's",
    "wrong base": "a DRG of another base",
    NO_ANSWER: "wrong format, or no MS-DRG v34 title",
}
SEVERITY = {0: 0, 3: 0, 1: 1, 2: 2}  # of a status: without CC/MCC and without MCC, with CC, with MCC

_BRACKETS = re.compile(r"\[([^\[\]]+)\]")


def _read(scored: Score, gold: str, scope: Scope) -> dict[str, float]:
    return {
        "acc": scored["acc"],
        "base": scored["base"],
        "status": scored["status"],
        "format": float(scored["format"] == 0),
        "valid": float(scored["pred"] in ms_drg.BY_TITLE),
        "answer_first": scored["cot_first"],
    }


def _level(key: str, title: str, flag: str, names: tuple[str, ...], of: Any) -> Level:
    def label(answer: str, scope: Scope) -> str | None:
        drg = ms_drg.BY_TITLE.get(answer)
        return of(drg) if drg else None

    return Level(key, title, label, lambda gold, scope: of(ms_drg.find(gold)), flag, names)


def _published(completion: str, answer: Answer, scope: Scope) -> str:
    if answer.format_ok:  # right there, too, and its one pair of answer tags is the first
        return answer.text
    parts = published.parts(with_prefill(completion, scope.prefill))
    return parts[1] if parts else ""


def _kind(said: str, gold: str, flags: Flags) -> str:
    answer, right = ms_drg.BY_TITLE.get(said), ms_drg.find(gold)
    if answer is None or right is None:
        return NO_ANSWER
    if answer is right:
        return "right"
    if answer.base != right.base:
        return "wrong base"
    return "under-coded" if SEVERITY[answer.status] < SEVERITY[right.status] else "over-coded"


def _canonical(answer: str) -> str:
    found = ms_drg.find(answer)
    return found.title if found else answer


def _weighs_no_three(reasoning: str, gold: str) -> bool:
    """Whether the brackets do not name exactly three DRGs, the gold among them, each again where it is weighed."""
    named = [ms_drg.find(text) for text in _BRACKETS.findall(reasoning)]
    titles = {found.title for found in named if found is not None}
    return None in named or len(titles) != 3 or gold not in titles


def describe(text: str) -> str:
    """An answer or gold in words."""
    found = ms_drg.find(text)
    if found is None:
        near = ms_drg.nearest(text, 1) if text else []
        return f"{text[:100]!r}: no MS-DRG v34 title" + (f", the nearest is {near[0]!r}" if near else "")
    return f"DRG {found.number} {found.title!r}: base {found.base!r}, status {found.status_word!r}"


def points(result: Score, options: Mapping[str, Any]) -> list[str]:
    """What the score is made of."""
    levels = (("the DRG", "acc"), ("the base", "base"), ("the status", "status"))
    shared = [what for what, key in levels if result[key]]
    first = "a DRG is named" if result["cot_first"] else "no DRG is named"
    penalty = 0 - options.get("cot_first_penalty", 0.0) * result["cot_first"]
    return [
        f"right      {', '.join(shared) or 'nothing'}",
        f"format     {result['format']:+g}",
        f"accuracy   {result['accuracy']:+g}  ({options.get('accuracy', 'dense')})",
        f"cot first  {penalty:+g}  ({first} within the first {WORDS} words)",
    ]


TASK = Task(
    key="drg",
    source="mimic_drg",
    title="MS-DRG",
    paper="drg_sapphire",
    tag="answer",
    reward="reward_fns.drg",
    options={"accuracy": SCHEME},
    levels=(
        _level("drg", "DRG", "acc", tuple(ms_drg.BY_TITLE), lambda drg: drg.title),
        _level("base", "base DRG", "base", tuple({drg.base: 0 for drg in ms_drg.DRGS}), lambda drg: drg.base),
        _level("status", "CC/MCC status", "status", ms_drg.STATUS_WORDS, lambda drg: drg.status_word),
    ),
    flags=("acc", "base", "status", "format", "valid", "answer_first"),
    numbers=("reward", "reasoning_words"),
    measures=(
        Measure(
            "answer_first",
            f"share of completions in the right format that name a DRG in their first {WORDS} words",
            heading="answer first",
        ),
        Measure(
            "cot_first",
            f"share of completions in the right format that do not name a DRG in their first {WORDS} words",
            value=lambda of: of["format"] - of["answer_first"],
        ),
        Measure("reward", f"mean reward: format plus {SCHEME} accuracy", "reward", "reward"),
    ),
    valid="an MS-DRG v34 title",
    read=_read,
    canonical=_canonical,
    example="CHEST PAIN",
    maximum=lambda gold: 2.0,
    columns=("pass@1", "pass@n", "maj@n"),
    printed=("pass@1", "pass@n", "maj@n"),
    groups=(
        Grouping("mdc", "MDC", lambda gold: ms_drg.find(gold).mdc or "none"),
        Grouping("family", "family", lambda gold: ms_drg.find(gold).base),
    ),
    stands="drg/pass@1",
    confusion="status",
    pairs="base",
    kinds=KINDS,
    kind=_kind,
    describe=describe,
    points=points,
    styles={
        "cot_first": (Check("early", "names the answer before it has reasoned", is_answer_first),),
        "answer_first": (
            Check("late", "does not begin with the answer", lambda text, gold: not is_answer_first(text, gold)),
        ),
        "differential": (
            Check(
                "candidates", "does not weigh three valid DRGs in brackets with the gold among them", _weighs_no_three
            ),
        ),
    },
    weights=weights.read,
    published=Published(
        _published,
        (Level("drg", "DRG", lambda text, _: text.strip().upper() or None, lambda gold, _: gold.strip().upper()),),
        "DRG: the first answer block anywhere equals the gold letter by letter, strip and upper case aside",
    ),
)
