"""A synthetic discharge summary: the hospital course holds the evidence for the label, among negations and noise."""

import random
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

from common.files import beside
from data_prep.synthetic.vocabulary import BACKGROUND, CC, COMORBIDITIES, FAMILIES, MCC, NEITHER, Family

SAY = beside(__file__)  # note.yaml
WORDS = SAY["words"] | {"b": list(BACKGROUND)}
WRAP = 70
Slot = str | Callable[[], str]  # what is drawn only where a template has the slot


@dataclass(frozen=True)
class Case:
    """What is true of one admission; `comorbidity` is None where nothing raises the severity.

    `named` are the reasons for admission that the course names, the condition among them; empty: it alone.
    """

    family: Family
    condition: str
    severity: str
    comorbidity: str | None
    background: tuple[str, ...]
    female: bool
    named: tuple[str, ...] = ()

    @property
    def reasons(self) -> str:
        """The reasons for admission as a sentence names them."""
        *first, last = self.named or (self.condition,)
        return f"{', '.join(first)} and {last}" if first else last

    @property
    def title(self) -> str:
        return self.family.title(self.severity)

    @property
    def code(self) -> str:
        """The ICD-10-CM code of the condition, without dot."""
        return self.family.code(self.condition)


def sentence(rng: random.Random, template: str, case: Case, **slots: Slot) -> str:
    """Fill a template; an upper-case slot name gives the word a capital."""
    wanted = {name: slot for name, slot in slots.items() if f"{{{name}}}" in template}
    filled = {name: slot if isinstance(slot, str) else slot() for name, slot in wanted.items()}
    filled |= SAY["woman" if case.female else "man"]
    for name, words in WORDS.items():
        if f"{{{name}}}" in template or f"{{{name.capitalize()}}}" in template:
            filled[name] = rng.choice(words)
            filled[name.capitalize()] = filled[name].capitalize()
    return template.format(**filled)


def weighted(rng: random.Random, shares: dict[str, int]) -> str:
    """One of the keys, each as often as its share says."""
    return rng.choices(list(shares), shares.values())[0]


def draw_case(rng: random.Random, family: Family, rare: bool = False) -> Case:
    """A patient of this family: a condition (the first ones are more frequent), perhaps a comorbidity, background."""
    conditions = list(family.rare if rare else family.conditions)
    condition = rng.choices(conditions, [1 / (rank + 2) for rank in range(len(conditions))])[0]
    severity = rng.choices((MCC, CC, NEITHER), (30, 32, 38))[0]
    comorbidity = None if severity == NEITHER else rng.choice(list(COMORBIDITIES[severity]))
    background = tuple(rng.sample(list(BACKGROUND), rng.choice((0, 1, 1, 2, 3))))
    return Case(family, condition, severity, comorbidity, background, family.female or rng.random() < 0.5)


def of_another_family(rng: random.Random, case: Case) -> str:
    """A condition that the patient does not have."""
    return rng.choice(list(rng.choice([f for f in FAMILIES if f is not case.family]).conditions))


def hospital_course(rng: random.Random, case: Case, words: float, short: bool = False) -> str:
    """A course of about `words` words (log-normal); a short one has at most 40."""
    another = of_another_family(rng, case)
    begin = SAY["opening after history"] if rng.random() < 0.06 else rng.choice(SAY["openings"])
    opening = sentence(rng, begin, case, p=case.reasons, other=another)
    closing = sentence(rng, rng.choice(SAY["closings"]), case)
    inner = []
    if case.comorbidity:
        inner.append(sentence(rng, rng.choice(SAY["found"]), case, c=case.comorbidity))
    if short:
        return " ".join([opening, *inner])
    absent = [c for group in COMORBIDITIES.values() for c in group if c != case.comorbidity]
    for c in rng.sample(absent, rng.choices((0, 1, 2), (55, 35, 10))[0]):
        inner.append(sentence(rng, rng.choice(SAY["not found"]), case, c=c))
    if rng.random() < 0.15:
        inner.append(sentence(rng, rng.choice(SAY["not the reason"]), case, p=another))
    # a log-normal with this mean; the floor keeps a long course above the cohort's 40 words
    target = max(46, words * rng.lognormvariate(-0.045, 0.3))
    count = sum(len(s.split()) for s in (opening, closing, *inner))
    while count < target - 4:
        filler = sentence(rng, rng.choice(SAY["fillers"]), case)
        inner.append(filler)
        count += len(filler.split())
    rng.shuffle(inner)
    return " ".join([opening, *inner, closing])


