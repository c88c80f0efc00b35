"""MIMIC-IV to DeepICD-R1's task: admission note -> first ICD-10-CM diagnosis, as parquet for verl and for SFT.

    python -m data_prep.icd --hosp MIMIC/hosp --note MIMIC/note --out data

OUT/icd/{train,val,test}.parquet (70:10:20), codes.txt (every code that may be answered: the labels and MIMIC's own
ICD-10 codes; the reward's option extra_codes), labels.json (the label set at chapter, category and code level) and
manifest.json. extra_info.note is the admission note as the prompt has it.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from commands import UserError, parser, run, sha256, whole_folder
from data_prep import admission, budget, manifest, mimic, prompts, rows, schema, splits
from reward_fns import icd10

SHARES = {"train": 70, "test": 20, "val": 10}
SPLITS = {"stratified": splits.stratified, "patient": splits.patient}
NIL = "NIL"  # the class of every prediction outside the label set
ROW_GROUP = 10_000
WRITERS = 2  # files written at once: compression takes most of the time
# What the paper counts, on hosp 2.0 and Note 2.2.
PAPER = {"cases": 93_142, "train": 65_228, "test": 18_654, "val": 9_260, "codes": 6_368, "categories": 1_115,
         "chapters": 21}  # fmt: skip


class Cohort(NamedTuple):
    """The cases in the order of the notes, as columns."""

    hadm_id: np.ndarray
    subject_id: np.ndarray
    code: np.ndarray
    note: pa.ChunkedArray


def principal(hosp: Path, kept: manifest.Manifest) -> dict[int, str]:
    """The first diagnosis of every admission that is coded in ICD-10: seq_num 1, icd_version 10, without dot."""
    table = mimic.table(hosp, "diagnoses_icd", ("hadm_id", "seq_num", "icd_code", "icd_version"))
    kept.facts["releases"]["hosp"] = mimic.release({"diagnoses_icd": table.num_rows})
    first = table.filter(pc.equal(table["seq_num"], 1))
    kept.step("seq_num", table.num_rows, first.num_rows, "not the first diagnosis (seq_num 1)")
    ten = first.filter(pc.and_(pc.equal(first["icd_version"], 10), pc.is_valid(first["icd_code"])))
    kept.step("icd_version", first.num_rows, ten.num_rows, "not ICD-10")
    texts = ten["icd_code"].to_pylist()
    normal = {text: icd10.normalise(text) for text in set(texts)}
    shaped = {text: code for text, code in normal.items() if icd10.looks_like_code(code)}
    codes: dict[int, str] = {}
    others: set[int] = set()
    misshaped = 0
    for hadm_id, text in zip(ten["hadm_id"].to_pylist(), texts, strict=True):
        if (code := shaped.get(text)) is None:
            misshaped += 1
        elif codes.setdefault(hadm_id, code) != code:
            others.add(hadm_id)
    kept.step("code", ten.num_rows, ten.num_rows - misshaped, "does not have the shape of an ICD-10-CM code")
    kept.step("admissions", ten.num_rows - misshaped, len(codes), "a further row of the same admission")
    if others:
        kept.say(f"{len(others)} admissions have rows with different first diagnoses; the first row in the file counts")
    return codes


def cohort(hosp: Path, note: Path, mode: str, kept: manifest.Manifest) -> Cohort:
    """Every admission with a first ICD-10 diagnosis and an admission note, in the order of the notes."""
    codes = principal(hosp, kept)
    wanted = pa.array(codes, pa.int64())
    ids: list[tuple[int, int]] = []
    texts: list[pa.Array] = []
    seen: set[int] = set()
    total = coded = usable = 0
    for batch in mimic.notes(note, ("hadm_id", "subject_id", "text")):
        total += batch.num_rows
        batch = batch.filter(pc.is_in(batch.column(0), wanted))
        coded += batch.num_rows
        found = []
        for hadm_id, subject_id, text in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            body = admission.note(admission.find(text or "", mode))
            if body is None:
                continue
            usable += 1
            if hadm_id in seen:
                continue
            seen.add(hadm_id)
            ids.append((hadm_id, subject_id))
            found.append(body)
        texts.append(pa.array(found, pa.string()))
    kept.facts["releases"]["note"] = mimic.note_release(total)
    kept.step("first ICD-10 diagnosis", total, coded, "no first ICD-10 diagnosis for the admission")
    kept.step("admission note", coded, usable, f"{', '.join(admission.SECTIONS[: admission.NEEDED])}: all empty")
    kept.step("one note per admission", usable, len(ids), "a later note of the same admission")
    if not ids:
        raise UserError(f"no case is left of {note}; the counts above say where they were lost")
    bodies = pa.chunked_array(texts)
    if copies := len(ids) - pc.count_distinct(bodies).as_py():
        kept.say(f"{copies} admission notes equal an earlier one; they stay: the paper names no rule against them")
    hadm_ids, subject_ids = (np.array(column, np.int64) for column in zip(*ids, strict=True))
    return Cohort(hadm_ids, subject_ids, np.array([codes[hadm_id] for hadm_id, _ in ids]), bodies)


def labels(codes: list[str]) -> dict[str, list[str]]:
    """The label set of these codes at every level; NIL stands for what is predicted outside of it."""
    extra = frozenset(codes)
    chapters = sorted({icd10.chapter(code, extra) or NIL for code in codes} - {NIL}, key=int)
    return {
        "chapter": chapters,
        "category": [*sorted({icd10.category(code) for code in codes}), NIL],
        "code": [*sorted(extra), NIL],
    }


def answerable(hosp: Path, codes: list[str], kept: manifest.Manifest) -> list[str]:
    """The labels and the ICD-10 codes of MIMIC's dictionary, sorted."""
    table = mimic.table(hosp, "d_icd_diagnoses", ("icd_code", "icd_version"))
    own = table.filter(pc.equal(table["icd_version"], 10))["icd_code"].drop_null().to_pylist()
    known = {icd10.normalise(code) for code in own}
    odd = {code for code in known if not icd10.looks_like_code(code)}
    if odd:
        kept.say(f"{len(odd)} codes of d_icd_diagnoses do not have the shape of an ICD-10-CM code and are left out")
    if missing := set(codes) - known:
        kept.say(f"{len(missing)} of the labels are not in d_icd_diagnoses")
    return sorted((known - odd) | set(codes))


