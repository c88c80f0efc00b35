"""The papers' published rewards once more, as plainly as regular expressions say them, and as slow.

`python -m benchmarks.rewards` times these beside the rewards that are used, and the tests hold reward_fns.drg.published
to them on every completion: both were written from the same description, by different means.
"""

import re

from reward_fns.drg.ms_drg import DRGS

_DRG_FORMAT = re.compile(r"\s*<think>.*</think>\s*<answer>(?:(?!</?answer>).)*</answer>\s*", re.DOTALL)
_DRG_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)
_DRG_TITLES = {drg.title for drg in DRGS}
_DRG_VALUES = {"dense": (1.5, 0.5, -0.5), "balanced": (1.0, 1.0, -0.5), "strict": (0.0, 0.0, 0.0)}

_ICD_PAIR = re.compile(
    r"^\s*(?:<think>((?:(?!</?think>).)*)</think>)?\s*<diagnosis>((?:(?!</?diagnosis>).)*)</diagnosis>",
    re.DOTALL | re.MULTILINE,
)
_ICD_CODE = re.compile(r"^[A-Z][0-9]{2}[A-Z0-9]{0,4}$")


def drg_score(completion: str, gold: str, accuracy: str = "dense") -> float:
    """Format plus accuracy of the published DRG reward."""
    if not _DRG_FORMAT.fullmatch(completion):
        return -2.0
    answer = _DRG_ANSWER.search(completion)[1].strip().upper()
    base, status, nothing = _DRG_VALUES[accuracy]
    if answer not in _DRG_TITLES:
        return -1.5
    if gold in answer:
        return 2.0
    parts = re.split(r"\s(WITH|WITHOUT)\s", gold, maxsplit=1)
    if len(parts) == 1:
        return nothing
    if parts[0] in answer:
        return base
    return status if " ".join(parts[1:]) in answer else nothing


def icd_score(completion: str, gold: str) -> float:
    """Outcome, format and penalties of the published ICD reward without judge, for one gold code."""
    pairs = _ICD_PAIR.findall("<think>" + completion)
    nothing = -5.0 if completion == "" else 0.0
    if not pairs:
        return -1.0 + nothing
    think, diagnosis = pairs[0]
    code = diagnosis.strip().replace(".", "")
    common = 0
    while code[: common + 1] == gold[: common + 1] and common < min(len(code), len(gold)):
        common += 1
    if not _ICD_CODE.match(code) or common == 0:
        outcome = -1.0
    elif code == gold:
        outcome = 15.0 * len(gold)
    else:
        outcome = 15.0 * (common / len(gold) + max(0, common - 2))
    return outcome + (1.0 if think else 0.0) + nothing - (len(pairs) - 1)
