"""MIMIC-IV to the DRG-LLaMA cohort and DRG-Sapphire's samples, as parquet for verl and for SFT.

    python -m data_prep.drg --hosp MIMIC/hosp --note MIMIC/note --out data

OUT/drg/test.parquet, test_small.parquet, {rl,sft}/{cold,small,small_P,full_P}.parquet (P = SFT share in %),
descriptions.csv (how each MS-DRG description was read, the unread ones first, in the form of --drg-map) and
manifest.json. All parquet files share one schema (data_prep.schema); SFT joins the completions from traces by hadm_id.
"""

import hashlib
from argparse import Namespace
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from commands import UserError, parser, run, whole_folder
from data_prep import budget, drg_titles, manifest, mimic, prompts, rows, schema, sections, splits
from reward_fns import ms_drg
from reward_fns.ms_drg import Drg

MIN_WORDS = 40  # courses must have more
ENOUGH = 600  # letters that hold that many words, nearly always
MIN_CASES = 2  # of a title, in the cohort
MIN_SAMPLE_CASES = 5  # of a title, in the training rows, for the sub-samples
PARTS = (90, 10)  # train and test, in %
COLD_SHARE, SMALL_SHARE = 0.01, 0.2
SFT_SHARES = (50, 75, 90, 95)
TEST_SMALL = 500
ROW_GROUP = 10_000
WRITERS = 2  # files written at once: compression takes most of the time, and memory grows with them
REVIEW = "descriptions.csv"
# What the papers count, on hosp 2.0 and Note 2.2.
PAPER = {"train": 236_192, "test": 26_244, "titles": 738, "cold": 2_362, "small": 46_758}


class Cohort(NamedTuple):
    """The rows in the order of the notes, as columns; `at` is the place of a row's course among the courses."""

    hadm_id: np.ndarray
    subject_id: np.ndarray
    number: np.ndarray
    at: np.ndarray
    courses: pa.Array

    def titles(self, chosen: splits.Rows) -> list[str]:
        return [TITLES[number] for number in self.number[chosen].tolist()]


TITLES = {int(drg.number): drg.title for drg in ms_drg.DRGS}


def courses(note: Path, rules: str, kept: manifest.Manifest) -> tuple[list[tuple[int, int]], pa.Array]:
    """hadm_id and subject_id, and the hospital course, of every note that has one, in file order."""
    seen: set[bytes] = set()
    ids: list[tuple[int, int]] = []
    texts: list[pa.Array] = []
    notes = with_course = long = 0
    for batch in mimic.notes(note, ("hadm_id", "subject_id", "text")):
        notes += batch.num_rows
        found = []
        for hadm_id, subject_id, text in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            course = sections.hospital_course(text or "", rules)
            if course is None:
                continue
            with_course += 1
            flat = sections.unwrapped(course)
            if flat.count(" ", 0, ENOUGH) < MIN_WORDS and flat.count(" ") < MIN_WORDS:  # a space less than words
                continue
            long += 1
            digest = hashlib.blake2b(course.encode(), digest_size=16).digest()
            if digest in seen:
                continue
            seen.add(digest)
            ids.append((hadm_id, subject_id))
            found.append(flat)
        texts.append(pa.array(found, pa.large_string()))
    kept.facts["releases"]["note"] = mimic.note_release(notes)
    kept.step("hospital course", notes, with_course, "no hospital course found in the note")
    kept.step("length", with_course, long, f"{MIN_WORDS} words or fewer")
    kept.step("duplicates", long, len(ids), "text equal to an earlier one")
    return ids, pa.chunked_array(texts, pa.large_string()).combine_chunks()


def drgs(hosp: Path, titles: drg_titles.Titles, kept: manifest.Manifest) -> dict[int, list[Drg]]:
    """The MS-DRGs of every admission: one, rarely two."""
    table = mimic.table(hosp, "drgcodes", ("hadm_id", "drg_type", "drg_code", "description"))
    kept.facts["releases"]["hosp"] = mimic.release({"drgcodes": table.num_rows})
    every = zip(*(column.to_pylist() for column in table.columns), strict=True)
    hcfa = [row for row in every if row[0] is not None and (row[1] or "").strip() == "HCFA"]
    kept.step("drg_type", table.num_rows, len(hcfa), "not HCFA (= MS-DRG)")
    mapped: dict[int, list[Drg]] = {}
    for hadm_id, _, number, description in hcfa:
        if (drg := titles.find(description or "", number or "")) is not None:
            mapped.setdefault(hadm_id, []).append(drg)
    after = sum(map(len, mapped.values()))
    kept.step("MS-DRG v34 title", len(hcfa), after, f"{titles.unmapped()} descriptions are no v34 title, see {REVIEW}")
    kept.facts["titles_found_by"] = titles.counts()
    several = [found for found in mapped.values() if len(found) > 1]
    if several:
        other = sum(len(set(found)) > 1 for found in several)
        kept.say(
            f"{len(several)} admissions have several MS-DRG rows, {other} of them with different titles: each row is a "
            "case of its own, as in DRG-LLaMA's join"
        )
    return mapped


