"""What a note of the synthetic clinic says, fact by fact: the words of every line that the conversation decides.

    facts.gold(note)                             # None where a line is none of the clinic's: nobody knows its facts
    facts.share(facts.said(other), facts.gold(note))

A fact is a word in its place, as "left: Pain in the {side} {joint}", or a line in which nothing is decided. The share
of right ones is over the facts of the gold note or those that were said, whichever are more: what is left out counts as
much as what is made up.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache

from data_prep.synthetic.clinic import SAY
from reward_fns.clinical_note.notes import Note, Problem
from reward_fns.clinical_note.written import SECTIONS

SLOT = re.compile(r"\{(\w+)\}")
Lines = dict[str, re.Pattern[str]]


def gold(note: Note) -> list[str] | None:
    """The facts of a note all of whose lines are the clinic's."""
    found = [facts for problem in note for facts in _lines(problem)]
    return None if None in found else [fact for facts in found for fact in facts or ()]


def said(note: Note) -> list[str]:
    """The facts of any note; a line that is none of the clinic's is one that is never right."""
    return [fact for problem in note for facts in _lines(problem) for fact in (["?"] if facts is None else facts)]


def share(said: Sequence[str], gold: Sequence[str]) -> float:
    """How many of the facts are right."""
    return (Counter(said) & Counter(gold)).total() / max(len(said), len(gold), 1)


def _lines(problem: Problem) -> Iterator[list[str] | None]:
    """The facts of the title and of every step; None for a line that does not belong to the problem."""
    title = problem.title.strip()
    for heading, lines in _problems():
        if heading.fullmatch(title):
            texts = (re.sub(rf"^(?:{'|'.join(SECTIONS)})\s*", "", step.text) for step in problem.steps)
            return (_facts(text, lines) for text in (title, *texts))
    return (None for _ in range(1 + len(problem.steps)))


def _facts(text: str, lines: Lines) -> list[str] | None:
    for line, form in lines.items():
        if found := form.fullmatch(text):
            return [f"{word}: {line}" for word in found.groups()] or [line]
    return None


@cache
def _problems() -> list[tuple[re.Pattern[str], Lines]]:
    """The form of every problem's title, and those of all its lines."""
    last = SAY["follow up"]
    forms = [(one["title"], [*one["assessment"], *one["plan"]]) for one in SAY["problems"]]
    forms.append((last["title"], last["steps"]))
    return [(_form(title), {line: _form(line) for line in (title, *lines)}) for title, lines in forms]


def _form(line: str) -> re.Pattern[str]:
    """What a line looks like, a group a slot."""
    words = SAY["words"] | {"reports": [says for _, says in SAY.get("answers", ())]}
    parts = SLOT.split(line)
    choices = ("|".join(sorted(map(re.escape, words[name]), key=len, reverse=True)) for name in parts[1::2])
    rest = zip(choices, parts[2::2], strict=True)
    return re.compile(re.escape(parts[0]) + "".join(f"({choice}){re.escape(part)}" for choice, part in rest))
