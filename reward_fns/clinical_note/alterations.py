"""What was done to a note to make it wrong, and the labels that follow from it alone.

worse = apply(note, altered, removed)
labels(worse, altered, removed)

position                  "-" exactly when
title, step               its own text was altered; a title is not made wrong by its steps
problem_complete          a step was removed from this problem
note_complete             a whole problem was removed
end                       anything is "-"
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from reward_fns.clinical_note.notes import RIGHT, WRONG, Note, Problem, Step

TITLE = 0  # in the place of a step's number: the title of the problem; where something is removed, all of it
FACTUAL, HALLUCINATION, UNHELPFUL = ERRORS = ("factual", "hallucination", "unhelpful")
STEP_GONE, PROBLEM_GONE, ANYTHING = "removed step", "removed problem", "anything"
CAUSES = (*ERRORS, STEP_GONE, PROBLEM_GONE, ANYTHING)  # of a "-"


class Altered(NamedTuple):
    """A title or a step that was rewritten."""

    problem: int
    step: int
    kind: str
    before: str
    after: str


class Removed(NamedTuple):
    """A step, or a problem with all its steps."""

    problem: int
    step: int


def apply(note: Note, altered: Iterable[Altered], removed: Iterable[Removed]) -> Note:
    """The note with these alterations and without what was removed; ValueError for one that it does not have."""
    now = {(one.problem, one.step): one for one in altered}
    gone, there = {(one.problem, one.step) for one in removed}, units(note)
    for unit in (*now, *gone):
        if unit not in there:
            raise ValueError(f"{_named(*unit)} cannot be altered or removed: the note has none")
        if unit in now and there[unit] != now[unit].before:
            raise ValueError(f"{_named(*unit)} does not say what the alteration says was there before")
    texts = there | {unit: one.after for unit, one in now.items()}
    return tuple(
        Problem(
            no,
            texts[no, TITLE],
            tuple(Step(step.no, texts[no, step.no]) for step in steps if (no, step.no) not in gone),
        )
        for no, _, steps in note
        if (no, TITLE) not in gone
    )


def units(note: Note) -> dict[tuple[int, int], str]:
    """The text of every title and step by its numbers."""
    found = {}
    for problem in note:
        found[problem.no, TITLE] = problem.title
        found |= {(problem.no, step.no): step.text for step in problem.steps}
    return found


def causes(note: Note, altered: Iterable[Altered], removed: Iterable[Removed]) -> list[str]:
    """Why each position of an altered note is wrong, one of CAUSES; "" for a right one."""
    kinds = {(one.problem, one.step): one.kind for one in altered}
    gone = [tuple(one) for one in removed]
    there, problems = units(note), {problem for problem, step in gone if step == TITLE}
    lost = [unit for unit in kinds if unit not in there and unit[0] not in problems]
    lost += [unit for unit in gone if unit in there or ((unit[0], TITLE) not in there and unit[0] not in problems)]
    if lost:
        raise ValueError(f"{_named(*lost[0])} is said to be altered or removed, which does not fit the note")
    short = {problem for problem, step in gone if step != TITLE}
    found = []
    for problem in note:
        found += [kinds.get((problem.no, step), "") for step in (TITLE, *(step.no for step in problem.steps))]
        found.append(STEP_GONE if problem.no in short else "")
    found.append(PROBLEM_GONE if problems else "")
    return [*found, ANYTHING if any(found) else ""]


def labels(note: Note, altered: Iterable[Altered], removed: Iterable[Removed]) -> list[str]:
    """The label of every position of an altered note."""
    return labelled(causes(note, altered, removed))


def labelled(found: Sequence[str]) -> list[str]:
    """Causes as labels."""
    return [WRONG if cause else RIGHT for cause in found]


def _named(problem: int, step: int) -> str:
    return f"problem {problem}" if step == TITLE else f"step {step} of problem {problem}"
