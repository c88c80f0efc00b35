"""MIMIC-IV to DeepICD-R1's task: admission note -> first ICD-10-CM diagnosis, as parquet for verl and for SFT.

    python -m data_prep.icd --hosp MIMIC/hosp --note MIMIC/note --out data
    python -m data_prep.icd --texts notes.csv --labels codes.csv --out data    # a hospital's own, as they stand
    python -m data_prep.icd --hosp MIMIC/hosp --note MIMIC/note --out data --codes all    # sets of codes

OUT/icd/{train,val,test}.parquet (70:10:20), codes.txt (every code that may be answered: the labels and MIMIC's own
ICD-10 codes; the reward's option extra_codes), labels.json (the label set at chapter, category and code level) and
manifest.json. extra_info.note is the admission note as the prompt has it.
--codes all writes OUT/icd_set in its place: all ICD-10-CM codes of a stay as a set, from the admission note or with
--text discharge from the whole summary; no patient is in two splits.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from common.commands import UserError, run
from common.files import sha256
from data_prep import parquet
from data_prep.cohort import admission, helpers, mimic, own, splits
from data_prep.writing import manifest, preparation, rows
from reward_fns.icd import icd10
from reward_fns.icd_set.codes import JOINT, read

SHARES = {"train": 70, "test": 20, "val": 10}
SPLITS = {"stratified": splits.stratified, "patient": splits.patient}
WHOLE = "discharge"  # --text: the summary as it stands
NIL = "NIL"  # the class of every prediction outside the label set
# What the paper counts, on hosp 2.0 and Note 2.2.
PAPER = {"cases": 93_142, "train": 65_228, "test": 18_654, "val": 9_260, "codes": 6_368, "categories": 1_115,
         "chapters": 21}  # fmt: skip


def diagnoses(hosp: Path, kept: manifest.Manifest, all_codes: bool) -> dict[int, str]:
    """The first diagnosis of every admission that is coded in ICD-10, or all of them: icd_version 10, without dot."""
    table = mimic.table(hosp, "diagnoses_icd", ("hadm_id", "seq_num", "icd_code", "icd_version"))
    kept.facts["releases"]["hosp"] = mimic.release("diagnoses_icd", table.num_rows)
    first = table.sort_by([("hadm_id", "ascending"), ("seq_num", "ascending")]) if all_codes else table
    if not all_codes:
        first = table.filter(pc.equal(table["seq_num"], 1))
        kept.step("seq_num", table.num_rows, first.num_rows, "not the first diagnosis (seq_num 1)")
    ten = first.filter(pc.and_(pc.equal(first["icd_version"], 10), pc.is_valid(first["icd_code"])))
    kept.step("icd_version", first.num_rows, ten.num_rows, "not ICD-10")
    texts = ten["icd_code"].to_pylist()
    normal = {text: icd10.normalise(text) for text in set(texts)}
    shaped = {text: code for text, code in normal.items() if icd10.looks_like_code(code)}
    codes: dict[int, str] = {}
    others: set[int] = set()
    sets: dict[int, dict[str, None]] = {}
    misshaped = 0
    for hadm_id, text in zip(ten["hadm_id"].to_pylist(), texts, strict=True):
        if (code := shaped.get(text)) is None:
            misshaped += 1
        elif all_codes:
            sets.setdefault(hadm_id, {})[code] = None
        elif codes.setdefault(hadm_id, code) != code:
            others.add(hadm_id)
    kept.step("code", ten.num_rows, ten.num_rows - misshaped, "does not have the shape of an ICD-10-CM code")
    codes |= {hadm_id: JOINT.join(found) for hadm_id, found in sets.items()}
    kept.step("admissions", ten.num_rows - misshaped, len(codes), "a further row of the same admission")
    if others:
        kept.say(f"{len(others)} admissions have rows with different first diagnoses; the first row in the file counts")
    return codes


def admission_notes(batch: pa.RecordBatch, mode: str) -> pa.RecordBatch:
    """The admission notes of a batch of hadm_id, subject_id and text; one that says nothing of the stay is left out."""
    wanted = zip(batch.column(0).is_valid().to_pylist(), mimic.strings(batch.column(2)), strict=True)
    cut = str.strip if mode == WHOLE else partial(admission.note, mode=mode)
    notes = [(cut(text) or None) if coded else None for coded, text in wanted]
    columns = [batch.column(0), pc.fill_null(batch.column(1), mimic.NOBODY), pa.array(notes, pa.large_string())]
    return pa.record_batch(columns, ["hadm_id", "subject_id", "note"]).drop_null()


def cohort(hosp: Path, note: Path, mode: str, kept: manifest.Manifest, all_codes: bool = False) -> rows.Cohort:
    """Every admission with a first ICD-10 diagnosis, or any, and an admission note, in the order of the notes."""
    total = coded = 0
    with mimic.notes_ahead(note, ("hadm_id", "subject_id", "text")) as batches:

        def with_code() -> Iterator[pa.RecordBatch]:
            nonlocal total, coded
            for batch in batches:
                ids = [hadm_id if hadm_id in codes else None for hadm_id in batch.column(0).to_pylist()]
                total, coded = total + len(ids), coded + len(ids) - ids.count(None)
                yield batch.set_column(0, "hadm_id", pa.array(ids, pa.int64()))  # to take the texts out would copy all

        workers = helpers.wanted(note / mimic.DISCHARGE)
        noted = helpers.each(with_code(), partial(admission_notes, mode=mode), workers)
        codes = diagnoses(hosp, kept, all_codes)
        found = list(noted)
    kept.facts["releases"]["note"] = mimic.release("discharge", total)
    what = "ICD-10 diagnosis" if all_codes else "first ICD-10 diagnosis"
    kept.step(what, total, coded, f"no {what} for the admission")
    usable = sum(batch.num_rows for batch in found)
    needed = "text" if mode == WHOLE else ", ".join(admission.SECTIONS[: admission.NEEDED])
    kept.step("admission note", coded, usable, f"{needed}: all empty")
    if not usable:
        raise UserError(f"no case is left of {note}; the counts above say where they were lost")
    cases = pa.Table.from_batches(found)
    first = np.sort(np.unique(cases["hadm_id"].to_numpy(), return_index=True)[1])
    kept.step("one note per admission", usable, len(first), "a later note of the same admission")
    if len(first) < usable:
        cases = cases.take(pa.array(first))
    if copies := len(first) - pc.count_distinct(cases["note"]).as_py():
        kept.say(f"{copies} admission notes equal an earlier one; they stay: the paper names no rule against them")
    hadm_id, subject_id = (cases[name].to_numpy() for name in ("hadm_id", "subject_id"))
    code = np.array([codes[each] for each in hadm_id.tolist()])
    return rows.Cohort(hadm_id, subject_id, code, np.arange(len(code)), cases["note"].combine_chunks(), str)


def labels(codes: list[str]) -> dict[str, list[str]]:
    """The label set of these codes at every level; NIL stands for what is predicted outside of it."""
    extra = frozenset(codes)
    chapters = sorted({icd10.chapter(code, extra) or NIL for code in codes} - {NIL}, key=int)
    return {
        "chapter": chapters,
        "category": [*sorted({icd10.category(code) for code in codes}), NIL],
        "code": [*sorted(extra), NIL],
    }


def own_codes(label: str) -> str | None:
    """The codes of a user's own label; None where one of them has not the shape of one."""
    found = read(label)
    return JOINT.join(dict.fromkeys(found)) if found else None


