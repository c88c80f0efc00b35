"""The reward of a set of ICD-10-CM codes: score = format_weight * format + outcome_weight * outcome.

    reward.custom_reward_function: {path: "pkg://reward_fns.icd_set", reward_kwargs: {extra_codes: codes.txt}}

The first row that matches; P is the set of codes in the diagnosis block, G the gold, C the credit of their best pairs
(reward_fns.icd_set.codes: 1 for equal codes, near * O/|g| within a category), and the names in brackets are the options
that set the constants:

    the completion                                  format               outcome
    is empty                                        -6 [empty]           0
    has a wrong format, no code or one that is      -1 [wrong_format]    0    and -1 [extra_block] in format for every
    none by its shape, such as a word                                         diagnosis block after the first
    answers with codes, existing or not             +1 [right_format]    outcome_scale * 2C / (|P| + |G|)
    ... with the gold                               +1                   outcome_scale, the most there is

    for gold I214, E119         C       outcome
    E119, I214                  2       15
    I214                        1       10        15 * 2/3
    I214, E119, I10             2       12        15 * 4/5: a code too many
    I214, E119, X99999          2       12        one that does not exist counts, too, and earns nothing
    I213, E119                  1.375   10.3125   0.5 * 3/4 for I213
    J449                        0       0

Between codes stand commas, semicolons or white space; dots are optional, and a code that is said twice counts once. A
code more lowers what is earned unless it adds credit; where nothing is earned it changes nothing. `outcome="f1"` is the
plain F1 of the sets (near 0), as LLM4ICD uses it; with outcome_scale 1 and format_weight 0 it is its whole reward.
`matching="published"` gives a list what DeepICD-R1's published code gives it (codes.published, with its -0.2
[unpaired]); there each code has blocks of its own, here one has the list; format, acc and f1 stay the same.
"""

import math
from functools import lru_cache

from reward_fns import options
from reward_fns.answers import count_blocks, parse, with_prefill
from reward_fns.icd import icd10
from reward_fns.icd_set import codes

MATCHING, OUTCOMES = ("exact", "published"), ("hierarchical", "f1")
NUMBERS = {
    "format_weight": 1.0,
    "outcome_weight": 1.0,
    "outcome_scale": 15.0,
    "empty": -6.0,
    "wrong_format": -1.0,
    "extra_block": -1.0,
    "right_format": 1.0,
    "near": 0.5,
    "unpaired": -0.2,
}
OPTIONS = ("matching", "outcome", "prefill", "extra_codes", *NUMBERS)

Score = dict[str, float | str]

_NOTHING: Score = {"score": 0.0, "acc": 0.0, "pred": ""}
_NOTHING |= dict.fromkeys(("format", "outcome", "f1", "unknown", "reward_error"), 0.0)


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: dict | None = None,
    *,
    matching: str = "exact",
    outcome: str = "hierarchical",
    prefill: str = "",
    extra_codes: str | None = None,
    **numbers: float,
) -> Score:
    """The reward and its components; never raises: a fault has reward_error 1 and the lowest score.

    acc is 1.0 where the sets are equal, f1 that of the sets, unknown how many codes do not exist. pred has the codes in
    their order, each once, and is "" when the format is wrong.
    """
    try:
        if matching not in MATCHING or outcome not in OUTCOMES or not isinstance(prefill, str):
            raise ValueError("unknown option")
        of = {**NUMBERS, **numbers} if numbers else NUMBERS
        if len(of) > len(NUMBERS) or not all(map(math.isfinite, numbers.values())):
            raise ValueError("unknown option")
        gold, extra = gold_codes(ground_truth), icd10.read_codes(extra_codes)
        if not gold or not _exist(gold, extra):
            raise ValueError("the gold is no set of codes")
        return _score(solution_str, gold, matching, 0.0 if outcome == "f1" else of["near"], prefill, extra, of)
    except Exception:  # verl would turn an exception into a silently biased batch; the trainer stops at reward_error
        return {**_NOTHING, "score": lowest(**numbers), "reward_error": 1.0}