def cohort(options: Namespace, titles: drg_titles.Titles, kept: manifest.Manifest) -> Cohort:
    """The rows of the cohort in the order of the notes; an admission with two MS-DRG rows stays twice."""
    mapped = drgs(options.hosp, titles, kept)
    ids, texts = courses(options.note, options.sections, kept)
    cases = [(*row, int(drg.number), at) for at, row in enumerate(ids) for drg in mapped.get(row[0], ())]
    kept.step("join on hadm_id", len(ids), len(cases), "no MS-DRG for the admission (one with two counts twice)")
    columns = np.array(cases, np.int64).reshape(len(cases), 4).T
    names, counts = np.unique(columns[2], return_counts=True)
    columns = columns[:, np.isin(columns[2], names[counts >= MIN_CASES])]
    kept.step("cases of the title", len(cases), columns.shape[1], f"title with fewer than {MIN_CASES} cases")
    if not columns.shape[1]:
        raise UserError(f"no case is left of {options.note}; the counts above say where they were lost")
    return Cohort(*columns, texts)


def divided(kind: str, cases: Cohort, note: Path, kept: manifest.Manifest) -> tuple[splits.Rows, splits.Rows]:
    """Train and test rows."""
    (train, test), said = splits.SPLITS[kind](cases.number, cases.subject_id, PARTS)
    for sentence in said:
        kept.say(f"train and test: {sentence}")
    if not len(train) or not len(test):
        raise UserError(f"{len(cases.number)} cases of {note} are too few for a train and a test set; give more notes")
    return train, test


def samples(
    labels: np.ndarray, train: splits.Rows, test: splits.Rows, small_shares: list[int], kept: manifest.Manifest
) -> dict[str, splits.Rows]:
    """Row numbers of every file: test sets, cold start, DRG-Small, and the SFT and RL parts by SFT share."""
    files = {"test": test, "test_small": test}
    if len(test) > TEST_SMALL:
        order = np.random.RandomState(splits.SEED).permutation(len(test))
        files["test_small"] = test[np.sort(order[:TEST_SMALL])]
    names, counts = np.unique(labels[train], return_counts=True)
    eligible = train[np.isin(labels[train], names[counts >= MIN_SAMPLE_CASES])]
    kept.step("sub-samples", len(train), len(eligible), f"title with fewer than {MIN_SAMPLE_CASES} training cases")
    if not len(eligible):
        kept.say(f"no title has {MIN_SAMPLE_CASES} training cases; the sub-samples are drawn from all training rows")
        eligible = train
    cold = splits.draw(eligible, labels, COLD_SHARE)
    small = splits.draw(cold.rest, labels, SMALL_SHARE)
    for name, part in (("cold", cold), ("small", small)):
        kept.say(f"{name}: {part.said}" if part.said else "")
        files[f"sft/{name}"] = files[f"rl/{name}"] = part.drawn
    for name, chosen, shares in (("small", small.drawn, small_shares), ("full", train, SFT_SHARES)):
        for share in shares:
            rl = splits.draw(chosen, labels, (100 - share) / 100)
            kept.say(f"{name}_{share}: {rl.said}" if rl.said else "")
            if len(rl.drawn) and len(rl.rest):
                files[f"sft/{name}_{share}"], files[f"rl/{name}_{share}"] = rl.rest, rl.drawn
    return files


class Fitted(NamedTuple):
    """The notes as the prompts have them, and what the tokenizer counted (None without one)."""

    notes: pa.Array
    tokens: pa.Array | None = None
    cut: pa.Array | None = None


def fitted(cases: Cohort, prompt: prompts.Prompt, fit: budget.Fit | None) -> Fitted:
    """Every course once, cut where the budget of the tokenizer demands it."""
    if fit is None:
        return Fitted(cases.courses)
    found: list[budget.Fitted] = []
    with tqdm(total=len(cases.courses), unit=" notes", desc="tokenizer") as bar:
        for start in range(0, len(cases.courses), 1000):
            found += fit.notes(prompt, cases.courses[start : start + 1000].to_pylist())
            bar.update(len(found) - bar.n)
    notes, tokens, cut = (pa.array(column) for column in zip(*found, strict=True))
    return Fitted(notes.cast(pa.large_string()), tokens, cut)


def row_groups(
    cases: Cohort, chosen: splits.Rows, split: str, texts: Fitted, prompt: prompts.Prompt
) -> Iterator[pa.Table]:
    """The rows of one file, a row group at a time: all files together would be many times the cohort."""
    for start in range(0, len(chosen), ROW_GROUP):
        part = chosen[start : start + ROW_GROUP]
        at = pa.array(cases.at[part])
        columns = rows.Cases(
            part, cases.hadm_id[part], cases.subject_id[part], texts.notes.take(at), cases.titles(part)
        )
        table = rows.table("mimic_drg", split, columns, prompt, None)
        if texts.tokens is not None:
            counted = {"prompt_tokens": texts.tokens.take(at), "note_truncated": texts.cut.take(at)}
            info = table["extra_info"].combine_chunks()
            fields = list(info.type)
            values = [counted.get(field.name, value) for field, value in zip(fields, info.flatten(), strict=True)]
            place = table.schema.get_field_index("extra_info")
            table = table.set_column(
                place, table.schema.field(place), pa.StructArray.from_arrays(values, fields=fields)
            )
        yield table


