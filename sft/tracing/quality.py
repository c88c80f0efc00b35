"""Is a written reasoning fit to learn from? The first check that fails is the reason to reject it.

    fault(wanted, completion, "stop", gold, case)   # "" or one of reasons(task); wanted: sft.tracing.settings

A completion is read by reward_fns, as in training and evaluation.
"""

import re
from collections.abc import Callable
from functools import partial

from reward_fns import answers
from reward_fns.task import TASKS, Task
from sft.tracing.settings import Settings

REASONS = {  # of every task; those of its styles stand in the task
    "cut": "was cut off at max_tokens",
    "format": "is not in the form <think>…</think> and then the answer",
    "answer": "answers with something else than the gold",
    "given": "says that the answer was known beforehand",
    "short": "has too few words",
    "long": "has too many words",
    "copy": "repeats the note word by word",
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


RUN = 8  # so many words in a row that also stand in the note are a copied run


def reasons(task: Task) -> dict[str, str]:
    """Every reason to reject a reasoning of this task, and what it means."""
    return REASONS | {check.reason: check.says for checks in task.styles.values() for check in checks}


def right(task: Task, completion: str, gold: str, extra_codes: str | None = None) -> bool:
    """Whether a completion answers with the gold, by the reward's rule."""
    files = {"extra_codes": extra_codes} if extra_codes and "extra_codes" in task.files else {}
    return task.scorer(**files)(completion, gold)["acc"] == 1


def fault(wanted: Settings, completion: str, finish: str, gold: str, case: str) -> str:
    """The first reason that speaks against a completion, or ""."""
    task = TASKS[wanted.task]
    answer = answers.parse(completion, task.tag)
    words = answer.reasoning.split()
    checks: dict[str, Callable[[], bool]] = {
        "cut": lambda: finish == "length",
        "format": lambda: not answer.format_ok,
        "answer": lambda: not right(task, completion, gold, wanted.extra_codes),
        "given": lambda: _GIVEN.search(answer.reasoning) is not None,
        "short": lambda: len(words) < wanted.least_words,
        "long": lambda: len(words) > wanted.most_words,
        "copy": lambda: copied(words, case.split()) > wanted.copied,
        **{check.reason: partial(check.holds, answer.reasoning, gold) for check in task.styles[wanted.style]},
    }
    return next((reason for reason, holds in checks.items() if holds()), "")


def copied(words: list[str], note: list[str]) -> float:
    """The share of a text's runs of RUN words that stand in the note, too."""
    runs = _runs(words)
    return len(runs & _runs(note)) / len(runs) if runs else 0.0


def _runs(words: list[str]) -> set[tuple[str, ...]]:
    plain = [word.strip(".,;:!?()\"'").lower() for word in words]
    return {tuple(plain[at : at + RUN]) for at in range(len(plain) - RUN + 1)}
