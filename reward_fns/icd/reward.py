"""The reward of DeepICD-R1 without its judge: score = format_weight * format + outcome_weight * outcome.

    reward.custom_reward_function: {path: "pkg://reward_fns.icd", reward_kwargs: {prefill: "<think>"}}

The first row that matches; g is the gold, O the length of the prefix that it shares with the answer, and the names in
brackets are the options that set the constants:

    the completion                                  format               outcome
    is empty                                        -6 [empty]           0
    has a wrong format                              -1 [wrong_format]    0    and -1 [extra_block] in format for every
                                                                              diagnosis block after the first
    answers with a code that does not exist          0                   -1 [unknown_code]
    ... a code with another first character         +1 [right_format]    -1 [no_overlap]
    ... a code that shares 1 <= O < |g|             +1                   outcome_scale * (O/|g| + (O-2 if O >= 3))
    ... a code that extends the gold                +1                   as for O = |g|-1
    ... the gold                                    +1                   outcome_scale * (|g|-1)

The format is right when reward_fns.answers says so and the answer has the shape of an ICD-10-CM code. A code exists
when simple-icd-10-cm or the file `extra_codes` has it (see reward_fns.icd.icd10). A weight of 0 switches its component
off. `matching="published"` takes format and outcome from the published code's rules and its constants, the weights
aside; acc, category and chapter, which are metrics, stay exact.
"""

import math

from reward_fns import options
from reward_fns.answers import count_blocks, parse, with_prefill
from reward_fns.icd import icd10, published

MATCHING = ("exact", "published")
NUMBERS = {
    "format_weight": 1.0,
    "outcome_weight": 1.0,
    "outcome_scale": 15.0,
    "empty": -6.0,
    "wrong_format": -1.0,
    "extra_block": -1.0,
    "right_format": 1.0,
    "unknown_code": -1.0,
    "no_overlap": -1.0,
}
OPTIONS = ("matching", "prefill", "extra_codes", *NUMBERS)

Score = dict[str, float | str]

_PARTS = ("format", "outcome", "category", "chapter", "judge", "judge_retries", "judge_wait", "reward_error")
_NOTHING: Score = {"score": 0.0, "acc": 0.0, "pred": "", **dict.fromkeys(_PARTS, 0.0)}


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: dict | None = None,
    *,
    matching: str = "exact",
    prefill: str = "",
    extra_codes: str | None = None,
    **numbers: float,
) -> Score:
    """The reward and its components; never raises: a fault has reward_error 1 and the lowest score.

    acc, category and chapter are 1.0 where the answer is the gold, a code of its category, of its chapter. pred is the
    answer's code without dot, existing or not, and "" when the format is wrong. What reward_fns.judge adds is 0.0 here.
    """
    try:
        if matching not in MATCHING or not isinstance(prefill, str):
            raise ValueError("unknown option")
        constants = {**NUMBERS, **numbers} if numbers else NUMBERS
        if len(constants) > len(NUMBERS) or not all(map(math.isfinite, numbers.values())):
            raise ValueError("unknown option")
        return _score(solution_str, ground_truth, matching, prefill, icd10.read_codes(extra_codes), constants)
    except Exception:  # verl would turn an exception into a silently biased batch; the trainer stops at reward_error
        return {**_NOTHING, "score": lowest(**numbers), "reward_error": 1.0}


def _score(
    completion: str, truth: object, matching: str, prefill: str, extra: frozenset[str], constants: dict[str, float]
) -> Score:
    gold = only_code(truth)
    if not icd10.exists(gold, extra):
        raise ValueError("the gold is no code")
    answer = parse(completion, "diagnosis", prefill)
    code = icd10.normalise(answer.text)
    right = answer.format_ok and icd10.looks_like_code(code)
    known = right and icd10.exists(code, extra)
    format_weight, outcome_weight = constants["format_weight"], constants["outcome_weight"]
    if matching == "published":
        think, outcome, surplus, empty = published.parts(completion, gold)
        format = think + surplus + empty
        score = outcome_weight * outcome + format_weight * think + format_weight * empty + format_weight * surplus
    else:
        if right:
            format = constants["right_format"] if known else 0.0
            outcome = _outcome(code, gold, constants) if known else constants["unknown_code"]
        elif completion.strip():
            blocks = count_blocks(with_prefill(completion, prefill), "diagnosis")
            format, outcome = constants["wrong_format"] + constants["extra_block"] * max(0, blocks - 1), 0.0
        else:
            format, outcome = constants["empty"], 0.0
        score = format_weight * format + outcome_weight * outcome
    result = {**_NOTHING, "score": float(score), "format": float(format), "outcome": float(outcome)}
    if right:
        result["pred"] = code
    if known:
        same_category = code[:3] == gold[:3]
        same_chapter = same_category or icd10.chapter(code, extra) == icd10.chapter(gold, extra)
        result |= {"acc": float(code == gold), "category": float(same_category), "chapter": float(same_chapter)}
    return result


def _outcome(code: str, gold: str, constants: dict[str, float]) -> float:
    """The outcome of a code that exists."""
    common = icd10.overlap(code, gold)
    if common == 0:
        return constants["no_overlap"]
    if common == len(gold) and code != gold:
        common -= 1  # more specific than the gold: as good as one character short of it
    return constants["outcome_scale"] * (common / len(gold) + (common - 2 if common >= 3 else 0))


def only_code(gold: object) -> str:
    """The gold code, normalised; a list with one code stands for that code."""
    if not isinstance(gold, str):
        (gold,) = gold  # anything but exactly one code raises
    return icd10.normalise(gold)


def lowest(**numbers: float) -> float:
    """The lowest score under these options, blocks after the first aside; the default one if they make no sense."""
    try:
        if not all(map(math.isfinite, numbers.values())):
            numbers = {}
        of = {**NUMBERS, **numbers}
        rows = [(of["empty"], 0.0), (of["wrong_format"], 0.0), (0.0, of["unknown_code"])]
        rows += [(of["right_format"], of["no_overlap"])]
        return float(min(of["format_weight"] * format + of["outcome_weight"] * outcome for format, outcome in rows))
    except Exception:
        return NUMBERS["empty"]


def check_options(**given: object) -> None:
    """Raise ValueError with a sentence when an option or its value is unknown."""
    options.check_names(given, OPTIONS, "the ICD reward")
    for name, value in given.items():
        if name in NUMBERS and not options.is_number(value):
            raise ValueError(f"{name}={value!r} must be a finite number, for instance {NUMBERS[name]}")
        if name.endswith("_weight") and value < 0:
            raise ValueError(f"{name}={value!r} must be at least 0; 0 switches the component off")
    options.check_choice("matching", given.get("matching", "exact"), MATCHING, "the ICD reward")
    options.check_prefill(given.get("prefill", ""))
    options.check_file("extra_codes", given.get("extra_codes"), icd10.read_codes, "a file with one code a line")


def check_gold(gold: object, **options: object) -> None:
    """Raise ValueError with a sentence when the gold is no ICD-10-CM code."""
    try:
        code = only_code(gold)
    except (TypeError, ValueError, AttributeError):
        raise ValueError(f"the gold {gold!r} must be one ICD-10-CM code as a text") from None
    if not icd10.exists(code, icd10.read_codes(options.get("extra_codes"))):
        near = icd10.nearest(code, 1)
        raise ValueError(f"the gold {gold!r} is no ICD-10-CM code" + (f"; the nearest is {near[0]!r}" if near else ""))
