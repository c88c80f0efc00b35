"""Templated reasonings for a synthetic case, in the styles of the papers, with the habit of overlooking built in.

DRG: a sound trace names the condition, its base group, the comorbidity with its class, and the status. A trace that
overlooks says of a note with a comorbidity what is only true of one without, in the same words, and concludes the
family's lowest title. ICD: a sound trace names the group of the condition, what the note says beyond the group's most
frequent one, and the chapter; a trace that overlooks takes it for the most frequent one. Both are consistent with
themselves and wrong, as reasonings of language models can be.
"""

import random

from common.files import beside
from data_prep.synthetic.knobs import Knobs
from data_prep.synthetic.note import Case
from data_prep.synthetic.vocabulary import CC, FAMILIES, MCC, NEITHER, Family
from reward_fns.icd import icd10

STYLES = {"drg": ("cot_first", "answer_first", "differential"), "icd": ("oracle",)}

SAY = beside(__file__)  # trace.yaml


def write_trace(rng: random.Random, case: Case, style: str, knobs: Knobs) -> tuple[str, str]:
    """A reasoning in a style of either task, as STYLES has them, and the title or code that it ends with."""
    return _icd(rng, case, knobs.overlook) if style in STYLES["icd"] else _drg(rng, case, style, knobs)


def _icd(rng: random.Random, case: Case, overlook: float) -> tuple[str, str]:
    """The code stands at the end; with probability `overlook` it is that of the family's most frequent condition."""
    usual = next(iter(case.family.conditions))
    condition = usual if case.condition != usual and rng.random() < overlook else case.condition
    code = case.family.code(condition)
    detail = SAY["no detail"] if condition == usual else SAY["detail"].format(p=condition)
    arrival = rng.choice(SAY["arrival"]).format(base=case.family.base.lower())
    chapter = rng.choice(SAY["chapter"]).format(chapter=icd10.chapter(code))
    return f"{arrival} {detail} {chapter} {rng.choice(SAY['code']).format(code=code)}", code


def _drg(rng: random.Random, case: Case, style: str, knobs: Knobs) -> tuple[str, str]:
    """With probability `overlook` it misses a comorbidity that would have changed the title."""
    lowest = case.family.title(NEITHER)
    overlooked = case.title != lowest and rng.random() < knobs.overlook
    severity = NEITHER if overlooked else case.severity
    answer = case.family.title(severity)
    words = case.family.statuses[severity]
    # a base that is a whole title stands in lower case, so that a cot_first trace does not give the answer away early
    base = case.family.base if words else case.family.base.lower()
    stay = rng.choice(SAY["stay"]).format(p=case.condition, base=base)
    finding = SAY["nothing"] if severity == NEITHER else SAY["found"].format(c=case.comorbidity, severity=severity)
    status = rng.choice(SAY["status"]).format(status=words) if words else SAY["no status"]
    if knobs.answer_first and style == "cot_first" and rng.random() < knobs.answer_first:
        style = "answer_first"
    if knobs.asides and style != "differential":
        stay = " ".join([stay, *rng.sample(SAY["asides"], rng.randint(0, knobs.asides))])
    if style == "cot_first":
        return f"{stay} {finding} {status}", answer
    if style == "answer_first":
        return f"The DRG is {answer}. {stay} {finding} {status}", answer
    candidates = [answer, *alternatives(rng, case.family, answer)]
    rng.shuffle(candidates)
    listed = ", ".join(f"[{title}]" for title in candidates)
    weighed = " ".join(weigh(title, case, severity, answer) for title in candidates)
    return f"Likely groups are {listed}. {weighed} {finding} The best supported is {answer}.", answer


def alternatives(rng: random.Random, family: Family, answer: str) -> list[str]:
    """Two other titles: a sibling where there is one, and a neighbour."""
    siblings = [title for title in family.titles() if title != answer]
    others = [f.title(rng.choice((MCC, CC, NEITHER))) for f in rng.sample(FAMILIES, 3) if f is not family]
    return ([rng.choice(siblings)] if siblings else others[1:2]) + others[:1]


def weigh(title: str, case: Case, severity: str, answer: str) -> str:
    """One sentence for or against a candidate."""
    if title == answer:
        return f"[{title}] has {case.condition} for it, little against it."
    if title in case.family.titles():
        return f"[{title}] has {case.condition} for it, the severity against it."
    return f"[{title}] has some findings for it, {case.condition} against it."
