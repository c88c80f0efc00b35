"""The reward of a written note: its format, and what a process reward model says of its positions.

    reward.custom_reward_function:
      path: pkg://reward_fns.clinical_note
      reward_kwargs: {base_url: "${oc.env:PRM_URL,http://localhost:8001/v1}", model: "${oc.env:PRM_MODEL,prm}"}

score = format + note_weight * note, the first row that matches; names in brackets are the options that set constants:

    the completion                                                       format               note
    is empty                                                             -2 [empty]           0
    is not in the written form (reward_fns.clinical_note.written.strict)
    or has more than 200 [most_positions] positions                      -1 [wrong_format]    0
    is a note                                                            +1 [right_format]    -1 to 1

note = the sum of 2 p(+) - 1 over titles, steps and the completeness of problems and note, divided by the number of
these positions in the note or in the gold note, whichever is larger. The published sum of log p(+) pays for omissions,
for every position costs something, and a mean pays for saying only what is sure. Here a place of the gold note that is
not filled counts 0, between right (+1) and wrong (-1), and a problem or a step said twice counts 0 the second time.
For a gold note of two problems with three and two steps, 10 positions, and a model that is always right:

    the note                                     positions    sum        note
    the gold note                                10           10         1
    one step wrong                               10           9 - 1      0.8
    a wrong step more                            11           10 - 1     0.82
    a right step said twice                      11           10 + 0     0.91
    one step left out: its problem is incomplete 9            8 - 1      0.7
    the second problem left out                  6            5 - 1      0.4

The gold note gives nothing but its number of positions and acc. A fault of the server is no grade: the completion waits
(common.llm_server), and after max_wait it has reward_error 1, which stops the run before the policy is updated.
"""

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from reward_fns import options, served
from reward_fns.clinical_note.notes import (
    END,
    NOTE_COMPLETE,
    PROBLEM,
    PROBLEM_COMPLETE,
    STEP,
    Note,
    Position,
    positions,
)
from reward_fns.clinical_note.server import Settings, grade, loaded, why_not
from reward_fns.clinical_note.written import strict

SOURCE = "clinical_note"  # data_source of the rows; of no Task: the answer has no label that could be right or wrong
NUMBERS = {"note_weight": 1.0, "empty": -2.0, "wrong_format": -1.0, "right_format": 1.0, "most_positions": 200}
OPTIONS = ("base_url", "model", "folder", *served.NUMBERS, *NUMBERS)
_NOTHING: dict[str, Any] = {"score": 0.0, "acc": 0.0, "pred": ""}
_PARTS = ("format", "note", "said", "complete", "end", "lowest", "extent", "prm_retries", "prm_wait", "reward_error")
_NOTHING |= dict.fromkeys(_PARTS, 0.0)

Score = dict[str, float | str]


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    **given: Any,
) -> Score:
    """The reward and its components; never raises: a fault has reward_error 1 and what the format earned.

    said and complete are the mean p(+) of titles and steps, and of the completeness of problems and note; end that of
    the note's end, lowest the least of all; extent how many positions there are for one of the gold note. acc is 1.0
    for the gold note itself. What was not graded is 0.0.
    """
    result: Score = dict(_NOTHING)
    try:
        of = NUMBERS | {name: value for name, value in given.items() if name in NUMBERS}
        if not all(map(math.isfinite, of.values())) or not set(given) <= set(OPTIONS):
            raise ValueError("unknown option")
        gold, dialogue = _note(ground_truth), _dialogue(extra_info)
        note = read(solution_str, of["most_positions"])
        result["format"] = of["right_format"] if note else of["wrong_format" if solution_str.strip() else "empty"]
        result["score"] = float(result["format"])
        if not note or not of["note_weight"]:
            return result
        graded = positions(note)
        answer = await grade(settings(**given), dialogue, graded)
        result |= {"prm_retries": float(answer.retries), "prm_wait": answer.waited}
        if answer.fault:
            _say_once(str(answer.fault))
            return result | {"reward_error": 1.0}
        result |= components(graded, answer.value, positions(gold))
        result["acc"], result["pred"] = float(note == gold), f"{len(note)} problems, {len(graded)} positions"
        return result | {"score": result["format"] + of["note_weight"] * result["note"]}
    except Exception as error:  # verl would turn it into a silently biased batch; the trainer stops at reward_error
        _say_once(type(error).__name__)  # a message might quote a note
        return result | {"reward_error": 1.0}