def label_counts(titles: list[str]) -> dict[str, int]:
    """Cases per title, most frequent first."""
    names, counts = np.unique(titles, return_counts=True)
    return {str(names[i]): int(counts[i]) for i in np.lexsort((names, -counts))}


def compare(cases: Cohort, files: dict[str, splits.Rows], train: splits.Rows) -> dict[str, Any]:
    """Our counts beside the papers'."""
    ours = {"train": len(train), "test": len(files["test"]), "titles": len(np.unique(cases.number))}
    ours |= {name: len(files[f"rl/{name}"]) for name in ("cold", "small")}
    for name, count in ours.items():
        print(f"{name:<28} {count:>9,}  the papers: {PAPER[name]:,}")
    return {name: {"ours": count, "paper": PAPER[name]} for name, count in ours.items()}


def parse(argv: list[str] | None) -> Namespace:
    arguments = parser(
        __doc__, "python -m data_prep.drg --hosp data/synthetic/hosp --note data/synthetic/note --out data"
    )
    arguments.add_argument("--hosp", type=Path, required=True, help="MIMIC-IV's hosp folder")
    arguments.add_argument("--note", type=Path, required=True, help="MIMIC-IV-Note's note folder")
    arguments.add_argument("--out", type=Path, required=True, help="DATA_DIR; files go to OUT/drg")
    arguments.add_argument(
        "--split", choices=list(splits.SPLITS), default="stable",
        help="published: the authors' rows, by admission; stable (default): the same rule, any sort; patient: no "
        "patient on both sides",
    )  # fmt: skip
    arguments.add_argument(
        "--drg-map", type=Path, metavar="CSV",
        help="raw_description,DRG_34_description: goes before the matcher, and with --split published in its place; an "
        "empty title drops the rows",
    )  # fmt: skip
    arguments.add_argument(
        "--sections", choices=sections.RULES, default="published",
        help="lenient also finds hospital courses under headings in other spellings",
    )  # fmt: skip
    arguments.add_argument(
        "--small-shares", type=int, nargs="+", default=list(SFT_SHARES), metavar="P",
        help=f"SFT shares of the splits of DRG-Small, in %% (default {' '.join(map(str, SFT_SHARES))})",
    )  # fmt: skip
    arguments.add_argument("--prompt-dir", type=Path, help="folder with prompt files of your own")
    budget.add_arguments(arguments, 4096)
    options = arguments.parse_args(argv)
    for share in options.small_shares:
        if not 1 <= share <= 99:
            raise UserError(f"--small-shares {share} is no share in %; give whole numbers from 1 to 99")
    if options.split == "published" and options.sections != "published":
        raise UserError("--split published needs --sections published: the authors' cohort has no other notes")
    return options


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    prompt = prompts.load("drg", options.prompt_dir)
    fit = budget.load(options.tokenizer, options.max_prompt_tokens)
    own = drg_titles.read_map(options.drg_map)
    titles = drg_titles.Titles(own, matcher=options.split != "published" or options.drg_map is None)
    kept = manifest.Manifest("drg", {"command": manifest.command("data_prep.drg", argv), "releases": {}})
    cases = cohort(options, titles, kept)
    train, test = divided(options.split, cases, options.note, kept)
    files = samples(cases.number, train, test, sorted(set(options.small_shares)), kept)
    kept.facts["sections"] = options.sections
    kept.facts["split"] = {"kind": options.split, "seed": splits.SEED, "test_share": PARTS[1] / sum(PARTS)}
    kept.facts["counts"] = compare(cases, files, train)
    kept.facts["labels"] = {"train": label_counts(cases.titles(train)), "test": label_counts(cases.titles(test))}
    kept.facts["prompts"] = prompts.hashes(options.prompt_dir)
    kept.facts["max_prompt_tokens"] = options.max_prompt_tokens if fit else None
    texts = fitted(cases, prompt, fit)
    with whole_folder(options.out / "drg") as folder:

        def write(name: str) -> None:
            split = "test" if name.startswith("test") else "train"
            parts = row_groups(cases, files[name], split, texts, prompt)
            schema.write_parts(parts, folder / f"{name}.parquet", schema.RL)

        with ThreadPoolExecutor(WRITERS) as pool, tqdm(total=len(files), unit=" files", desc="parquet") as bar:
            for _ in pool.map(write, files):
                bar.update()
        for name, chosen in files.items():
            kept.file(f"{name}.parquet", cases.hadm_id[chosen].tolist())
        titles.write_review(folder / REVIEW)
        kept.write(folder)
    print(f"{len(train):,} training and {len(test):,} test rows in {options.out / 'drg'}")
    print(f"releases: hosp {kept.facts['releases']['hosp']}, note {kept.facts['releases']['note']}")


if __name__ == "__main__":
    run(main)
