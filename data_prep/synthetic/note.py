"""A synthetic discharge summary: the hospital course holds the evidence for the label, among negations and noise."""

import random
import textwrap
from dataclasses import dataclass

from data_prep.synthetic.families import FAMILIES
from data_prep.synthetic.phrases import (
    ARRIVAL_AFTER_HISTORY,
    ARRIVAL_UNCLEAR,
    ARRIVALS,
    CLEARED_UP,
    CLOSINGS,
    FILLERS,
    FOUND,
    NOT_FOUND,
    NOT_THE_REASON,
    OPENING_AFTER_HISTORY,
    OPENINGS,
    STUBS,
    VITALS,
    WORDS,
    WRAP,
)
from data_prep.synthetic.vocabulary import BACKGROUND, CC, COMORBIDITIES, MCC, NEITHER, Family


@dataclass(frozen=True)
class Case:
    """What is true of one admission; `comorbidity` is None where nothing raises the severity."""

    family: Family
    condition: str
    severity: str
    comorbidity: str | None
    background: tuple[str, ...]
    female: bool

    @property
    def title(self) -> str:
        return self.family.title(self.severity)

    @property
    def code(self) -> str:
        """The ICD-10-CM code of the condition, without dot."""
        return self.family.code(self.condition)


def sentence(rng: random.Random, template: str, case: Case, **slots: str) -> str:
    """Fill a template; an upper-case slot name gives the word a capital."""
    she = case.female
    slots |= {"Mr": "Ms." if she else "Mr.", "man": "woman" if she else "man", "he": "she" if she else "he"}
    slots |= {"He": slots["he"].capitalize()}
    for name, words in WORDS.items():
        if "{" + name + "}" in template or "{" + name.capitalize() + "}" in template:
            slots[name] = rng.choice(words)
            slots[name.capitalize()] = slots[name].capitalize()
    return template.format(**slots)


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
    if rng.random() < 0.06:
        opening = sentence(rng, OPENING_AFTER_HISTORY, case, p=case.condition, other=another)
    else:
        opening = sentence(rng, rng.choice(OPENINGS), case, p=case.condition)
    closing = sentence(rng, rng.choice(CLOSINGS), case)
    inner = []
    if case.comorbidity:
        inner.append(sentence(rng, rng.choice(FOUND), case, c=case.comorbidity))
    if short:
        return " ".join([opening, *inner])
    absent = [c for group in COMORBIDITIES.values() for c in group if c != case.comorbidity]
    for c in rng.sample(absent, rng.choices((0, 1, 2), (55, 35, 10))[0]):
        inner.append(sentence(rng, rng.choice(NOT_FOUND), case, c=c))
    if rng.random() < 0.15:
        inner.append(sentence(rng, rng.choice(NOT_THE_REASON), case, p=another))
    # a log-normal with this mean; the floor keeps a long course above the cohort's 40 words
    target = max(46, words * rng.lognormvariate(-0.045, 0.3))
    count = sum(len(s.split()) for s in (opening, closing, *inner))
    while count < target - 4:
        filler = sentence(rng, rng.choice(FILLERS), case)
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
        text += sentence(rng, rng.choice(FILLERS), case) + " "
    return text.rstrip()


def labs(rng: random.Random, lines: int) -> str:
    """Laboratory lines in the usual shorthand."""
    names = ("WBC", "RBC", "Hgb", "Hct", "Plt", "Na", "K", "Cl", "HCO3", "Glucose", "UreaN", "Creat")
    return "\n".join(
        "___ BLOOD " + " ".join(f"{name}-{rng.randint(1, 300)}" for name in rng.sample(names, 6)) for _ in range(lines)
    )


def present_illness(rng: random.Random, case: Case, words: float) -> str:
    """What brought the patient in, perhaps with an inner paragraph that has a colon, and that may hold the evidence."""
    another, inner, kind = of_another_family(rng, case), rng.random() < 0.3, rng.random()
    unclear = inner and kind < 0.3
    arrival = ARRIVAL_UNCLEAR if unclear else ARRIVAL_AFTER_HISTORY if kind > 0.9 else rng.choice(ARRIVALS)
    first = sentence(rng, arrival, case, p=case.condition, other=another)
    if rng.random() < 0.1:
        first += " " + sentence(rng, rng.choice(NOT_THE_REASON), case, p=of_another_family(rng, case))
    text = wrapped(first + " " + fillers(rng, case, words * 0.6))
    if inner:
        vitals = f"In the ED, initial vitals were: {VITALS}"
        rest = [sentence(rng, CLEARED_UP, case, p=case.condition)] if unclear else []
        text += f"\n \n{vitals}\n" + wrapped(" ".join([*rest, fillers(rng, case, words * 0.2)]))
    return text


