"""Sets of ICD-10-CM codes, as the commands see them: levels, metrics, kinds of errors.

A label at a level is the set of an answer there, as one text ("E11, I21"); eval.scoring.sets takes it apart again.
"""

from collections.abc import Callable, Mapping
from typing import Any

from reward_fns.icd import icd10, tabular
from reward_fns.icd_set import codes
from reward_fns.icd_set.reward import NUMBERS, gold_codes
from reward_fns.task import Flags, Grouping, Level, Measure, Scope, Score, Task

NO_ANSWER = "no valid answer"
KINDS = {
    "right": "all codes of the gold and no other",
    "some missing": "only codes of the gold, but not all",
    "some too many": "all codes of the gold, and others",
    "some right": "codes of the gold and others, and some are missing",
    "right categories": "no code of the gold, but one of a category of the gold",
    "nothing right": "other categories only",
    NO_ANSWER: "wrong format, or no code that exists",
}
SIZES = ((5, "1 to 5"), (10, "6 to 10"), (15, "11 to 15"), (20, "16 to 20"))


def _extra(scope: Scope) -> frozenset[str]:
    return icd10.read_codes(scope.files.get("extra_codes"))


def _joined(parts: Any) -> str | None:
    return codes.JOINT.join(sorted({part for part in parts if part})) or None


def _level(key: str, title: str, flag: str, part: Callable[[str, Scope], str | None]) -> Level:
    """A level at which the part of every code counts; what is no part of a code, such as a chapter, is left out."""

    def label(text: str, scope: Scope) -> str | None:
        return _joined(part(code, scope) for code in codes.read(text) or ())

    def gold(text: str, scope: Scope) -> str:
        if (found := label(text, scope)) is None:
            raise ValueError(f"{text!r}, no list of ICD-10-CM codes")
        return found

    return Level(key, title, label, gold, flag)


LEVELS = (
    _level("chapter", "chapter", "chapter", lambda code, scope: icd10.chapter(code, _extra(scope))),
    _level("category", "category", "category", lambda code, scope: code[:3]),
    _level("code", "full code", "acc", lambda code, scope: code),
)


def _read(scored: Score, gold: str, scope: Scope) -> dict[str, float]:
    said = str(scored["pred"])
    number = len(codes.read(said) or ())
    equal = {level.flag: float(bool(said) and level.label(said, scope) == level.gold(gold, scope)) for level in LEVELS}
    return {
        **equal,
        "format": float(number > 0),
        "valid": float(number > scored["unknown"]),
        "codes": float(number),
        "unknown": scored["unknown"],
    }


def _kind(said: str, gold: str, flags: Flags) -> str:
    mine, right = set(codes.read(said) or ()), gold_codes(gold)
    if not flags["valid"]:
        return NO_ANSWER
    if mine & right:
        more = bool(mine - right)
        return ("some right" if more else "some missing") if right - mine else "some too many" if more else "right"
    near = {code[:3] for code in mine} & {code[:3] for code in right}
    return "right categories" if near else "nothing right"


def describe(text: str) -> str:
    """An answer or gold in words."""
    if not (found := codes.read(text)):
        return f"{text[:100]!r}: no list of ICD-10-CM codes"
    return "; ".join(f"{tabular.dotted(code)} {tabular.title(code)}" for code in found)


def points(result: Score, options: Mapping[str, Any]) -> list[str]:
    """What the score is made of."""
    weights = [options.get(f"{name}_weight", 1.0) for name in ("format", "outcome")]
    return [
        f"F1         {result['f1']:.3f} over whole codes, {result['unknown']:.0f} codes do not exist",
        f"format     {result['format']:+g}  (weight {weights[0]:g})",
        f"outcome    {result['outcome']:+g}  (weight {weights[1]:g})",
    ]


def size(gold: str) -> str:
    """The group of a gold by how many codes it has."""
    return next((name for most, name in SIZES if len(gold_codes(gold)) <= most), "more than 20")


TASK = Task(
    key="icd_set",
    source="codiesp_icd_set",
    sources=("mimic_icd_set",),
    title="ICD-10-CM, sets of codes",
    paper="codiesp",
    tag="diagnosis",
    reward="reward_fns.icd_set",
    levels=LEVELS,
    flags=("acc", "category", "chapter", "format", "valid"),
    numbers=("reward", "codes", "unknown", "reasoning_words"),
    measures=(
        Measure("codes", "mean number of codes that a completion answers with", "words", "codes"),
        Measure("unknown", "mean number of its codes that do not exist", "words", "codes that do not exist"),
        Measure("reward", "mean reward: format plus outcome", "reward", "reward"),
    ),
    valid="a list of ICD-10-CM codes, one of which exists, at least",
    read=_read,
    maximum=lambda gold: NUMBERS["right_format"] + NUMBERS["outcome_scale"],
    columns=("recall", "precision", "f1", "micro_f1", "case_f1"),
    printed=("micro_precision", "micro_recall", "micro_f1", "f1", "f1@gold", "case_f1", "ap"),
    groups=(Grouping("size", "number of codes", size),),
    stands="code/case_f1",
    confusion="",
    pairs="",
    kinds=KINDS,
    kind=_kind,
    describe=describe,
    official=tabular.title,
    example="I10",
    points=points,
    styles={},
    files={"extra_codes": "codes.txt"},
    sets=codes.JOINT,
)