def divided(cases: Cohort, kind: str, kept: manifest.Manifest) -> dict[str, np.ndarray]:
    """Row numbers of every split, in the order of the notes."""
    parts, said = SPLITS[kind](cases.code, cases.subject_id, tuple(SHARES.values()))
    for sentence in said:
        kept.say(f"{', '.join(SHARES)}: {sentence}")
    found = {name: np.sort(part) for name, part in zip(SHARES, parts, strict=True)}
    for name, part in found.items():
        if not len(part):
            raise UserError(f"the {name} split of {len(cases.code)} cases is empty; prepare more notes")
    return found


def row_groups(
    name: str, cases: Cohort, chosen: np.ndarray, prompt: prompts.Prompt, fit: budget.Fit | None
) -> Iterator[pa.Table]:
    """The rows of one split, a row group at a time, so that memory does not grow with the tokenizer's work."""
    for start in range(0, len(chosen), ROW_GROUP):
        at = chosen[start : start + ROW_GROUP]
        notes = cases.note.take(pa.array(at)).combine_chunks()
        columns = rows.Cases(at, cases.hadm_id[at], cases.subject_id[at], notes, cases.code[at].tolist())
        yield rows.table("mimic_icd", name, columns, prompt, fit, schema.ICD)


def counting(groups: Iterator[pa.Table], bar: tqdm) -> Iterator[pa.Table]:
    """The same tables, each counted in a progress bar."""
    for group in groups:
        yield group
        bar.update(group.num_rows)