def own_code(label: str) -> str | None:
    """The code that a user's own label is; None where it has not the shape of one."""
    code = icd10.normalise(label)
    return code if icd10.looks_like_code(code) else None


def answerable(hosp: Path | None, codes: list[str], kept: manifest.Manifest) -> list[str]:
    """The labels and, with MIMIC-IV, the ICD-10 codes of its dictionary, sorted."""
    if hosp is None:
        return codes
    table = mimic.table(hosp, "d_icd_diagnoses", ("icd_code", "icd_version"))
    own = table.filter(pc.equal(table["icd_version"], 10))["icd_code"].drop_null().to_pylist()
    known = {icd10.normalise(code) for code in own}
    if odd := {code for code in known if not icd10.looks_like_code(code)}:
        kept.say(f"{len(odd)} codes of d_icd_diagnoses do not have the shape of an ICD-10-CM code and are left out")
    if missing := set(codes) - known:
        kept.say(f"{len(missing)} of the labels are not in d_icd_diagnoses")
    return sorted((known - odd) | set(codes))


def main(argv: list[str] | None = None) -> None:
    p = preparation.flags(__doc__, "icd", 2048)
    p.add_argument("--split", choices=SPLITS, help="by admission (default), or no patient in two splits (sets: always)")
    p.add_argument("--codes", choices=("principal", "all"), default="principal", help="of a stay (default principal)")
    p.add_argument("--text", choices=("admission", WHOLE), default="admission", help="of MIMIC-IV (default admission)")
    p.add_argument("--sections", choices=admission.MODES, default="fixed", help="how notes are cut (default fixed)")
    options = p.parse_args(argv)
    sets = options.codes == "all"
    if sets and options.split == "stratified":
        raise UserError("--split stratified is by the one code of a stay; with --codes all leave it out")
    if options.text == WHOLE and not sets:
        raise UserError("--text discharge names the principal diagnosis; it is for --codes all")
    split = options.split or ("patient" if sets else "stratified")
    task = "icd_set" if sets else "icd"
    loaded = preparation.load(task, options, argv, "icd")
    kept = loaded.kept
    if options.text == WHOLE:
        kept.facts["sections"] = WHOLE
    if options.texts:
        cases = own.cohort(options.texts, options.labels, own_codes if sets else own_code, str, 1, kept)
    else:
        cases = cohort(options.hosp, options.note, WHOLE if options.text == WHOLE else options.sections, kept, sets)
    codes = sorted({code for label in set(cases.label.tolist()) for code in label.split(JOINT)})
    levels, known = labels(codes), answerable(options.hosp, codes, kept)
    parts = preparation.divided(SPLITS[split], cases, SHARES, options.texts or options.note, kept)
    parts = {name: np.sort(part) for name, part in parts.items()}  # in the order of the notes
    kept.facts["split"] = {"kind": split, "seed": splits.SEED, "shares": SHARES}
    counts = {"cases": len(cases.label), **{name: len(part) for name, part in parts.items()}}
    counts |= {"codes": len(codes), "categories": len(levels["category"]) - 1, "chapters": len(levels["chapter"])}
    preparation.compare(counts, {} if sets else PAPER, kept)
    with preparation.written(options.out / task, f"mimic_{task}", cases, parts, loaded, parquet.ICD) as folder:
        (folder / "codes.txt").write_text("".join(f"{code}\n" for code in known), encoding="utf-8")
        (folder / "labels.json").write_text(json.dumps(levels, indent=1) + "\n", encoding="utf-8")
        kept.facts["sha256"] = {name: sha256(folder / name) for name in ("codes.txt", "labels.json")}
    preparation.say_where(options.out / task, {name: len(part) for name, part in parts.items()}, kept)


if __name__ == "__main__":
    run(main)
