"""Sets of codes: how a list is read, and what a set that was said is worth against the right one.

    codes.read("I21.4, e11.9")                              # ("I214", "E119")
    codes.credit(("I213",), frozenset({"I214"}), near=0.5)  # 0.375: the category is right, and 3 of 4 characters

A predicted code and a gold are one pair at most. A pair of equal codes earns 1, one of the same category near * O/|g|,
O being the length of their common prefix, and any other nothing; the credit is that of the best pairs. As near is at
most 1/2, two pairs that break up an equal one never earn more than it, so equal codes pair first; what is left is a
matching within each category.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache

from reward_fns.icd import icd10

JOINT = ", "  # between codes, as golds and answers are written
_LONGEST = 16  # characters of a code in any spelling
_LIST = re.compile(f"(?:{icd10.SHAPE} )*+{icd10.SHAPE}").fullmatch


def read(text: str) -> tuple[str, ...] | None:
    """The codes of a list, normalised, as often as they are said; None where there is none or one is malformed.

    Between codes stand commas, semicolons and white space.
    """
    pieces = text.replace(",", " ").replace(";", " ").split()
    if not pieces or len(max(pieces, key=len)) > _LONGEST:
        return None
    joined = " ".join(pieces).replace(".", "")
    if not joined.isascii() or not _LIST(codes := joined.upper()):  # icd10.normalise, for all at once
        return None
    return tuple(codes.split(" "))


def credit(said: Collection[str], gold: frozenset[str], near: float) -> float:
    """What the best one-to-one pairs of codes said, each once, and gold earn."""
    equal = gold.intersection(said)
    if len(equal) == len(gold) or not near:
        return float(len(equal))
    golds, close = _by_category(gold), {}
    for code in said:
        if (key := code[:3]) in golds and code not in equal:
            close.setdefault(key, []).append(code)
    pairs = ((some, [g for g in golds[key] if g not in equal]) for key, some in close.items())
    return len(equal) + near * sum(_matched(some, left) for some, left in pairs if left)


@lru_cache(maxsize=1 << 14)
def _by_category(gold: frozenset[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for code in gold:
        found.setdefault(code[:3], []).append(code)
    return found


def _matched(said: Sequence[str], golds: Sequence[str]) -> float:
    """The most that pairs within one category earn, each its O/|g|."""
    if len(said) == len(golds) == 1:
        return _share(said[0], golds[0])
    worth = [[_share(code, gold) for gold in golds] for code in said]
    if len(said) == 1 or len(golds) == 1:
        return max(map(max, worth))
    from scipy.optimize import linear_sum_assignment  # takes a moment to import, and few lists come here

    rows, columns = linear_sum_assignment(worth, maximize=True)
    return sum(worth[row][column] for row, column in zip(rows.tolist(), columns.tolist(), strict=True))


def _share(code: str, gold: str) -> float:
    """O/|g| of two codes of one category."""
    at, end = 3, min(len(code), len(gold))
    while at < end and code[at] == gold[at]:
        at += 1
    return at / len(gold)


def published(said: Sequence[str], gold: Iterable[str], scale: float, unpaired: float) -> float:
    """The outcome of a list by DeepICD-R1's published rule, in which duplicates stay and exact codes earn least.

    A code that is gold earns the scale, and both leave. Of the rest, codes of one first character pair greedily, the
    longest common prefix first and of equals the shorter gold: each pair earns scale * (O/|g| + (O-2 if O >= 3)), and a
    code without a pair `unpaired`.
    """
    often, left = Counter(said), set(gold)
    equal = left & often.keys()
    left -= equal
    often.subtract(equal)
    pairs = [(-icd10.overlap(code, g), len(g), code, g) for code in +often for g in left if code[0] == g[0]]
    total, alone = scale * len(equal), often.total()
    for minus, size, code, g in sorted(pairs):
        if often[code] and g in left:
            often[code] -= 1
            left.remove(g)
            alone -= 1
            total += scale * (-minus / size + (-minus - 2 if minus <= -3 else 0))
    return total + unpaired * alone