def counted(codes: np.ndarray) -> dict[str, int]:
    """Cases per code, most frequent first."""
    names, counts = np.unique(codes, return_counts=True)
    return {str(names[i]): int(counts[i]) for i in np.lexsort((names, -counts))}


def compare(cases: Cohort, parts: dict[str, np.ndarray], levels: dict[str, list[str]]) -> dict[str, Any]:
    """Our counts beside the paper's."""
    ours = {"cases": len(cases.code), **{name: len(part) for name, part in parts.items()}}
    ours |= {"codes": len(levels["code"]) - 1, "categories": len(levels["category"]) - 1}
    ours |= {"chapters": len(levels["chapter"])}
    for name, count in ours.items():
        print(f"{name:<28} {count:>9,}  the paper: {PAPER[name]:,}")
    return {name: {"ours": count, "paper": PAPER[name]} for name, count in ours.items()}


def main(argv: list[str] | None = None) -> None:
    arguments = parser(
        __doc__, "python -m data_prep.icd --hosp data/synthetic/hosp --note data/synthetic/note --out data"
    )
    arguments.add_argument("--hosp", type=Path, required=True, help="MIMIC-IV's hosp folder")
    arguments.add_argument("--note", type=Path, required=True, help="MIMIC-IV-Note's note folder")
    arguments.add_argument("--out", type=Path, required=True, help="DATA_DIR; files go to OUT/icd")
    arguments.add_argument(
        "--split", choices=list(SPLITS), default="stratified", help="by admission, or no patient in two splits"
    )
    arguments.add_argument(
        "--sections", choices=admission.MODES, default="fixed", help="how admission notes are cut out (default fixed)"
    )
    arguments.add_argument("--prompt-dir", type=Path, help="folder with prompt files of your own")
    budget.add_arguments(arguments, 2048)
    options = arguments.parse_args(argv)
    prompt = prompts.load("icd", options.prompt_dir)
    fit = budget.load(options.tokenizer, options.max_prompt_tokens)
    kept = manifest.Manifest("icd", {"command": manifest.command("data_prep.icd", argv), "releases": {}})
    cases = cohort(options.hosp, options.note, options.sections, kept)
    codes = sorted(set(cases.code.tolist()))
    levels, known = labels(codes), answerable(options.hosp, codes, kept)
    parts = divided(cases, options.split, kept)
    kept.facts["sections"] = options.sections
    kept.facts["split"] = {"kind": options.split, "seed": splits.SEED, "shares": SHARES}
    kept.facts["counts"] = compare(cases, parts, levels)
    kept.facts["labels"] = {name: counted(cases.code[part]) for name, part in parts.items()}
    kept.facts["prompts"] = prompts.hashes(options.prompt_dir)
    kept.facts["max_prompt_tokens"] = options.max_prompt_tokens if fit else None
    with whole_folder(options.out / "icd") as folder:
        with tqdm(total=len(cases.code), unit=" rows", desc="parquet") as bar, ThreadPoolExecutor(WRITERS) as pool:

            def write(name: str) -> None:
                groups = row_groups(name, cases, parts[name], prompt, fit)
                schema.write_parts(counting(groups, bar), folder / f"{name}.parquet", schema.ICD)

            list(pool.map(write, parts))
        for name, chosen in parts.items():
            kept.file(f"{name}.parquet", cases.hadm_id[chosen].tolist())
        (folder / "codes.txt").write_text("".join(f"{code}\n" for code in known), encoding="utf-8")
        (folder / "labels.json").write_text(json.dumps(levels, indent=1) + "\n", encoding="utf-8")
        kept.facts["sha256"] = {name: sha256(folder / name) for name in ("codes.txt", "labels.json")}
        kept.write(folder)
    print(", ".join(f"{len(part):,} {name}" for name, part in parts.items()) + f" rows in {options.out / 'icd'}")
    print(f"releases: hosp {kept.facts['releases']['hosp']}, note {kept.facts['releases']['note']}")


if __name__ == "__main__":
    run(main)
