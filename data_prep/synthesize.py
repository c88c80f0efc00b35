"""Write a synthetic MIMIC-IV: the real folders, files, columns and quirks, no real patient, and reasoning traces.

    python -m data_prep.synthesize --out data/synthetic --notes 4000 --words 100 --seed 0

OUT/hosp/*.csv.gz, OUT/note/discharge.csv.gz, OUT/traces.parquet; the same arguments give the same bytes. --dialogues N
writes in their place N conversations of a clinic with their notes, OUT/{train,valid,test}.csv, for
data_prep.clinical_notes.

The labels are in the text. Each hospital course names a principal condition (the base DRG) and perhaps a comorbidity
(the status), the present illness names the condition (the ICD-10-CM code), among negated and past ones. The traces are
NOT all right: the share --overlook of those that could misses the comorbidity, or the detail that sets the code apart
from the most frequent one of its kind, and concludes, consistently with itself, with the family's lowest title or that
code (accepted = False). Traces written by language models contain this kind of error; SFT on unfiltered traces learns
it and reinforcement learning can unlearn it. --overlook 0 gives only right traces.

Four knobs make the DRG side less certain, as real cases are; at their defaults they change no byte. --rivals names
other reasons for admission beside the principal one: the k-th that is named is the principal one in proportion to 1/k,
and the note does not say which, so that answers learnt from such cases vary. --asides gives reasonings sentences that
they could do without. --answer-first lets a share of the traces of style cot_first begin with the answer. --tail sets
how much rarer each family is than the one before.
"""

import csv
import gzip
import io
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from tqdm import tqdm

from common.commands import UserError, parser, run
from common.files import own_folder
from data_prep import parquet
from data_prep.cohort.mimic import COLUMNS
from data_prep.synthetic import clinic, trace
from data_prep.synthetic.admissions import Admission, admissions
from data_prep.synthetic.corpus import write_corpus
from data_prep.synthetic.knobs import Knobs
from data_prep.synthetic.tables import d_icd_rows, hosp_rows, in_icd9


def note_rows(seed: int, position: int, admission: Admission, visit: int) -> Iterator[tuple[Any, ...]]:
    """The discharge summary and, now and then, an addendum to it."""
    rng = random.Random(f"{seed}/note/{position}")
    ids, stored = (admission.subject_id, admission.hadm_id), admission.discharged + timedelta(hours=rng.randint(1, 90))
    day = admission.discharged.replace(hour=0, minute=0)
    yield f"{ids[0]}-DS-{visit}", *ids, "DS", visit, day, stored, admission.text
    if rng.random() < 0.003:
        text = " \nAddendum:\nThe discharge papers were sent to the office of Dr. ___.\n"
        yield f"{ids[0]}-AD-{visit}", *ids, "AD", visit, day, stored, text


def trace_rows(seed: int, position: int, admission: Admission, knobs: Knobs) -> Iterator[dict[str, Any]]:
    """One trace per style: for DRG where there are a course and a title, for ICD where there is an ICD-10 code."""
    if admission.text is None:
        return
    golds = {"drg": admission.case.title} if admission.course is not None and admission.coded else {}
    if not in_icd9(seed, position, admission):
        golds["icd"] = admission.case.code
    for task, truth in golds.items():
        for style in trace.STYLES[task]:
            rng = random.Random(f"{seed}/trace/{style}/{position}")
            reasoning, answer = trace.write_trace(rng, admission.case, style, knobs)
            yield {
                "hadm_id": admission.hadm_id, "subject_id": admission.subject_id, "task": task, "style": style,
                "ground_truth": truth, "reasoning": reasoning, "answer": answer, "accepted": answer == truth,
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


def write(out: Path, notes: int, words: float, seed: int, knobs: Knobs) -> None:
    """Write all files below `out`."""
    with ExitStack() as stack:
        files = {}
        for name, columns in COLUMNS.items():
            path = out / ("note" if name == "discharge" else "hosp") / f"{name}.csv.gz"
            files[name] = stack.enter_context(csv_gz(path, columns))
        bar = stack.enter_context(tqdm(total=notes, unit=" notes", desc="synthesize"))
        traces: list[dict[str, Any]] = []
        patient, visit = 0, 0
        for position, admission in enumerate(admissions(notes, words, seed, knobs)):
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
                files["discharge"].writerows(note_rows(seed, position, admission, visit))
                bar.update()
            traces += trace_rows(seed, position, admission, knobs)
        files["d_icd_diagnoses"].writerows(d_icd_rows())
    parquet.write(traces, out / "traces.parquet", parquet.TRACES)


def main(argv: list[str] | None = None) -> None:
    p = parser(__doc__)
    p.add_argument("--out", type=Path, required=True, help="folder to write: hosp/, note/, traces.parquet")
    p.add_argument("--notes", type=int, default=4000, help="discharge summaries (default 4000)")
    p.add_argument("--words", type=int, default=100, help="mean words of a hospital course (default 100)")
    p.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default 0)")
    p.add_argument(
        "--overlook", type=float, default=0.5,
        help="share of the traces with a decisive comorbidity or detail that overlook it and end in the lowest title "
        "or the most frequent code, accepted = False; reinforcement learning can unlearn that (default 0.5)",
    )  # fmt: skip
    p.add_argument(
        "--codiesp", action="store_true", help="write cases with all their codes, too, as CodiEsp's: codiesp/"
    )
    p.add_argument("--rivals", type=int, default=0, help="other reasons for admission that a course names (default 0)")
    p.add_argument("--asides", type=int, default=0, help="most needless sentences of a reasoning, 0 to 6 (default 0)")
    p.add_argument(
        "--answer-first",
        type=float,
        default=0.0,
        help="share of cot_first traces that begin with the answer (default 0)",
    )
    p.add_argument("--tail", type=float, default=1.0, help="a family's weight is 1 / (rank + 2) ** TAIL (default 1)")
    p.add_argument("--dialogues", type=int, default=0, help="instead of all that, so many conversations and notes")
    options = p.parse_args(argv)
    if options.dialogues:
        clinic.write(options.out, options.dialogues, options.seed)
        print(f"{options.dialogues:,} synthetic conversations in {options.out}")
        return
    if options.notes < 1:
        raise UserError(f"--notes {options.notes} is no number of notes; give 1 or more")
    if not 50 <= options.words <= 2000:
        raise UserError(f"--words {options.words} is not between 50 and 2000; shorter courses fall out of the cohort")
    if not 0 <= options.overlook <= 1:
        raise UserError(f"--overlook {options.overlook} is no share; give a number from 0 to 1")
    if not 0 <= options.answer_first <= 1:
        raise UserError(f"--answer-first {options.answer_first} is no share; give a number from 0 to 1")
    if not (0 <= options.rivals <= 4 and 0 <= options.asides <= 6 and 0 <= options.tail <= 4):
        raise UserError("--rivals must be from 0 to 4, --asides from 0 to 6 and --tail from 0 to 4")
    knobs = Knobs(options.overlook, options.rivals, options.tail, options.asides, options.answer_first)
    with own_folder(options.out) as folder:
        write(folder, options.notes, options.words, options.seed, knobs)
        if options.codiesp:
            write_corpus(folder / "codiesp", options.notes, options.words, options.seed)
    print(f"{options.notes:,} synthetic notes in {options.out}")


if __name__ == "__main__":
    run(main)
