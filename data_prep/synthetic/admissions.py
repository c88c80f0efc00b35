"""Who is admitted when, and with what: patients who return, notes that are missing, short or exact duplicates."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from data_prep.synthetic import note
from data_prep.synthetic.knobs import Knobs
from data_prep.synthetic.vocabulary import FAMILIES, Family

# Rare conditions have about a case each however many notes there are, so that some are met in the test split only.
RARE_CASES = 1.2 * sum(len(family.rare) for family in FAMILIES)
RARE_SHARE = 0.02  # at most, in a small data set


@dataclass
class Admission:
    """One admission with its note (text None: none was written) and its place among those of the patient."""

    subject_id: int
    hadm_id: int
    case: note.Case
    admitted: datetime
    discharged: datetime
    course: str | None
    text: str | None
    coded: bool


def admissions(notes: int, words: float, seed: int, knobs: Knobs | None = None) -> Iterator[Admission]:
    """Admissions, patient by patient, until `notes` of them have a note."""
    knobs = knobs or Knobs()
    weights = [1 / (rank + 2) ** knobs.tail for rank in range(len(FAMILIES))]
    written, position, subject_id = 0, 0, 10_000_000
    previous: Admission | None = None
    first = datetime(2110, 1, 1)
    while written < notes:
        rng = random.Random(f"{seed}/admission/{position}")
        if previous is None or rng.random() < 0.6:
            subject_id += rng.randint(1, 60)
            previous = None
            first = datetime(2110, 1, 1) + timedelta(minutes=rng.randrange(60 * 24 * 365 * 80))
        start = first if previous is None else previous.discharged + timedelta(days=rng.randint(2, 400))
        if previous is not None and previous.text is not None and rng.random() < 0.012:
            case, course, text = previous.case, previous.course, previous.text  # an exact duplicate
        else:
            rare = rng.random() < min(RARE_SHARE, RARE_CASES / notes)
            case = note.draw_case(rng, draw_family(rng, previous, rare, weights), rare)
            if previous is not None:
                case = replace(case, female=previous.case.female)
            if knobs.rivals:
                case = with_rivals(random.Random(f"{seed}/rivals/{position}"), case, knobs.rivals, weights)
            course = None
            if rng.random() >= 0.12:
                course = note.hospital_course(rng, case, words, short=rng.random() < 0.03)
            text = note.discharge_summary(rng, case, course, words) if rng.random() >= 0.03 else None
        previous = Admission(
            subject_id=subject_id,
            hadm_id=20_000_000 + position * 7 + rng.randrange(7),
            case=case,
            admitted=start,
            discharged=start + timedelta(minutes=rng.randint(60 * 24, 60 * 24 * 14)),
            course=course,
            text=text,
            coded=rng.random() >= 0.03,
        )
        written += text is not None
        position += 1
        yield previous


def draw_family(rng: random.Random, previous: Admission | None, rare: bool, common: list[float]) -> Family:
    """A family, often the same again for a patient who returns; obstetric ones are left to women."""
    if previous is not None and not rare and rng.random() < 0.2:
        return previous.case.family
    allowed = [previous is None or previous.case.female or not family.female for family in FAMILIES]
    weights = [len(family.rare) for family in FAMILIES] if rare else common
    return rng.choices(FAMILIES, [weight * ok for weight, ok in zip(weights, allowed, strict=True)])[0]


def with_rivals(rng: random.Random, case: note.Case, rivals: int, common: list[float]) -> note.Case:
    """The case with so many other reasons for admission, of other families; the k-th named is its own as 1 / k."""
    others: dict[str, str] = {}
    while len(others) < rivals:
        family = rng.choices(FAMILIES, common)[0]
        if family is not case.family and family.female <= case.female:
            others.setdefault(family.base, rng.choice(list(family.conditions)))
    named = list(others.values())
    named.insert(rng.choices(range(rivals + 1), [1 / (place + 1) for place in range(rivals + 1)])[0], case.condition)
    return replace(case, named=tuple(named))