def _score(
    completion: str,
    gold: frozenset[str],
    matching: str,
    near: float,
    prefill: str,
    extra: frozenset[str],
    of: dict[str, float],
) -> Score:
    result = dict(_NOTHING)
    answer = parse(completion, "diagnosis", prefill)
    said = codes.read(answer.text) if answer.format_ok else None
    if said:
        once = dict.fromkeys(said)
        listed = icd10.table().codes
        known = [code for code in once if code in listed or code in extra]
        whole = len(once) + len(gold)
        form, equal = of["right_format"], len(gold.intersection(known))
        if matching == "published":
            outcome = codes.published(said, gold, of["outcome_scale"], of["unpaired"])
        else:
            outcome = of["outcome_scale"] * 2 * codes.credit(known, gold, near) / whole
        result |= {"pred": codes.JOINT.join(once), "f1": 2.0 * equal / whole, "acc": float(2 * equal == whole)}
        result["unknown"] = float(len(once) - len(known))
    elif completion.strip():
        blocks = count_blocks(with_prefill(completion, prefill), "diagnosis")
        form, outcome = of["wrong_format"] + of["extra_block"] * max(0, blocks - 1), 0.0
    else:
        form, outcome = of["empty"], 0.0
    score = of["format_weight"] * form + of["outcome_weight"] * outcome
    return result | {"score": float(score), "format": float(form), "outcome": float(outcome)}


def gold_codes(truth: object) -> frozenset[str]:
    """The gold codes of a text, or of a list of texts; none where one of them is malformed."""
    return _gold(truth if isinstance(truth, str) else codes.JOINT.join(truth))


@lru_cache(maxsize=1 << 14)
def _gold(text: str) -> frozenset[str]:
    return frozenset(codes.read(text) or ())


@lru_cache(maxsize=1 << 14)
def _exist(gold: frozenset[str], extra: frozenset[str]) -> bool:
    return all(icd10.exists(code, extra) for code in gold)


def lowest(**numbers: float) -> float:
    """The lowest score under these options, blocks after the first aside; the default one if they make no sense."""
    try:
        if not all(map(math.isfinite, numbers.values())):
            numbers = {}
        of = {**NUMBERS, **numbers}
        return float(of["format_weight"] * min(of["empty"], of["wrong_format"], of["right_format"]))
    except Exception:
        return NUMBERS["empty"]


def check_options(**given: object) -> None:
    """Raise ValueError with a sentence when an option or its value is unknown."""
    whose = "the reward of ICD sets"
    options.check_names(given, OPTIONS, whose)
    for name, value in given.items():
        if name in NUMBERS and not options.is_number(value):
            raise ValueError(f"{name}={value!r} must be a finite number, for instance {NUMBERS[name]}")
        if name.endswith("_weight") and value < 0:
            raise ValueError(f"{name}={value!r} must be at least 0; 0 switches the component off")
    if not 0 <= given.get("near", 0) <= 0.5:
        raise ValueError(f"near={given['near']!r} must be between 0 and 0.5, or two near codes would beat a right one")
    options.check_choice("matching", given.get("matching", "exact"), MATCHING, whose)
    options.check_choice("outcome", given.get("outcome", "hierarchical"), OUTCOMES, whose)
    if given.get("matching") == "published" and "outcome" in given:
        raise ValueError("matching='published' has an outcome of its own; leave out the option outcome")
    options.check_prefill(given.get("prefill", ""))
    options.check_file("extra_codes", given.get("extra_codes"), icd10.read_codes, "a file with one code a line")


def check_gold(gold: object, **options: object) -> None:
    """Raise ValueError with a sentence when the gold is no list of ICD-10-CM codes."""
    try:
        found = gold_codes(gold)
    except (TypeError, AttributeError):
        found = frozenset()
    if not found:
        raise ValueError(f"the gold {gold!r} must be ICD-10-CM codes with commas between them, and nothing else")
    extra = icd10.read_codes(options.get("extra_codes"))
    if unknown := sorted(code for code in found if not icd10.exists(code, extra)):
        near = icd10.nearest(unknown[0], 1)
        hint = f"; the nearest is {near[0]!r}" if near else ""
        raise ValueError(f"the gold {unknown[0]!r} is no ICD-10-CM code{hint}")
