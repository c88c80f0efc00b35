"""Alterations without a language model: sides, doses, numbers, negations changed, others' sentences, vagueness.

    writer = Rules(golds)
    await writer("factual", gold, (1, 2), rng)      # the new text of step 2 of problem 1, or None where no rule fits

The words stand in rules.yaml.
"""

import random
import re

from common.files import beside
from data_prep.clinical.graded import Graded
from reward_fns.clinical_note.alterations import FACTUAL, HALLUCINATION, TITLE, units
from reward_fns.clinical_note.written import PLAN, SECTIONS

SAY = beside(__file__)  # rules.yaml
SWAPS = {word: other for pair in SAY["swaps"] for word, other in (pair, pair[::-1])} | SAY["instead"]
NUMBER = r"(?<![\w.,/])\d{1,4}(?:\.\d+)?(?![\w/])"
CHANGES = re.compile(rf"\b(?:{'|'.join(SWAPS)})\b|{NUMBER}", re.IGNORECASE)
DRAWS = 3  # of which the shortest is taken: what is made up adds about half of a line, as published
Unit = tuple[int, int]


class Rules:
    """A writer of alterations; what it invents comes from the other gold notes."""

    name = "rules"

    def __init__(self, golds: list[Graded]) -> None:
        self.steps: dict[str, list[tuple[str, str]]] = {}  # by section: case and sentence
        self.titles = [(gold.case, problem.title) for gold in golds for problem in gold.note]
        self.alike: dict[tuple[str, str], list[tuple[str, str]]] = {}  # the same by the problem's title, too
        for gold in golds:
            for unit, text in units(gold.note).items():
                if unit[1] != TITLE:
                    section, said = where(gold, unit), plain(text)
                    self.steps.setdefault(section, []).append((gold.case, said))
                    self.alike.setdefault((_kind(gold, unit), section), []).append((gold.case, said))

    async def __call__(self, kind: str, gold: Graded, unit: Unit, rng: random.Random) -> str | None:
        text = units(gold.note)[unit]
        if kind == FACTUAL:
            return changed(text, rng)
        if kind == HALLUCINATION:
            return self._invented(gold, unit, text, rng)
        choices = SAY["vague"]["title"] if unit[1] == TITLE else SAY["vague"][where(gold, unit)]
        return f"{prefix(text)}{rng.choice(choices)}"

    def _invented(self, gold: Graded, unit: Unit, text: str, rng: random.Random) -> str | None:
        """A sentence that another note has: beside what is there, or now and then in its place where it would fit."""
        if unit[1] == TITLE:
            other = _foreign(self.titles, gold, rng)
            return other and f"{text.rstrip(' :.')} and {other[0].lower()}{other[1:].rstrip(' :.')}"
        section = where(gold, unit)
        fits = _foreign(self.alike.get((_kind(gold, unit), section), []), gold, rng)
        if fits and rng.random() < 0.5:
            return f"{prefix(text)}{fits}"
        other = fits or _foreign(self.steps[section], gold, rng)
        return other and f"{text.rstrip()} {other}"


def changed(text: str, rng: random.Random) -> str | None:
    """The text with one side, number, negation or other word of rules.yaml exchanged; None where it has none."""
    begin = len(prefix(text))
    found = list(CHANGES.finditer(text, begin))
    if not found:
        return None
    at = rng.choice(found)
    word = at[0]
    if word[0].isdigit():
        other = _number(word, rng)
    else:
        other = SWAPS[word.lower()]
        other = other[0].upper() + other[1:] if word[0].isupper() else other
    return text[: at.start()] + other + text[at.end() :]


def _number(word: str, rng: random.Random) -> str:
    """Another number that could stand there: half, double, or a few more."""
    value = float(word)
    others = {value * 2, value / 2 if value % 2 == 0 else value * 3, value + rng.randint(1, 3)} - {value}
    other = rng.choice(sorted(others))
    return f"{other:.{len(word.partition('.')[2])}f}"


def where(gold: Graded, unit: Unit) -> str:
    """The section that a step belongs to; what no section opens is a plan."""
    problem = next(problem for problem in gold.note if problem.no == unit[0])
    section = PLAN
    for step in problem.steps:
        section = next((name for name in SECTIONS if step.text.startswith(name)), section)
        if step.no == unit[1]:
            break
    return section


def prefix(text: str) -> str:
    """The word of the section that a step begins with, and a blank."""
    return next((f"{name} " for name in SECTIONS if text.startswith(name)), "")


def plain(text: str) -> str:
    """A step without it."""
    return text.removeprefix(prefix(text).strip()).strip()


def _kind(gold: Graded, unit: Unit) -> str:
    """What a problem is called, as far as others are called the same."""
    title = next(problem.title for problem in gold.note if problem.no == unit[0])
    return " ".join(title.lower().strip(" :.").split()[:2])


def _foreign(pool: list[tuple[str, str]], gold: Graded, rng: random.Random) -> str | None:
    """The shortest of a few texts of other cases, one that this case has nowhere; None when all draws are in vain."""
    own = {plain(text).lower() for text in units(gold.note).values()}
    drawn = [rng.choice(pool) for _ in range(DRAWS)] if pool else []
    return min((text for case, text in drawn if case != gold.case and text.lower() not in own), key=len, default=None)
