"""One number for a note from p(+) at its positions, and the choice among several notes.

AGGREGATIONS["mean"](kinds, shares)
best([-3.2, -1.1])      # [1]: the places of the highest, all of them where several are equal

sum     of log p(+) over all positions, as the paper does: the product. Every position costs, so a note that leaves
        something out gains
mean    of log p(+): the length does not matter
min     log p(+) of the worst position
end     log p(+) at the end of the note alone: an outcome reward model
"""

import math
from collections.abc import Callable, Mapping, Sequence

from reward_fns.clinical_note.notes import END

LEAST = 1e-10  # in the place of a probability of 0 alone, as in the published code

Aggregation = Callable[[Sequence[str], Sequence[float]], float]


def _logs(shares: Sequence[float]) -> list[float]:
    return [math.log(share or LEAST) for share in shares]


def _end(kinds: Sequence[str], shares: Sequence[float]) -> float:
    return next(log for kind, log in zip(kinds, _logs(shares), strict=True) if kind == END)


AGGREGATIONS: Mapping[str, Aggregation] = {
    "sum": lambda _, shares: math.fsum(_logs(shares)),
    "mean": lambda _, shares: math.fsum(_logs(shares)) / len(shares),
    "min": lambda _, shares: min(_logs(shares)),
    "end": _end,
}


def best(scores: Sequence[float], same: float = 1e-12) -> list[int]:
    """The places of the highest score; scores nearer than `same` are equal, in whatever order they were added up."""
    highest = max(scores)
    return [at for at, score in enumerate(scores) if highest - score <= same]