def components(graded: Sequence[Position], shares: Sequence[float], gold: Sequence[Position]) -> dict[str, float]:
    """What p(+) at the positions of a note is worth, beside its gold note."""
    most, seen, total = max(len(graded), len(gold)) - 1, set(), 0.0  # without the end, which says nothing new
    again = False  # whether this problem was there before: that it is complete is said already
    for position, share in zip(graded, shares, strict=True):
        known = bool(position.text) and position.text in seen
        again = known if position.kind == PROBLEM else again
        if position.kind != END and not known and not (again and position.kind == PROBLEM_COMPLETE):
            total += 2 * share - 1
        seen.add(position.text)
    return {
        "note": total / most,
        "said": _mean(graded, shares, PROBLEM, STEP),
        "complete": _mean(graded, shares, PROBLEM_COMPLETE, NOTE_COMPLETE),
        "end": _mean(graded, shares, END),
        "lowest": min(shares),
        "extent": (len(graded) - 1) / (len(gold) - 1),
    }


def _mean(graded: Sequence[Position], shares: Sequence[float], *kinds: str) -> float:
    found = [share for position, share in zip(graded, shares, strict=True) if position.kind in kinds]
    return math.fsum(found) / max(1, len(found))


def read(completion: str, most: float = math.inf) -> Note | None:
    """The note that a completion is; None where it is not in the written form or has too many positions."""
    try:
        note = strict(completion)
    except ValueError:
        return None
    return note if len(positions(note)) <= most else None


@lru_cache(maxsize=1 << 14)
def _note(text: str) -> Note:
    return strict(text)


def settings(**given: Any) -> Settings:
    """How the server is asked, of the reward's options."""
    return Settings(**{name: value for name, value in given.items() if name not in NUMBERS})


def check_options(**given: Any) -> None:
    """Raise ValueError with a sentence when an option or its value is unknown."""
    options.check_names(given, OPTIONS, "the reward of notes")
    for name, default in NUMBERS.items():
        if not options.is_number(given.get(name, default)):
            raise ValueError(f"{name}={given[name]!r} must be a finite number, for instance {default}")
    for name, least in (("note_weight", 0), ("most_positions", 5)):
        if given.get(name, least) < least:
            raise ValueError(f"{name}={given[name]!r} must be at least {least}")
    served.check(given, served.NUMBERS, "process reward model", "PRM")
    if given.get("folder") is not None and not isinstance(given["folder"], str):
        raise ValueError(f"folder={given['folder']!r} must be the folder of a process reward model")


def check_gold(gold: object, **options: Any) -> None:
    """Raise ValueError with a sentence when the gold is no note in the written form."""
    try:
        strict(str(gold))
    except ValueError as error:
        raise ValueError(f"a gold note is not in the written form: {error}") from error


def check_extra_info(extra_info: Mapping[str, Any] | None, **options: Any) -> None:
    """Raise ValueError with a sentence when a row does not hold what the reward reads."""
    _dialogue(extra_info)


def check_server(**given: Any) -> None:
    """Raise ValueError with a sentence when the server that these options name gives no p(+). It is asked twice."""
    loaded(given.get("folder") or given["model"])
    if given.get("note_weight", 1) and (why := asyncio.run(why_not(settings(**given)))):
        raise ValueError(why)


def _dialogue(extra_info: Mapping[str, Any] | None) -> str:
    dialogue = (extra_info or {}).get("dialogue")
    if not isinstance(dialogue, str) or not dialogue.strip():
        raise ValueError(
            "the row has no extra_info.dialogue, which the reward reads; prepare the data with "
            "`python -m data_prep.clinical_notes`"
        )
    return dialogue


@lru_cache(maxsize=16)
def _say_once(what: str) -> None:
    """A line of the log, not one for every completion of a batch."""
    logging.getLogger(__name__).warning("the reward of a note failed: %s", what)
