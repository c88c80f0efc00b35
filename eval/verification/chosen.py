"""What choosing among N notes of a case is worth, for every N up to the number that were written.

    expected(scores, values)      # [mean of all, …, value of the best of all]: exact, over all subsets of N notes

No subset is drawn: with k notes of one score and r below it, the choice among N falls on one of the k in
C(r+k, N) - C(r, N) of the C(n, N) subsets, on each equally often. So notes that share a score share the choice.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from data_prep.synthetic import facts
from eval.scoring.intervals import Bootstrap, Estimate, difference, means
from eval.scoring.metrics import Array
from reward_fns.clinical_note.notes import Note, Position, positions
from reward_fns.clinical_note.reward import components
from reward_fns.clinical_note.scores import AGGREGATIONS, best
from reward_fns.clinical_note.written import strict

PRM, ORM, REWARD, RANDOM, ORACLE = "PRM", "ORM", "reward", "random", "oracle"
UNREADABLE = -1e9  # the score of a text in which no problem can be made out: chosen only where there is no other
FACTS, WORDS = "facts", "words"
MEASURES = {
    FACTS: "share of right facts, of those of the gold note or of the note, whichever are more",
    WORDS: "F1 of the words of the note and of the gold note",
}


class Written(NamedTuple):
    """A sampled note: its text, what can be made out of it, p(+) at its positions by model; its gold note and facts."""

    text: str
    note: Note | None
    shares: Mapping[str, Sequence[float]]
    gold: str
    facts: Sequence[str]  # of the gold note; none where nobody knows

    @property
    def graded(self) -> list[Position]:
        return positions(self.note or ())


def expected(scores: Sequence[float], values: Sequence[float]) -> list[float]:
    """The mean value of the note with the highest score among N, over all subsets of N notes, for N = 1 … all."""
    left, groups = list(range(len(scores))), []
    while left:
        top = {left[at] for at in best([scores[at] for at in left])}
        left = [at for at in left if at not in top]
        groups.append((len(top), len(left), sum(values[at] for at in top) / len(top)))
    counts = ((size, math.comb(len(scores), size)) for size in range(1, len(scores) + 1))
    return [sum((math.comb(k + r, size) - math.comb(r, size)) * v for k, r, v in groups) / all for size, all in counts]


def scores(one: Written) -> dict[str, float]:
    """The score of a note by every rule, the same rules for notes that the same models graded."""
    found = {}
    if PRM in one.shares:
        kinds, shares = [position.kind for position in one.graded], one.shares[PRM]
        found |= {name: rule(kinds, shares) for name, rule in AGGREGATIONS.items()}
        found[REWARD] = components(one.graded, shares, positions(strict(one.gold)))["note"]
    if ORM in one.shares:
        found[ORM] = one.shares[ORM][-1]
    found |= {"most labels": float(len(one.graded)), "longest text": float(len(one.text))}
    found["shortest text"] = -found["longest text"]
    return (found if one.note else dict.fromkeys(found, UNREADABLE)) | {RANDOM: 0.0}


def measured(one: Written) -> dict[str, float]:
    """What the note is worth, by measure."""
    found = {FACTS: facts.share(facts.said(one.note or ()), one.facts)} if one.facts else {}
    mine, gold = (Counter(re.findall(r"\w+", text.lower())) for text in (one.text, one.gold))
    return found | {WORDS: 2 * (mine & gold).total() / max(1, mine.total() + gold.total())}


def compare(cases: Sequence[Sequence[Written]], bootstrap: Bootstrap) -> dict[str, Any]:
    """By measure the curves of every rule over N, and at the largest N each rule's gain over others."""
    values = [[measured(one) for one in case] for case in cases]
    scored = [[scores(one) for one in case] for case in cases]
    every = [name for name in MEASURES if all(name in one for case in values for one in case)]
    return {name: _curves(scored, [[one[name] for one in case] for case in values], bootstrap) for name in every}


def _curves(
    scored: Sequence[Sequence[Mapping[str, float]]], values: list[list[float]], bootstrap: Bootstrap
) -> dict[str, Any]:
    rules = [*scored[0][0], ORACLE]
    tables = [
        [expected(of if rule == ORACLE else [one[rule] for one in case], of) for rule in rules]
        for case, of in zip(scored, values, strict=True)
    ]
    every: Array = np.array(tables)  # cases x rules x N
    estimates = means(every.reshape(len(every), -1), np.arange(len(every)), bootstrap)
    n = every.shape[2]
    rows: dict[str, list[Estimate]] = {rule: estimates[at * n : (at + 1) * n] for at, rule in enumerate(rules)}
    return {
        "curves": {
            rule: {"value": [one.value for one in row], "interval": [one.interval() for one in row]}
            for rule, row in rows.items()
        },
        "paired": {
            f"{rule} - {other}": difference(rows[rule][-1], rows[other][-1])
            for rule in rules
            for other in (RANDOM, "longest text")
            if rule != other
        },
    }