def physical_exam(rng: random.Random) -> str:
    """The exam at admission; half of them go on with that at discharge, after a blank line or without one."""
    exam = f"{VITALS}\nGeneral: alert\nLungs: clear\nHeart: regular\nAbdomen: soft"
    if rng.random() < 0.5:
        exam += rng.choice(
            ("\n \nDISCHARGE EXAM:", "\nDISCHARGE EXAM:", "\nPhysical exam on discharge:", "\nAt discharge:")
        )
        exam += f"\n{VITALS}\nGeneral: walking, feels well"
    return exam


def discharge_summary(rng: random.Random, case: Case, course: str | None, words: float) -> str:
    """The whole note around a course; None gives a note that has none."""
    history = "\n".join(f"- {name}" for name in case.background) or "None."
    advice = wrapped(fillers(rng, case, words * 1.2))
    # now and then the complaint that was feared, and not what it turned out to be
    feared = f"concern for {of_another_family(rng, case)}" if rng.random() < 0.3 else "weakness"
    stub = course is not None and rng.random() < 0.02
    results = labs(rng, 3 + int(words / 12)) + (f"\n___ BLOOD Calcium-9.___ {rng.choice(STUBS)}" if stub else "")
    heading = rng.choices(
        ("Brief Hospital Course:", "rief Hospital Course:", "BRIEF HOSPITAL COURSE:"), (97, 1, 2)
    )[0]  # fmt: skip
    drugs = "\n".join(f"{i}. {drug} daily" for i, drug in enumerate(rng.sample(WORDS["drug"], 4), 1))
    medications = rng.choices(("Medications on Admission:", "___ on Admission:", None), (90, 4, 6))[0]
    if stub:
        medications = "Medications on Admission:"
    parts = [
        " \nName:  ___                     Unit No:   ___",
        "Admission Date:  ___              Discharge Date:   ___",
        f"Date of Birth:  ___             Sex:   {'F' if case.female else 'M'}",
        f"Service: {rng.choice(('MEDICINE', 'SURGERY', 'NEUROLOGY', 'ORTHOPAEDICS'))}",
        f"Allergies: \n{rng.choice(('No Known Allergies / Adverse Drug Reactions', 'Penicillins', 'latex'))}",
        "Attending: ___.",
        f"Chief Complaint:\n{rng.choice((feared, 'pain', 'feeling unwell', case.condition))}",
        f"Major Surgical or Invasive Procedure:\n{rng.choice(('None', 'none', '___ line placement'))}",
        f"History of Present Illness:\n{present_illness(rng, case, words)}",
        f"Past Medical History:\n{history}",
        "Social History:\n___",
        f"Family History:\n{rng.choice(('Non-contributory.', 'Mother with gout.', 'No heart disease.'))}",
        f"Physical Exam:\n{physical_exam(rng)}",
    ]
    if course is None:
        parts.append(f"Pertinent Results:\n{results}")
    elif stub:
        parts.append(f"Pertinent Results:\n{results}\n\n{wrapped(course)}")
    else:
        parts += [f"Pertinent Results:\n{results}", f"{heading}\n{wrapped(course)}"]
    if medications:
        parts.append(f"{medications}\n{drugs}")
        if rng.random() < 0.01:
            return "\n \n".join(parts)  # cut short: nothing ends the last section
    parts += [
        f"Discharge Medications:\n{drugs}",
        f"Discharge Disposition:\n{rng.choice(('Home', 'Extended Care', 'Home With Service'))}",
        "Facility:\n___",
        f"Discharge Diagnosis:\n{case.condition.removeprefix('a ').capitalize()}",
        "Discharge Condition:\nMental Status: Clear and coherent.\nActivity Status: Ambulatory - Independent.",
        f"Discharge Instructions:\nDear {'Ms' if case.female else 'Mr'}. ___,\n{advice}",
        "Followup Instructions:\n___\n",
    ]
    return "\n \n".join(parts)