def wrapped(text: str) -> str:
    """Hard-wrapped like MIMIC's notes."""
    return "\n".join(textwrap.wrap(text, WRAP, break_long_words=False, break_on_hyphens=False))


def fillers(rng: random.Random, case: Case, words: float) -> str:
    """Sentences that say nothing of the label, about `words` words."""
    text = ""
    while len(text) < words * 5.5:
        text += sentence(rng, rng.choice(SAY["fillers"]), case) + " "
    return text.rstrip()


def labs(rng: random.Random, lines: int) -> str:
    """Laboratory lines in the usual shorthand."""
    return "\n".join(
        "___ BLOOD " + " ".join(f"{name}-{rng.randint(1, 300)}" for name in rng.sample(SAY["labs"], 6))
        for _ in range(lines)
    )


def present_illness(rng: random.Random, case: Case, words: float) -> str:
    """What brought the patient in, perhaps with an inner paragraph that has a colon, and that may hold the evidence."""
    another, inner, kind = of_another_family(rng, case), rng.random() < 0.3, rng.random()
    unclear = inner and kind < 0.3
    if unclear:
        arrival = SAY["arrival unclear"]
    else:
        arrival = SAY["arrival after history"] if kind > 0.9 else rng.choice(SAY["arrivals"])
    first = sentence(rng, arrival, case, p=case.condition, other=another)
    if rng.random() < 0.1:
        first += " " + sentence(rng, rng.choice(SAY["not the reason"]), case, p=of_another_family(rng, case))
    text = wrapped(first + " " + fillers(rng, case, words * 0.6))
    if inner:
        rest = [sentence(rng, SAY["cleared up"], case, p=case.condition)] if unclear else []
        text += f"\n \n{SAY['in the ED']}\n" + wrapped(" ".join([*rest, fillers(rng, case, words * 0.2)]))
    return text


def physical_exam(rng: random.Random) -> str:
    """The exam at admission; half of them go on with that at discharge."""
    return SAY["exam"] + (rng.choice(SAY["later exams"]) + SAY["later exam"] if rng.random() < 0.5 else "")


def discharge_summary(rng: random.Random, case: Case, course: str | None, words: float) -> str:
    """The whole note around a course; None gives a note that has none."""
    advice = wrapped(fillers(rng, case, words * 1.2))
    odd = random.Random(advice)  # of its own: what it draws changes nothing else
    again = f"\n{SAY['named again']}" if odd.random() < 0.1 else ""
    empty = odd.choice(SAY["empty"]) if odd.random() < 0.05 else None
    # now and then the complaint that was feared, and not what it turned out to be
    feared = f"concern for {of_another_family(rng, case)}" if rng.random() < 0.3 else "weakness"
    stub = course is not None and rng.random() < 0.02
    results = labs(rng, 3 + int(words / 12)) + (SAY["stub"] + rng.choice(SAY["stubs"]) if stub else "")
    heading = weighted(rng, SAY["course"])
    drugs = "\n".join(f"{i}. {drug} daily" for i, drug in enumerate(rng.sample(WORDS["drug"], 4), 1))
    medications = weighted(rng, SAY["medications"])
    slots: dict[str, Slot] = {
        "sex": "F" if case.female else "M",
        "complaint": lambda: rng.choice((feared, "pain", "feeling unwell", case.condition)),
        "illness": lambda: present_illness(rng, case, words),
        "history": "\n".join(f"- {name}" for name in case.background) or "None.",
        "exam": lambda: physical_exam(rng),
        "drugs": drugs,
        "diagnosis": case.condition.removeprefix("a ").capitalize(),
        "advice": advice + again,
    }
    parts = [sentence(rng, part, case, **slots) for part in SAY["admitted"]]
    parts = [empty if empty and part.startswith(empty) else part for part in parts]
    parts.append(f"Pertinent Results:\n{results}" + (f"\n\n{wrapped(course)}" if stub else ""))
    if course is not None and not stub:
        parts.append(f"{heading}\n{wrapped(course)}")
    if stub:
        medications = next(iter(SAY["medications"]))  # the heading that ends such a course
    if medications:
        parts.append(f"{medications}\n{drugs}")
        if rng.random() < 0.01:
            return "\n \n".join(parts)  # cut short: nothing ends the last section
    return "\n \n".join([*parts, *(sentence(rng, part, case, **slots) for part in SAY["discharged"])])
