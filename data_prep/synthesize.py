"""Write a synthetic MIMIC-IV: the real folders, files, columns and quirks, no real patient, and reasoning traces.

    python -m data_prep.synthesize --out data/synthetic --notes 4000 --words 100 --seed 0

OUT/hosp/*.csv.gz, OUT/note/discharge.csv.gz, OUT/traces.parquet; the same arguments give the same bytes.

The label is in the text: each hospital course names a principal condition (the base DRG) and perhaps a comorbidity (the
status), among negated and past ones. The traces are NOT all right: of those whose note carries a comorbidity that
changes the title, the share --overlook misses it and concludes, consistently with itself, with the family's lowest
title (accepted = False). Traces written by language models contain this kind of error; SFT on unfiltered traces learns
it and reinforcement learning can unlearn it. --overlook 0 gives only right traces.
"""

import csv
import gzip
import io
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tqdm import tqdm

from commands import UserError, parser, run, whole_folder
from data_prep import schema
from data_prep.clinic import note, trace
from data_prep.clinic.vocabulary import BACKGROUND, CC, COMORBIDITIES, FAMILIES, ICD9, MCC, NEITHER, Family
from data_prep.mimic import HOSP, NOTE

WEIGHTS = [1 / (rank + 2) for rank in range(len(FAMILIES))]
# Descriptions of HCFA rows that are no MS-DRG v34 title: of other versions, or of none.
UNMAPPABLE = (
    "NASAL TRAUMA & DEFORMITY W CC",
    "UNRELATED OPERATING ROOM EPISODE",
    "OTHER FACTORS INFLUENCING RECOVERY",
)
SHORTER = {
    "CHRONIC OBSTRUCTIVE PULMONARY DISEASE": "CHR OBSTRUCTIVE PULM DISEASE",
    "HEART FAILURE": "HEART FAIL",
    "HEMORRHAGE": "HEMORR",
    "INFECTIONS": "INFECT",
    "DISORDERS": "DISORD",
    "REPLACEMENT": "REPLAC",
    "PNEUMONIA": "PNEUM",
}


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


def admissions(notes: int, words: float, seed: int) -> Iterator[Admission]:
    """Admissions, patient by patient, until `notes` of them have a note."""
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
            family = draw_family(rng, previous)
            case = note.draw_case(rng, family)
            if previous is not None:
                case = replace(case, female=previous.case.female)
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


def draw_family(rng: random.Random, previous: Admission | None) -> Family:
    """A family, often the same again for a patient who returns; obstetric ones are left to women."""
    if previous is not None and rng.random() < 0.2:
        return previous.case.family
    allowed = [previous is None or previous.case.female or not family.female for family in FAMILIES]
    return rng.choices(FAMILIES, [weight * ok for weight, ok in zip(WEIGHTS, allowed, strict=True)])[0]


def raw_description(rng: random.Random, title: str) -> str:
    """The title as billing systems print it; some are beyond simple normalisation, one in a hundred is no DRG."""
    kind = rng.random()
    if kind < 0.01:
        return rng.choice(UNMAPPABLE)
    if kind < 0.03:
        for long, short in SHORTER.items():
            title = title.replace(long, short)
    if kind < 0.6:
        title = title.replace(" WITHOUT ", " W/O ").replace(" WITH ", " W ")
    if kind < 0.8:
        title = title.replace(" AND ", " & ")
    if 0.4 < kind < 0.7:
        title = title.replace("ALCOHOL DRUG", "ALCOHOL, DRUG").replace("ESOPHAGITIS GASTRO", "ESOPHAGITIS, GASTRO")
    return title


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
    old = case.family.base in ICD9 and rng.random() < 0.15
    codes = [ICD9[case.family.base][0] if old else case.family.conditions[case.condition]]
    if not old:
        codes += [COMORBIDITIES[case.severity][case.comorbidity]] if case.comorbidity else []
        codes += [BACKGROUND[name] for name in case.background]
    rows = [(*ids, i, code.replace(".", ""), 9 if old else 10) for i, code in enumerate(codes, 1)]
    for row in [*rows, *(rows[-1:] if rng.random() < 0.002 else [])]:
        yield "diagnoses_icd", row


def d_icd_rows() -> Iterator[tuple[str, int, str]]:
    """The dictionary of the codes in use, with their official titles."""
    import simple_icd_10_cm  # reads the whole code set, which takes seconds

    codes = {code for family in FAMILIES for code in family.conditions.values()}
    codes |= {code for group in (*COMORBIDITIES.values(), BACKGROUND) for code in group.values()}
    for code, title in sorted(ICD9.values()):
        yield code, 9, title
    for code in sorted(codes):
        yield code.replace(".", ""), 10, simple_icd_10_cm.get_description(code)


