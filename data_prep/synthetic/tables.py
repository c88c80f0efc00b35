"""The rows of the hosp tables for one admission, with the quirks of the real ones."""

import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from common.files import beside
from data_prep.synthetic.admissions import Admission
from data_prep.synthetic.vocabulary import BACKGROUND, CC, COMORBIDITIES, FAMILIES, ICD9, MCC, NEITHER

SAY = beside(__file__)  # tables.yaml


def raw_description(rng: random.Random, title: str) -> str:
    """The title as billing systems print it: in shorthand, as another year has it, one in a hundred no DRG at all."""
    kind = rng.random()
    if kind < 0.01:
        return rng.choice(SAY["unmappable"])
    changes = SAY["shorter"] if kind < 0.03 else SAY["other years"] if kind < 0.15 else {}
    for ours, theirs in changes.items():
        title = title.replace(ours, theirs)
    if kind < 0.6:
        title = title.replace(" WITHOUT ", " W/O ").replace(" WITH ", " W ")
    if kind < 0.8:
        title = title.replace(" AND ", " & ")
    if 0.4 < kind < 0.7:
        title = title.replace("ALCOHOL DRUG", "ALCOHOL, DRUG").replace("ESOPHAGITIS GASTRO", "ESOPHAGITIS, GASTRO")
    return title


def in_icd9(seed: int, position: int, admission: Admission) -> bool:
    """Whether the admission is an older one, with diagnoses in ICD-9-CM."""
    return admission.case.family.base in ICD9 and random.Random(f"{seed}/icd/{position}").random() < 0.15


def hosp_rows(seed: int, position: int, admission: Admission) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """The rows of one admission: file name and values in the order of its columns."""
    rng = random.Random(f"{seed}/rows/{position}")
    case, ids = admission.case, (admission.subject_id, admission.hadm_id)
    emergency = rng.random() < 0.6
    yield "admissions", (
        *ids, admission.admitted, admission.discharged, "", "EW EMER." if emergency else "ELECTIVE",
        f"P{rng.randrange(10, 99)}ABC", "EMERGENCY ROOM" if emergency else "PHYSICIAN REFERRAL",
        rng.choice(("HOME", "REHAB", "SKILLED NURSING FACILITY")), rng.choice(("Medicare", "Medicaid", "Other")),
        "ENGLISH", rng.choice(("MARRIED", "SINGLE", "WIDOWED")), "UNKNOWN",
        admission.admitted - timedelta(hours=5) if emergency else "",
        admission.admitted - timedelta(hours=1) if emergency else "", 0,
    )  # fmt: skip
    severity = {MCC: 3, CC: 2, NEITHER: 1}[case.severity]
    space = " " if rng.random() < 0.2 else ""
    apr = case.family.base.title().replace(" And ", " & ")
    yield "drgcodes", (*ids, f"APR{space}", f"{case.family.number % 400 + 100}", apr, severity, severity)
    if admission.coded:
        number = f"{case.family.drg_number(case.severity):03d}"
        yield "drgcodes", (*ids, f"HCFA{space}", number, raw_description(rng, case.title), "", "")
    old = in_icd9(seed, position, admission)
    codes = [ICD9[case.family.base][0] if old else case.code]
    if not old:
        codes += [COMORBIDITIES[case.severity][case.comorbidity]] if case.comorbidity else []
        codes += [BACKGROUND[name] for name in case.background]
    rows = [(*ids, i, code.replace(".", ""), 9 if old else 10) for i, code in enumerate(codes, 1)]
    for row in [*rows, *(rows[-1:] if rng.random() < 0.002 else [])]:
        yield "diagnoses_icd", row


def d_icd_rows() -> Iterator[tuple[str, int, str]]:
    """The dictionary of the codes in use, with their official titles."""
    import simple_icd_10_cm  # reads the whole code set, which takes seconds

    codes = {code for family in FAMILIES for code in (family.conditions | family.rare).values()}
    codes |= {code for group in (*COMORBIDITIES.values(), BACKGROUND) for code in group.values()}
    for code, title in sorted(ICD9.values()):
        yield code, 9, title
    for code in sorted(codes):
        yield code.replace(".", ""), 10, simple_icd_10_cm.get_description(code)
