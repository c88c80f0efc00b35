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
from difflib import get_close_matches
from functools import lru_cache

from reward_fns.answers import parse, with_prefill
from reward_fns.drg import ms_drg, published
from reward_fns.drg.cot_first import is_answer_first
from reward_fns.drg.ms_drg import Drg

RIGHT, BASE, STATUS, NOTHING, INVALID = "right", "base", "status", "nothing", "invalid"
FORMAT_WRONG = -2.0
MATCHING = ("exact", "published")
OPTIONS = ("accuracy", "matching", "cot_first_penalty", "prefill")

_DENSE = {RIGHT: 2.0, BASE: 1.5, STATUS: 0.5, NOTHING: -0.5, INVALID: -1.5}
_BALANCED = {RIGHT: 2.0, BASE: 1.0, STATUS: 1.0, NOTHING: -0.5, INVALID: -1.5}
_STRICT = {RIGHT: 2.0, BASE: 0.0, STATUS: 0.0, NOTHING: 0.0, INVALID: -1.5}
_LONGEST_PRED = 200

Score = dict[str, float | str]
Scheme = Callable[[str, Drg | None, Drg], float]


def dense(shares: str, said: Drg | None, gold: Drg) -> float:
    """A.2: credit for base and status apart."""
    return _DENSE[shares]


def balanced(shares: str, said: Drg | None, gold: Drg) -> float:
    """A.2: the same credit for either."""
    return _BALANCED[shares]


def strict(shares: str, said: Drg | None, gold: Drg) -> float:
    """A.2: nothing but the DRG itself."""
    return _STRICT[shares]


SCHEMES: dict[str, Scheme] = {"dense": dense, "balanced": balanced, "strict": strict}


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
        return _fault(accuracy, cot_first_penalty)


def _score(completion: str, title: str, scheme: Scheme, matching: str, penalty: float, prefill: str) -> Score:
    gold = ms_drg.find(title)
    if gold is None:
        raise ValueError("the gold is no DRG")
    right, reasoning, text = parse(completion, "answer", prefill)
    said = ms_drg.find(text) if text else None
    shares, acc, base, status = INVALID, 0.0, 0.0, 0.0
    if said is None:
        pred = text[:_LONGEST_PRED]
    else:
        pred, shares = said.title, shared(said, gold)
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


def shared(said: Drg, gold: Drg) -> str:
    """What a DRG shares with the gold."""
    if said is gold:
        return RIGHT
    if said.base == gold.base:
        return BASE
    return STATUS if said.status == gold.status != ms_drg.NO_STATUS else NOTHING


def _fault(accuracy: str, penalty: float) -> Score:
    names = ("acc", "base", "status", "cot_first")
    score = {"score": lowest(accuracy, penalty), "pred": "", "format": FORMAT_WRONG, "accuracy": 0.0}
    return {**score, **dict.fromkeys(names, 0.0), "reward_error": 1.0}


def lowest(accuracy: str, cot_first_penalty: float = 0.0) -> float:
    """The lowest score that a completion can earn under these options."""
    try:
        return min(FORMAT_WRONG, min(payments(accuracy)) - cot_first_penalty) + 0.0
    except Exception:
        return FORMAT_WRONG


def payments(accuracy: str, *kinds: str) -> frozenset[float]:
    """All that a scheme pays for answers in the right format, or for those that share this with the gold."""
    return frozenset().union(
        *(paid for shares, paid in _paid(SCHEMES[accuracy]).items() if shares in kinds or not kinds)
    )


@lru_cache(maxsize=16)
def _paid(scheme: Scheme) -> dict[str, frozenset[float]]:
    """What a scheme pays by what is shared, seen on a sample of golds with every answer."""
    found: dict[str, set[float]] = {}
    for gold in ms_drg.DRGS[::40]:
        found.setdefault(INVALID, set()).add(float(scheme(INVALID, None, gold)))
        for said in ms_drg.DRGS:
            shares = shared(said, gold)
            found.setdefault(shares, set()).add(float(scheme(shares, said, gold)))
    return {shares: frozenset(paid) for shares, paid in found.items()}


def check_options(**options: object) -> None:
    """Raise ValueError with a sentence when an option or its value is unknown."""
    for name in options:
        if name not in OPTIONS:
            raise ValueError(f"{name!r} is no option of the DRG reward; {_nearest(name, OPTIONS)}")
    for name, known in (("accuracy", tuple(SCHEMES)), ("matching", MATCHING)):
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
