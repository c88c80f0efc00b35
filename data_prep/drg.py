"""MIMIC-IV to the DRG-LLaMA cohort and DRG-Sapphire's samples, as parquet for verl and for SFT.

    python -m data_prep.drg --hosp MIMIC/hosp --note MIMIC/note --out data

OUT/drg/test.parquet, test_small.parquet, {rl,sft}/{cold,small,small_P,full_P}.parquet (P = SFT share in %) and
manifest.json. All files share one schema (data_prep.schema); SFT joins the completions from traces by hadm_id.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from commands import UserError, parser, run, whole_folder
from data_prep import budget, drg_titles, manifest, mimic, prompts, schema, sections, splits
from reward_fns.ms_drg import Drg

MIN_WORDS = 40  # courses must have more
MIN_CASES = 2  # of a title, in the cohort
MIN_SAMPLE_CASES = 5  # of a title, in the training rows, for the sub-samples
COLD_SHARE, SMALL_SHARE = 0.01, 0.2
PARTS = (90, 10)  # train and test, in %
SFT_SHARES = (50, 75, 90, 95)
TEST_SMALL = 500


class Case(NamedTuple):
    """One row of the cohort."""

    hadm_id: int
    subject_id: int
    course: str
    drg: Drg


def courses(note: Path, kept: manifest.Manifest) -> list[tuple[int, int, str]]:
    """hadm_id, subject_id and hospital course of every note that has one, by the cohort's rules, in file order."""
    seen: set[bytes] = set()
    found: list[tuple[int, int, str]] = []
    notes = with_course = long = 0
    for batch in mimic.notes(note, ("hadm_id", "subject_id", "text")):
        notes += batch.num_rows
        for hadm_id, subject_id, text in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            course = sections.hospital_course(text or "")
            if course is None:
                continue
            with_course += 1
            if len(course.split()) <= MIN_WORDS:
                continue
            long += 1
            digest = hashlib.blake2b(course.encode(), digest_size=16).digest()
            if digest in seen:
                continue
            seen.add(digest)
            found.append((hadm_id, subject_id, sections.unwrapped(course)))
    kept.facts["releases"]["note"] = mimic.note_release(notes)
    kept.step("hospital course", notes, with_course, "no hospital course found in the note")
    kept.step("length", with_course, long, f"{MIN_WORDS} words or fewer")
    kept.step("duplicates", long, len(found), "text equal to an earlier one")
    return found


def titles(hosp: Path, own: dict[str, str], kept: manifest.Manifest) -> dict[int, list[Drg]]:
    """The MS-DRGs of every admission: one, rarely two."""
    table = mimic.table(hosp, "drgcodes", ("hadm_id", "drg_type", "description"))
    kept.facts["releases"]["hosp"] = mimic.release({"drgcodes": table.num_rows})
    rows = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    hcfa = [(hadm_id, description or "") for hadm_id, kind, description in rows if (kind or "").strip() == "HCFA"]
    kept.step("drg_type", len(rows), len(hcfa), "not HCFA (= MS-DRG)")
    known = {description: drg_titles.match(description, own) for description in {row[1] for row in hcfa}}
    mapped: dict[int, list[Drg]] = {}
    for hadm_id, description in hcfa:
        if (drg := known[description]) is not None:
            mapped.setdefault(hadm_id, []).append(drg)
    unmapped = sum(drg is None for drg in known.values())
    after = sum(len(drgs) for drgs in mapped.values())
    kept.step("MS-DRG v34 title", len(hcfa), after, f"{unmapped} descriptions are no v34 title")
    return mapped


def cohort(hosp: Path, note: Path, own: dict[str, str], kept: manifest.Manifest) -> list[Case]:
    """The rows of the cohort in the order of the notes; an admission with two MS-DRG rows stays twice."""
    mapped = titles(hosp, own, kept)
    found = courses(note, kept)
    cases = [Case(*row, drg) for row in found for drg in mapped.get(row[0], ())]
    kept.step("join on hadm_id", len(found), len(cases), "no MS-DRG for the admission (one with two counts twice)")
    counts: dict[str, int] = {}
    for case in cases:
        counts[case.drg.title] = counts.get(case.drg.title, 0) + 1
    frequent = [case for case in cases if counts[case.drg.title] >= MIN_CASES]
    kept.step("cases of the title", len(cases), len(frequent), f"title with fewer than {MIN_CASES} cases")
    if not frequent:
        raise UserError(f"no case is left of {note}; the counts above say where they were lost")
    return frequent


