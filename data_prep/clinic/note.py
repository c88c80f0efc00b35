"""A synthetic discharge summary: the hospital course holds the evidence for the label, among negations and noise."""

import random
import textwrap
from dataclasses import dataclass

from data_prep.clinic.vocabulary import BACKGROUND, CC, COMORBIDITIES, FAMILIES, MCC, NEITHER, Family


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


OPENINGS = (
    "{Mr} ___ is a ___ year old {man} who was admitted with {p}.",
    "{Mr} ___ was admitted with {p} and stayed for {k} days.",
    "This ___ year old {man} came to the emergency room and was admitted with {p}.",
    "The patient felt unwell for {n} days and was admitted with {p}.",
)
OPENING_AFTER_HISTORY = "{Mr} ___ is a ___ year old {man} with a history of {other} who was admitted with {p}."
FOUND = (
    "The stay was complicated by {c}.",
    "On day {n} {he} developed {c} and was treated.",
    "Tests on day {n} confirmed {c}.",
    "{He} was also treated for {c}.",
)
NOT_FOUND = (
    "There was no evidence of {c}.",
    "The team considered {c} but ruled it out.",
    "{He} has a history of {c} in the past.",
    "The workup for {c} was negative.",
)
NOT_THE_REASON = ("The first concern was {p}, which was excluded.", "A consult found no sign of {p}.")
FILLERS = (
    "Pain was controlled with {drug} as needed.",
    "{He} was given fluids and {drug} on day {n}.",
    "{Drug} was started and later stopped.",
    "The home dose of {drug} was continued.",
    "{He} was able to eat a regular diet by day {n}.",
    "Vital signs were stable and {he} had no fever.",
    "The {team} team saw the patient and agreed with the plan.",
    "{Team} was consulted and asked for an {image} of the {part}.",
    "An {image} of the {part} was normal.",
    "An {image} of the {part} showed no change.",
    "Daily labs were drawn and remained stable.",
    "The white count was {k} on arrival and {n} at discharge.",
    "{He} worked with physical therapy and walked {k} steps.",
    "The family was updated on day {n} and had no questions.",
    "{He} slept well and felt better each day.",
    "The {part} was examined daily and looked well.",
    "Heparin was given to prevent clots.",
    "{He} was weaned to room air on day {n}.",
    "A line was placed on day {n} and removed before discharge.",
    "Home {drug} was held for {n} days and then restarted.",
    "{He} takes {drug} for {b}, which was continued.",
    "The plan is to see {team} in {n} weeks.",
)
CLOSINGS = (
    "{He} was discharged home in stable condition.",
    "{He} went to rehab in good condition.",
    "{He} left in stable condition with follow up in {n} weeks.",
)
WORDS = {
    "n": ("two", "three", "four", "five", "six", "seven"),
    "k": ("eight", "nine", "ten", "eleven", "twelve"),
    "drug": ("aspirin", "metoprolol", "lisinopril", "insulin", "furosemide", "ceftriaxone", "morphine", "omeprazole"),
    "team": ("cardiology", "surgery", "renal", "neurology", "nutrition", "pharmacy", "medicine", "orthopedics"),
    "image": ("ultrasound", "x-ray", "MRI", "exam"),
    "part": ("chest", "abdomen", "head", "neck", "back", "leg"),
    "b": tuple(BACKGROUND),
}
WRAP = 70
STUBS = ("Mg-1.___", "Mg-2.___", "COUNT-___", "TRF-___", "Gap-___")


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


def draw_case(rng: random.Random, family: Family) -> Case:
    """A patient of this family: a condition (the first ones are more frequent), perhaps a comorbidity, background."""
    conditions = list(family.conditions)
    condition = rng.choices(conditions, [1 / (rank + 2) for rank in range(len(conditions))])[0]
    severity = rng.choices((MCC, CC, NEITHER), (30, 32, 38))[0]
    comorbidity = None if severity == NEITHER else rng.choice(list(COMORBIDITIES[severity]))
    background = tuple(rng.sample(list(BACKGROUND), rng.choice((0, 1, 1, 2, 3))))
    return Case(family, condition, severity, comorbidity, background, family.female or rng.random() < 0.5)


def hospital_course(rng: random.Random, case: Case, words: float, short: bool = False) -> str:
    """A course of about `words` words (log-normal); a short one has at most 40."""
    other = rng.choice([f for f in FAMILIES if f is not case.family])
    another = rng.choice(list(other.conditions))
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


def discharge_summary(rng: random.Random, case: Case, course: str | None, words: float) -> str:
    """The whole note around a course; None gives a note that has none."""
    history = "\n".join(f"- {name}" for name in case.background) or "None."
    present = f"___ year old {'woman' if case.female else 'man'} who presents with {case.condition}."
    advice = wrapped(fillers(rng, case, words * 1.2))
    vitals = "T 98.6 HR ___ BP ___ RR 16 O2 98% RA"
    illness = wrapped(present + " " + fillers(rng, case, words * 0.6))
    if rng.random() < 0.3:
        illness += "\n \nIn the ED, initial vitals were: " + vitals + "\n" + wrapped(fillers(rng, case, words * 0.2))
    exam = f"{vitals}\nGeneral: alert\nLungs: clear\nHeart: regular\nAbdomen: soft"
    if rng.random() < 0.5:
        exam += f"\n \nDISCHARGE EXAM:\n{vitals}\nGeneral: walking, feels well"
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
        f"Chief Complaint:\n{rng.choice(('weakness', 'pain', 'feeling unwell', case.condition))}",
        f"Major Surgical or Invasive Procedure:\n{rng.choice(('None', 'none', '___ line placement'))}",
        f"History of Present Illness:\n{illness}",
        f"Past Medical History:\n{history}",
        "Social History:\n___",
        f"Family History:\n{rng.choice(('Non-contributory.', 'Mother with gout.', 'No heart disease.'))}",
        f"Physical Exam:\n{exam}",
    ]
    if course is None:
        parts.append(f"Pertinent Results:\n{results}")
    elif stub:
        parts.append(f"Pertinent Results:\n{results}\n\n{wrapped(course)}")
    else:
        parts += [f"Pertinent Results:\n{results}", f"{heading}\n{wrapped(course)}"]
    if medications:
        parts.append(f"{medications}\n{drugs}")
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
