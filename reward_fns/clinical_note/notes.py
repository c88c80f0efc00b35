"""The assessment and plan of a clinical note, and the positions at which it is graded.

    note = (Problem(1, "Asthma", (Step(1, "Assessment: Wheezing."), Step(2, "Plan: Albuterol."))),)
    positions(note)         # problem, step, step, problem_complete, note_complete, end
    note_of(positions(note)) == note

A title and every step are graded as they stand; three positions without text follow: whether a problem has all its
steps, whether the note has all its problems, and the note as a whole. The grammar of a note is
(problem step* problem_complete)* note_complete end.
"""

from collections.abc import Iterable, Sequence
from itertools import count
from typing import NamedTuple

PROBLEM, STEP, PROBLEM_COMPLETE, NOTE_COMPLETE, END = KINDS = (
    "problem",
    "step",
    "problem_complete",
    "note_complete",
    "end",
)
RIGHT, WRONG = LABELS = ("+", "-")
AFTER = {
    "": (PROBLEM, NOTE_COMPLETE),
    PROBLEM: (STEP, PROBLEM_COMPLETE),
    STEP: (STEP, PROBLEM_COMPLETE),
    PROBLEM_COMPLETE: (PROBLEM, NOTE_COMPLETE),
    NOTE_COMPLETE: (END,),
    END: (),
}


class Step(NamedTuple):
    """A sentence of the assessment or an item of the plan, with its number in the problem."""

    no: int
    text: str


class Problem(NamedTuple):
    """A title and the steps below it, with its number in the note; numbers stay when others are removed."""

    no: int
    title: str
    steps: tuple[Step, ...] = ()


Note = tuple[Problem, ...]


class Position(NamedTuple):
    """A place of a note that is graded; the label is RIGHT or WRONG, or "" where nobody knows."""

    kind: str
    text: str = ""
    label: str = ""


def positions(note: Note, labels: Sequence[str] | None = None) -> list[Position]:
    """The positions of a note in their order, with the labels where they are given."""
    places: list[tuple[str, str]] = []
    for problem in note:
        places += [(PROBLEM, problem.title), *((STEP, step.text) for step in problem.steps), (PROBLEM_COMPLETE, "")]
    places += [(NOTE_COMPLETE, ""), (END, "")]
    if labels is not None and len(labels) != len(places):
        raise ValueError(f"there are {len(labels)} labels for the {len(places)} positions of a note")
    return [Position(*place, label) for place, label in zip(places, labels or [""] * len(places), strict=True)]


def check(graded: Iterable[Position]) -> None:
    """ValueError when positions do not follow the grammar, or when one has text where none belongs, or none."""
    before = ""
    for at, position in enumerate(graded):
        if position.kind not in AFTER[before]:
            raise ValueError(
                f"position {at} is {position.kind!r}; after {before or 'the start'!r} comes {AFTER[before]}"
            )
        if bool(position.text) != (position.kind in (PROBLEM, STEP)):
            raise ValueError(f"position {at}, {position.kind}, has {'a text' if position.text else 'no text'}")
        if position.label not in ("", *LABELS):
            raise ValueError(f"position {at} has the label {position.label!r}; a label is + or -")
        before = position.kind
    if before != END:
        raise ValueError(f"a note ends with the position {END!r}, and this one with {before!r}")


def note_of(graded: Sequence[Position], removed: Iterable[tuple[int, int]] = ()) -> Note:
    """The note that has these positions; numbers leave out what was removed (problem and step, step 0: the problem)."""
    check(graded)
    gone = set(removed)
    numbers = (no for no in count(1) if (no, 0) not in gone)
    problems: list[Problem] = []
    for position in graded:
        if position.kind == PROBLEM:
            problem = Problem(next(numbers), position.text)
            inner = (no for no in count(1) if (problem.no, no) not in gone)
            problems.append(problem)
        elif position.kind == STEP:
            step = Step(next(inner), position.text)
            problems[-1] = problems[-1]._replace(steps=(*problems[-1].steps, step))
    return tuple(problems)