def samples(
    labels: np.ndarray, train: splits.Rows, test: splits.Rows, kept: manifest.Manifest
) -> dict[str, splits.Rows]:
    """Row numbers of every file: test sets, cold start, DRG-Small, and the SFT and RL parts by SFT share."""
    files = {"test": test, "test_small": test}
    if len(test) > TEST_SMALL:
        order = np.random.RandomState(splits.SEED).permutation(len(test))
        files["test_small"] = test[np.sort(order[:TEST_SMALL])]
    frequent = np.isin(labels[train], [n for n, c in zip(*np.unique(labels[train], return_counts=True), strict=True)
                                       if c >= MIN_SAMPLE_CASES])  # fmt: skip
    eligible = train[frequent]
    kept.step("sub-samples", len(train), len(eligible), f"title with fewer than {MIN_SAMPLE_CASES} training cases")
    if not len(eligible):
        kept.say(f"no title has {MIN_SAMPLE_CASES} training cases; the sub-samples are drawn from all training rows")
        eligible = train
    cold = splits.draw(eligible, labels, COLD_SHARE)
    small = splits.draw(cold.rest, labels, SMALL_SHARE)
    for name, part in (("cold", cold), ("small", small)):
        kept.say(f"{name}: {part.said}" if part.said else "")
        files[f"sft/{name}"] = files[f"rl/{name}"] = part.drawn
    for name, rows in (("small", small.drawn), ("full", train)):
        for share in SFT_SHARES:
            rl = splits.draw(rows, labels, (100 - share) / 100)
            kept.say(f"{name}_{share}: {rl.said}" if rl.said else "")
            files[f"sft/{name}_{share}"], files[f"rl/{name}_{share}"] = rl.rest, rl.drawn
    return files


def table(cases: list[Case], test: set[int], prompt: prompts.Prompt, fit: budget.Fit | None) -> pa.Table:
    """All rows in the RL schema; row i is case i."""
    parts = []
    with tqdm(total=len(cases), unit=" rows", desc="prompts") as bar:
        for start in range(0, len(cases), 5000):
            chunk = cases[start : start + 5000]
            notes = [case.course for case in chunk]
            fitted = fit.notes(prompt, notes) if fit else [budget.Fitted(note, None, False) for note in notes]
            rows = [
                {
                    "data_source": "mimic_drg",
                    "prompt": prompts.fill(prompt, one.note),
                    "ability": "medical_coding",
                    "reward_model": {"style": "rule", "ground_truth": case.drg.title},
                    "extra_info": {
                        "index": index,
                        "split": "test" if index in test else "train",
                        "hadm_id": case.hadm_id,
                        "subject_id": case.subject_id,
                        "prompt_tokens": one.tokens,
                        "note_truncated": one.truncated,
                    },
                }
                for index, (case, one) in enumerate(zip(chunk, fitted, strict=True), start)
            ]
            parts.append(pa.Table.from_pylist(rows, schema=schema.RL))
            bar.update(len(chunk))
    return pa.concat_tables(parts)


def label_counts(cases: list[Case], rows: np.ndarray) -> dict[str, int]:
    """Cases per title, most frequent first."""
    names, counts = np.unique([cases[row].drg.title for row in rows], return_counts=True)
    return {str(names[i]): int(counts[i]) for i in np.lexsort((names, -counts))}


def main(argv: list[str] | None = None) -> None:
    arguments = parser(
        __doc__, "python -m data_prep.drg --hosp data/synthetic/hosp --note data/synthetic/note --out data"
    )
    arguments.add_argument("--hosp", type=Path, required=True, help="MIMIC-IV's hosp folder")
    arguments.add_argument("--note", type=Path, required=True, help="MIMIC-IV-Note's note folder")
    arguments.add_argument("--out", type=Path, required=True, help="DATA_DIR; files go to OUT/drg")
    arguments.add_argument(
        "--split", choices=list(splits.SPLITS), default="stable", help="by admission, or no patient on both sides"
    )
    arguments.add_argument("--drg-map", type=Path, help="CSV (raw_description, DRG_34_description) for other titles")
    arguments.add_argument("--prompt-dir", type=Path, help="folder with prompt files of your own")
    budget.add_arguments(arguments, 4096)
    options = arguments.parse_args(argv)
    prompt = prompts.load("drg", options.prompt_dir)
    fit = budget.load(options.tokenizer, options.max_prompt_tokens)
    kept = manifest.Manifest("drg", {"command": manifest.command("data_prep.drg", argv), "releases": {}})
    cases = cohort(options.hosp, options.note, drg_titles.read_map(options.drg_map), kept)
    labels = np.array([int(case.drg.number) for case in cases])
    (train, test), said = splits.SPLITS[options.split](labels, np.array([case.subject_id for case in cases]), PARTS)
    for sentence in said:
        kept.say(f"train and test: {sentence}")
    files = samples(labels, train, test, kept)
    rows = table(cases, set(test.tolist()), prompt, fit)
    kept.facts["split"] = {"kind": options.split, "seed": splits.SEED, "test_share": PARTS[1] / sum(PARTS)}
    kept.facts["labels"] = {"train": label_counts(cases, train), "test": label_counts(cases, test)}
    kept.facts["prompts"] = prompts.hashes(options.prompt_dir)
    kept.facts["max_prompt_tokens"] = options.max_prompt_tokens if fit else None
    with whole_folder(options.out / "drg") as folder:
        for name, chosen in tqdm(files.items(), unit=" files", desc="parquet"):
            schema.write(rows.take(pa.array(chosen)), folder / f"{name}.parquet")
            kept.file(f"{name}.parquet", [cases[row].hadm_id for row in chosen])
        kept.write(folder)
    print(f"{len(train):,} training and {len(test):,} test rows in {options.out / 'drg'}")
    print(f"releases: hosp {kept.facts['releases']['hosp']}, note {kept.facts['releases']['note']}")


if __name__ == "__main__":
    run(main)
