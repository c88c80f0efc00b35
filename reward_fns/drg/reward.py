"""The reward of DRG-Sapphire (appendix A.2 and A.3): score = format + accuracy - cot_first_penalty, per completion.

    reward.custom_reward_function: {path: "pkg://reward_fns.drg", reward_kwargs: {accuracy: strict}}

format is 0 when right (see reward_fns.answers) and -2 otherwise. accuracy counts only when the format is right:

    the answer is                      dense  balanced  strict
    the gold DRG                         2        2        2
    another DRG of the same base        1.5       1        0
    another DRG of the same status      0.5       1        0      (two titles without a status share nothing)
    a DRG that shares neither          -0.5     -0.5       0
    no DRG of version 34, or empty     -1.5     -1.5     -1.5

`cot_first_penalty` is taken off when the format is right and the completion is answer-first (reward_fns.drg.cot_first).
`matching="published"` takes format and accuracy from the published code's rules (reward_fns.drg.published); acc, base
and status, which are metrics, stay exact.
"""

import math
from difflib import get_close_matches

from reward_fns.answers import parse, with_prefill
from reward_fns.drg import ms_drg, published
from reward_fns.drg.cot_first import is_answer_first

FORMAT_WRONG = -2.0
ACCURACY = {
    "dense": {"right": 2.0, "base": 1.5, "status": 0.5, "nothing": -0.5, "invalid": -1.5},
    "balanced": {"right": 2.0, "base": 1.0, "status": 1.0, "nothing": -0.5, "invalid": -1.5},
    "strict": {"right": 2.0, "base": 0.0, "status": 0.0, "nothing": 0.0, "invalid": -1.5},
}
MATCHING = ("exact", "published")
OPTIONS = ("accuracy", "matching", "cot_first_penalty", "prefill")

_LONGEST_PRED = 200

Score = dict[str, float | str]


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: dict | None = None,
    *,
    accuracy: str = "dense",
    matching: str = "exact",
    cot_first_penalty: float = 0.0,
    prefill: str = "",
    **unknown: object,
) -> Score:
    """The reward and its components; never raises: a fault has reward_error 1 and the lowest score of the scheme.

    acc, base and status are 1.0 where the answer's DRG, base DRG and status class equal the gold's. pred is the title
    of the answer's DRG, the answer itself when it is none, and "" when the format is wrong.
    """
    try:
        if unknown or matching not in MATCHING or not 0 <= cot_first_penalty < math.inf:
            raise ValueError("unknown option")
        return _score(solution_str, ground_truth, ACCURACY[accuracy], matching, cot_first_penalty, prefill)
    except Exception:  # verl would turn an exception into a silently biased batch; the trainer stops at reward_error
        return _fault(accuracy, cot_first_penalty)


def _score(completion: str, title: str, table: dict[str, float], matching: str, penalty: float, prefill: str) -> Score:
    gold = ms_drg.find(title)
    if gold is None:
        raise ValueError("the gold is no DRG")
    right, reasoning, text = parse(completion, "answer", prefill)
    said = ms_drg.find(text) if text else None
    if said is None:
        pred, row, acc, base, status = text[:_LONGEST_PRED], "invalid", 0.0, 0.0, 0.0
    else:
        pred, acc = said.title, float(said is gold)
        base, status = float(said.base == gold.base), float(said.status == gold.status)
        shares = status and gold.status != ms_drg.NO_STATUS
        row = "right" if acc else "base" if base else "status" if shares else "nothing"
    if matching == "published":
        # What is right here is right there too, and its one pair of answer tags is the first.
        parts = (reasoning, text) if right else published.parts(with_prefill(completion, prefill))
        right = parts is not None
        if right:
            reasoning, text = parts
            row = published.outcome(text, title)
    first = float(right and is_answer_first(reasoning, text))
    format, accuracy = (0.0, table[row]) if right else (FORMAT_WRONG, 0.0)
    return {
        "score": format + accuracy - penalty * first,
        "acc": acc,
        "pred": pred,
        "format": format,
        "accuracy": accuracy,
        "base": base,
        "status": status,
        "cot_first": first,
        "reward_error": 0.0,
    }


def _fault(accuracy: str, penalty: float) -> Score:
    names = ("acc", "base", "status", "cot_first")
    score = {"score": lowest(accuracy, penalty), "pred": "", "format": FORMAT_WRONG, "accuracy": 0.0}
    return {**score, **dict.fromkeys(names, 0.0), "reward_error": 1.0}


def lowest(accuracy: str, cot_first_penalty: float = 0.0) -> float:
    """The lowest score that a completion can earn under these options."""
    try:
        return min(FORMAT_WRONG, min(ACCURACY[accuracy].values()) - cot_first_penalty) + 0.0
    except Exception:
        return FORMAT_WRONG


def check_options(**options: object) -> None:
    """Raise ValueError with a sentence when an option or its value is unknown."""
    for name in options:
        if name not in OPTIONS:
            raise ValueError(f"{name!r} is no option of the DRG reward; {_nearest(name, OPTIONS)}")
    for name, known in (("accuracy", tuple(ACCURACY)), ("matching", MATCHING)):
        value = options.get(name, known[0])
        if value not in known:
            raise ValueError(f"{name}={value!r} is unknown to the DRG reward; {_nearest(value, known)}")
    penalty = options.get("cot_first_penalty", 0.0)
    if isinstance(penalty, bool) or not isinstance(penalty, int | float) or not 0 <= penalty < math.inf:
        raise ValueError(f"cot_first_penalty={penalty!r} must be a number of at least 0, for instance 0.5")
    prefill = options.get("prefill", "")
    if not isinstance(prefill, str):
        raise ValueError(f'prefill={prefill!r} must be a text, for instance "<think>"')


def _nearest(value: object, known: tuple[str, ...]) -> str:
    near = get_close_matches(str(value), known, 1)
    return (f"did you mean {near[0]!r}? " if near else "") + f"Known: {', '.join(known)}"


def check_gold(gold: object, **options: object) -> None:
    """Raise ValueError with a sentence when the gold is no DRG title of version 34."""
    if not isinstance(gold, str):
        raise ValueError(f"the gold {gold!r} must be one DRG title as a text")
    if ms_drg.find(gold) is None:
        near = ms_drg.nearest(gold, 1)
        raise ValueError(
            f"the gold {gold!r} is no MS-DRG v34 title" + (f"; the nearest is {near[0]!r}" if near else "")
        )
