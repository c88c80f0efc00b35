"""The reward of DRG-Sapphire (appendix A.2 and A.3): score = format + accuracy - cot_first_penalty, per completion.

    reward.custom_reward_function: {path: "pkg://reward_fns.drg", reward_kwargs: {accuracy: strict}}

format is 0 when right (see reward_fns.answers) and -2 otherwise. accuracy counts only when the format is right:

    the answer is                      dense  balanced  strict
    the gold DRG                         2        2        2       right
    another DRG of the same base        1.5       1        0       base
    another DRG of the same status      0.5       1        0       status  (two titles without a status share nothing)
    a DRG that shares neither          -0.5     -0.5       0       nothing
    no DRG of version 34, or empty     -1.5     -1.5     -1.5      invalid

`accuracy` names one of SCHEMES. A scheme is a function of what the answer shares with the gold (the last column), the
answer's DRG (None where it is none) and the gold; another one is a function here, in SCHEMES and in this table.

`cot_first_penalty` is taken off when the format is right and the completion is answer-first (reward_fns.drg.cot_first).
`matching="published"` takes format and accuracy from the published code's rules (reward_fns.drg.published); acc, base
and status, which are metrics, stay exact.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from itertools import product

from reward_fns import options
from reward_fns.answers import parse, with_prefill
from reward_fns.drg import ms_drg, published
from reward_fns.drg.cot_first import is_answer_first
from reward_fns.drg.ms_drg import Drg

RIGHT, BASE, STATUS, NOTHING, INVALID = "right", "base", "status", "nothing", "invalid"
FORMAT_WRONG = -2.0
MATCHING = ("exact", "published")
OPTIONS = ("accuracy", "matching", "cot_first_penalty", "prefill")

_LONGEST_PRED = 200
_FAULT = {
    **dict.fromkeys(("score", "acc", "pred", "format", "accuracy", "base", "status", "cot_first"), 0.0),
    **{"pred": "", "format": FORMAT_WRONG, "reward_error": 1.0},
}

Score = dict[str, float | str]
Scheme = Callable[[str, Drg | None, Drg], float]


def by_row(**pays: float) -> Scheme:
    """The scheme that pays by the row of the table alone."""
    return lambda shares, said, gold: pays[shares]


SCHEMES: dict[str, Scheme] = {
    "dense": by_row(right=2.0, base=1.5, status=0.5, nothing=-0.5, invalid=-1.5),
    "balanced": by_row(right=2.0, base=1.0, status=1.0, nothing=-0.5, invalid=-1.5),
    "strict": by_row(right=2.0, base=0.0, status=0.0, nothing=0.0, invalid=-1.5),
}


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
        return _score(solution_str, ground_truth, SCHEMES[accuracy], matching, cot_first_penalty, prefill)
    except Exception:  # verl would turn an exception into a silently biased batch; the trainer stops at reward_error
        return {**_FAULT, "score": lowest(accuracy, cot_first_penalty)}


def _score(completion: str, title: str, scheme: Scheme, matching: str, penalty: float, prefill: str) -> Score:
    gold = ms_drg.find(title)
    if gold is None:
        raise ValueError("the gold is no DRG")
    right, reasoning, text = parse(completion, "answer", prefill)
    said = ms_drg.find(text) if text else None
    shares, pred, acc, base, status = shared(said, gold), text[:_LONGEST_PRED], 0.0, 0.0, 0.0
    if said is not None:
        pred = said.title
        acc, base, status = float(said is gold), float(said.base == gold.base), float(said.status == gold.status)
    if matching == "published":
        # What is right here is right there too, and its one pair of answer tags is the first.
        parts = (reasoning, text) if right else published.parts(with_prefill(completion, prefill))
        right = parts is not None
        if right:
            reasoning, text = parts
            shares = published.outcome(text, title)
    first = float(right and is_answer_first(reasoning, text))
    format, accuracy = (0.0, scheme(shares, said, gold)) if right else (FORMAT_WRONG, 0.0)
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


def shared(said: Drg | None, gold: Drg) -> str:
    """What an answer's DRG shares with the gold."""
    if said is None:
        return INVALID
    if said is gold:
        return RIGHT
    if said.base == gold.base:
        return BASE
    return STATUS if said.status == gold.status != ms_drg.NO_STATUS else NOTHING


def lowest(accuracy: str, cot_first_penalty: float = 0.0) -> float:
    """The lowest score that a completion can earn under these options."""
    try:
        return min(FORMAT_WRONG, min(payments(accuracy)) - cot_first_penalty) + 0.0
    except Exception:
        return FORMAT_WRONG


def payments(accuracy: str, *kinds: str) -> frozenset[float]:
    """All that a scheme pays for answers in the right format, or for those that share this with the gold."""
    paid = _paid(SCHEMES[accuracy])
    return frozenset().union(*(paid[shares] for shares in kinds or paid))


@lru_cache(maxsize=16)
def _paid(scheme: Scheme) -> dict[str, set[float]]:
    """What a scheme pays by what is shared, seen on a sample of golds with every answer."""
    found: dict[str, set[float]] = {}
    for gold, said in product(ms_drg.DRGS[::40], (None, *ms_drg.DRGS)):
        shares = shared(said, gold)
        found.setdefault(shares, set()).add(float(scheme(shares, said, gold)))
    return found


def check_options(**given: object) -> None:
    """Raise ValueError with a sentence when an option or its value is unknown."""
    options.check_names(given, OPTIONS, "the DRG reward")
    options.check_choice("accuracy", given.get("accuracy", "dense"), SCHEMES, "the DRG reward")
    options.check_choice("matching", given.get("matching", "exact"), MATCHING, "the DRG reward")
    penalty = given.get("cot_first_penalty", 0.0)
    if not options.is_number(penalty) or penalty < 0:
        raise ValueError(f"cot_first_penalty={penalty!r} must be a number of at least 0, for instance 0.5")
    options.check_prefill(given.get("prefill", ""))


def check_gold(gold: object, **options: object) -> None:
    """Raise ValueError with a sentence when the gold is no DRG title of version 34."""
    if not isinstance(gold, str):
        raise ValueError(f"the gold {gold!r} must be one DRG title as a text")
    if ms_drg.find(gold) is None:
        near = ms_drg.nearest(gold, 1)
        raise ValueError(
            f"the gold {gold!r} is no MS-DRG v34 title" + (f"; the nearest is {near[0]!r}" if near else "")
        )