def note_rows(seed: int, position: int, admission: Admission, visit: int) -> Iterator[tuple[Any, ...]]:
    """The discharge summary and, now and then, an addendum to it."""
    rng = random.Random(f"{seed}/note/{position}")
    ids, stored = (admission.subject_id, admission.hadm_id), admission.discharged + timedelta(hours=rng.randint(1, 90))
    day = admission.discharged.replace(hour=0, minute=0)
    yield f"{ids[0]}-DS-{visit}", *ids, "DS", visit, day, stored, admission.text
    if rng.random() < 0.003:
        text = " \nAddendum:\nThe discharge papers were sent to the office of Dr. ___.\n"
        yield f"{ids[0]}-AD-{visit}", *ids, "AD", visit, day, stored, text


def trace_rows(seed: int, position: int, admission: Admission, overlook: float) -> Iterator[dict[str, Any]]:
    """One trace per style for an admission with a course and a title."""
    if admission.course is None or admission.text is None or not admission.coded:
        return
    for style in trace.STYLES:
        rng = random.Random(f"{seed}/trace/{style}/{position}")
        written = trace.write_trace(rng, admission.case, style, overlook)
        truth = admission.case.title
        yield {
            "hadm_id": admission.hadm_id, "subject_id": admission.subject_id, "task": "drg", "style": style,
            "ground_truth": truth, "reasoning": written.reasoning, "answer": written.answer,
            "accepted": written.answer == truth,
        }  # fmt: skip


@contextmanager
def csv_gz(path: Path, columns: tuple[str, ...]) -> Iterator[Any]:
    """A csv writer into a gzip file whose bytes depend on nothing but its rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        open(path, "wb") as raw,
        gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="") as text,
    ):
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        yield writer


def write(out: Path, notes: int, words: float, seed: int, overlook: float) -> None:
    """Write all files below `out`."""
    with ExitStack() as stack:
        files = {name: stack.enter_context(csv_gz(out / "hosp" / f"{name}.csv.gz", HOSP[name])) for name in HOSP}
        discharge = stack.enter_context(csv_gz(out / "note" / "discharge.csv.gz", NOTE["discharge"]))
        bar = stack.enter_context(tqdm(total=notes, unit=" notes", desc="synthesize"))
        traces: list[dict[str, Any]] = []
        patient, visit = 0, 0
        for position, admission in enumerate(admissions(notes, words, seed)):
            if admission.subject_id != patient:
                patient, visit = admission.subject_id, 0
                rng = random.Random(f"{seed}/patient/{patient}")
                gender = "F" if admission.case.female else "M"
                year = admission.admitted.year
                files["patients"].writerow((patient, gender, rng.randint(20, 88), year, "2014 - 2016", ""))
            for name, row in hosp_rows(seed, position, admission):
                files[name].writerow(row)
            if admission.text is not None:
                visit += 1
                for row in note_rows(seed, position, admission, visit):
                    discharge.writerow(row)
                bar.update()
            traces += trace_rows(seed, position, admission, overlook)
        files["d_icd_diagnoses"].writerows(d_icd_rows())
    schema.write_traces(traces, out / "traces.parquet")


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__, "python -m data_prep.synthesize --out data/synthetic --notes 4000 --words 90 --seed 0")
    arguments.add_argument("--out", type=Path, required=True, help="folder to write: hosp/, note/, traces.parquet")
    arguments.add_argument("--notes", type=int, default=4000, help="discharge summaries (default 4000)")
    arguments.add_argument("--words", type=int, default=100, help="mean words of a hospital course (default 100)")
    arguments.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default 0)")
    arguments.add_argument(
        "--overlook", type=float, default=0.5,
        help="share of the traces of notes with a decisive comorbidity that overlook it and end in the family's lowest "
        "title, accepted = False; the habit that reinforcement learning unlearns (default 0.5)",
    )  # fmt: skip
    options = arguments.parse_args(argv)
    if options.notes < 1:
        raise UserError(f"--notes {options.notes} is no number of notes; give 1 or more")
    if not 50 <= options.words <= 2000:
        raise UserError(f"--words {options.words} is not between 50 and 2000; shorter courses fall out of the cohort")
    if not 0 <= options.overlook <= 1:
        raise UserError(f"--overlook {options.overlook} is no share; give a number from 0 to 1")
    with whole_folder(options.out) as folder:
        write(folder, options.notes, options.words, options.seed, options.overlook)
    print(f"{options.notes:,} synthetic notes in {options.out}")


if __name__ == "__main__":
    run(main)
