"""ICD-10-CM, one code a stay, as the commands see it: levels, metrics, kinds of errors, the style of reasoning."""

import re
from collections.abc import Mapping
from typing import Any

from reward_fns.icd import guidance, icd10, published, tabular
from reward_fns.icd.reward import NUMBERS, only_code
from reward_fns.task import Check, Flags, Grouping, Level, Measure, Published, Scope, Score, Task

NIL = "NIL"  # the class of every prediction outside the label set
NO_ANSWER = "no valid answer"
KINDS = {
    "right": "the code is right",
    "under-specified": "the gold begins with the answer",
    "over-specified": "the answer begins with the gold",
    "wrong code": "another code of the same category",
    "wrong category": "another category of the same chapter",
    "wrong chapter": "a code of another chapter",
    NO_ANSWER: "wrong format, or a code that does not exist",
}

_CODE = re.compile(r"\b[A-Z][0-9][0-9A-Z](?:\.?[0-9A-Z]{1,4})?\b")
_END = 0.8  # an oracle reasoning may name its code in the last fifth


def _extra(scope: Scope) -> frozenset[str]:
    return icd10.read_codes(scope.files.get("extra_codes"))


def _read(scored: Score, gold: str, scope: Scope) -> dict[str, float]:
    pred, right = str(scored["pred"]), only_code(gold)
    exists = bool(pred) and icd10.exists(pred, _extra(scope))
    return {
        "acc": scored["acc"],
        "category": scored["category"],
        "chapter": scored["chapter"],
        "format": float(bool(pred)),
        "valid": float(exists),
        "overlap": icd10.overlap(pred, right) / max(len(pred), len(right)) if exists else 0.0,
    }


def _gold(text: str, scope: Scope) -> str:
    code = only_code(text)
    if not icd10.looks_like_code(code):
        raise ValueError(f"{code!r}, no ICD-10-CM code")
    return code


def _gold_chapter(text: str, scope: Scope) -> str:
    return str(icd10.chapter(_gold(text, scope), scope.known))


def _levels(chapter: Any, code: Any, of_gold: Any = _gold_chapter) -> tuple[Level, ...]:
    """The three levels of answers that `chapter` and `code` read, and of golds."""

    def category(text: str, scope: Scope) -> str | None:
        return (code(text, scope) or "")[:3] or None

    return (
        Level("chapter", "chapter", chapter, of_gold, "chapter"),
        Level("category", "category", category, lambda text, scope: _gold(text, scope)[:3], "category", rest=NIL),
        Level("code", "full code", code, _gold, rest=NIL),
    )


def _kind(said: str, gold: str, flags: Flags) -> str:
    right = icd10.normalise(gold)
    if not flags["valid"]:
        return NO_ANSWER
    if flags["acc"]:
        return "right"
    if right.startswith(said):
        return "under-specified"
    if said.startswith(right):
        return "over-specified"
    return "wrong code" if flags["category"] else "wrong category" if flags["chapter"] else "wrong chapter"


def _names_code_early(reasoning: str, gold: str) -> bool:
    """Whether the gold code, or any code of its category, stands before the end."""
    before = reasoning[: int(len(reasoning) * _END)]
    return any(icd10.category(code) == icd10.category(gold) for code in _CODE.findall(before))


def describe(text: str) -> str:
    """An answer or gold in words."""
    code = icd10.normalise(text)
    if not icd10.exists(code):
        near = icd10.nearest(code, 1)
        return f"{text[:100]!r}: not in simple-icd-10-cm" + (f", near it is {near[0]!r}" if near else "")
    return f"{code}: category {icd10.category(code)}, chapter {icd10.chapter(code)}"


def points(result: Score, options: Mapping[str, Any]) -> list[str]:
    """What the score is made of."""
    levels = (("the code", "acc"), ("category", "category"), ("chapter", "chapter"))
    shared = [what for what, key in levels if result[key]]
    weights = [options.get(f"{name}_weight", 1.0) for name in ("format", "outcome")]
    return [
        f"right      {', '.join(shared) or 'nothing'}",
        f"format     {result['format']:+g}  (weight {weights[0]:g})",
        f"outcome    {result['outcome']:+g}  (weight {weights[1]:g})",
    ]


TASK = Task(
    key="icd",
    source="mimic_icd",
    title="ICD-10-CM",
    paper="deepicd_r1",
    tag="diagnosis",
    reward="reward_fns.icd",
    levels=_levels(lambda code, scope: icd10.chapter(code, _extra(scope)), lambda code, scope: code or None),
    flags=("acc", "category", "chapter", "format", "valid"),
    numbers=("reward", "overlap", "reasoning_words"),
    measures=(
        Measure(
            "nil",
            "share of completions whose code is outside the label file of {labels} codes",
            heading="outside the labels",
            value=lambda of: of["rest"],
        ),
        Measure(
            "overlap",
            "mean share of the longer of answer and gold that their common prefix makes; 0 without a valid answer",
            heading="overlap",
        ),
        Measure("reward", "mean reward: format plus outcome, without the judge", "reward", "reward"),
    ),
    valid="an ICD-10-CM code that exists",
    read=_read,
    maximum=lambda gold: NUMBERS["right_format"] + NUMBERS["outcome_scale"] * (len(only_code(gold)) - 1),
    columns=("recall", "precision", "f1"),
    printed=("accuracy", "precision", "recall", "f1", "f1@gold"),
    groups=(Grouping("chapter", "chapter", None),),
    stands="f1",
    confusion="chapter",
    pairs="category",
    kinds=KINDS,
    kind=_kind,
    describe=describe,
    points=points,
    facts=guidance.facts,
    official=tabular.title,
    example="I10",
    styles={"oracle": (Check("early", "names the answer before it has reasoned", _names_code_early),)},
    files={"extra_codes": "codes.txt"},
    label_file="labels.json",
    classes=True,
    published=Published(
        lambda completion, answer, scope: (
            answer.text.replace(".", "")
            if answer.format_ok
            else published.answer(completion)  # its one pair is the first
        ),
        _levels(
            lambda text, scope: published.chapter(text, scope.known),
            lambda text, scope: text or NIL,
            lambda text, scope: str(published.chapter(_gold(text, scope))),
        ),
        "; the first pair that the published parser finds, wherever it stands, compared letter by letter without dots: "
        "what is no label is NIL, at chapter level what sorts before a chapter's end is of that chapter, codes or not",
    ),
)
