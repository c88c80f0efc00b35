"""Is a written reasoning fit to learn from? The first check that fails is the reason to reject it.

    fault("drg", "cot_first", completion, "stop", gold, case, limits)   # "" or one of REASONS

A completion is read by reward_fns, as in training and evaluation.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from reward_fns import answers, drg, icd
from reward_fns.drg import cot_first, ms_drg
from reward_fns.icd import icd10
from sft.training.examples import BLOCKS

REASONS = {
    "cut": "was cut off at max_tokens",
    "format": "is not in the form <think>…</think> and then the answer",
    "answer": "answers with something else than the gold",
    "given": "says that the answer was known beforehand",
    "short": "has too few words",
    "long": "has too many words",
    "copy": "repeats the note word by word",
    "early": "names the answer before it has reasoned",
    "late": "does not begin with the answer",
    "candidates": "does not weigh three valid DRGs in brackets with the gold among them",
}
_THING = r"(?:ms-?)?(?:drg|icd(?:-10(?:-cm)?)?|code|answer|title|label|diagnosis code)s?"
_KNOWN = r"(?:given|provided|supplied|known|stated|specified|revealed|correct|gold|reference|target|expected)"
_GIVEN = re.compile(
    rf"\b{_KNOWN}\s+(?:\w+\s+)?{_THING}\b"  # "the given code", "the correct DRG"
    rf"|\b{_THING}\s+(?:\w+\s+)?(?:is|was|were|has been|had been)\s+(?:already\s+)?{_KNOWN}\b"  # "the DRG was given"
    rf"|\b(?:as if|pretend\w*|assuming)\b[^.]*\b{_THING}\b[^.]*\b{_KNOWN}\b"  # "as if the code were not known"
    r"|\bknown beforehand\b|\bas (?:requested|instructed)\b",
    re.IGNORECASE,
)
_BRACKETS = re.compile(r"\[([^\[\]]+)\]")
_CODE = re.compile(r"\b[A-Z][0-9][0-9A-Z](?:\.?[0-9A-Z]{1,4})?\b")
_END = 0.8  # an oracle reasoning may name its code in the last fifth


class Limits(NamedTuple):
    """How long a reasoning may be, in words, and how much of it may stand in the note."""

    least: int = 10
    most: int = 2000
    run: int = 8  # so many words in a row that also stand in the note are a copied run
    copied: float = 0.5  # largest share of a reasoning's runs that may be copied
    extra_codes: str | None = None


def right(task: str, completion: str, gold: str, extra_codes: str | None = None) -> bool:
    """Whether a completion answers with the gold, by the reward's rule."""
    if task == "drg":
        return drg.compute_score("mimic_drg", completion, gold, accuracy="strict")["acc"] == 1
    return icd.compute_score("mimic_icd", completion, gold, extra_codes=extra_codes)["acc"] == 1


def fault(task: str, style: str, completion: str, finish: str, gold: str, case: str, limits: Limits) -> str:
    """The first of REASONS that speaks against a completion, or ""."""
    answer = answers.parse(completion, BLOCKS[task])
    words = answer.reasoning.split()
    checks: dict[str, Callable[[], bool]] = {
        "cut": lambda: finish == "length",
        "format": lambda: not answer.format_ok,
        "answer": lambda: not right(task, completion, gold, limits.extra_codes),
        "given": lambda: _GIVEN.search(answer.reasoning) is not None,
        "short": lambda: len(words) < limits.least,
        "long": lambda: len(words) > limits.most,
        "copy": lambda: copied(words, case.split(), limits.run) > limits.copied,
        **_STYLES[style](answer.reasoning, gold),
    }
    return next((reason for reason, holds in checks.items() if holds()), "")


def copied(words: list[str], note: list[str], run: int) -> float:
    """The share of a text's runs of so many words that stand in the note, too."""
    runs = _runs(words, run)
    return len(runs & _runs(note, run)) / len(runs) if runs else 0.0


def _runs(words: list[str], length: int) -> set[tuple[str, ...]]:
    plain = [word.strip(".,;:!?()\"'").lower() for word in words]
    return {tuple(plain[at : at + length]) for at in range(len(plain) - length + 1)}


def _differential(reasoning: str, gold: str) -> bool:
    """Whether the brackets name exactly three DRGs with the gold among them, each again where it is weighed."""
    named = [ms_drg.find(text) for text in _BRACKETS.findall(reasoning)]
    titles = {found.title for found in named if found is not None}
    return None not in named and len(titles) == 3 and gold in titles


def _names_code_early(reasoning: str, gold: str) -> bool:
    """Whether the gold code, or any code of its category, stands before the end."""
    before = reasoning[: int(len(reasoning) * _END)]
    return any(icd10.category(code) == icd10.category(gold) for code in _CODE.findall(before))


_STYLES: dict[str, Callable[[str, str], dict[str, Callable[[], bool]]]] = {
    "cot_first": lambda text, gold: {"early": lambda: cot_first.is_answer_first(text, gold)},
    "answer_first": lambda text, gold: {"late": lambda: not cot_first.is_answer_first(text, gold)},
    "differential": lambda text, gold: {"candidates": lambda: not _differential(text, gold)},
    "oracle": lambda text, gold: {"early": lambda: _names_code_early(text, gold)},
}
