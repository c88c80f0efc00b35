"""DeepICD-R1's reward without its hierarchy: a code that is not the gold earns the same whatever it shares with it.

reward.custom_reward_function.path=benchmarks/studies/exact_only.py

Format, and the outcome of the gold, of no code and of a code with another first character are those of reward_fns.icd.
"""

from reward_fns import icd
from reward_fns.icd.reward import NUMBERS, OPTIONS


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: dict | None = None, **options: object
) -> dict[str, float | str]:
    """The score of reward_fns.icd; what the judge's recipes say besides is left out."""
    known = {name: value for name, value in options.items() if name in OPTIONS}
    found = icd.compute_score(data_source, solution_str, ground_truth, extra_info, **known)
    if found["acc"] or found["outcome"] <= 0:
        return found
    numbers = {**NUMBERS, **{name: value for name, value in known.items() if name in NUMBERS}}
    score = found["score"] + numbers["outcome_weight"] * (numbers["no_overlap"] - found["outcome"])
    return {**found, "outcome": numbers["no_overlap"], "score": score}
