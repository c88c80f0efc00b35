"""The DRG-LLaMA cohort: notes with a hospital course, joined with the MS-DRGs of their admissions."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from commands import UserError
from data_prep import drg_titles, manifest, mimic, sections, splits
from reward_fns import ms_drg
from reward_fns.ms_drg import Drg

MIN_WORDS = 40  # courses must have more
ENOUGH = 600  # letters that hold that many words, nearly always
MIN_CASES = 2  # of a title, in the cohort
REVIEW = "descriptions.csv"  # where drg_titles lists how descriptions were read


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


def cohort(hosp: Path, note: Path, rules: str, titles: drg_titles.Titles, kept: manifest.Manifest) -> Cohort:
    """The rows of the cohort in the order of the notes; an admission with two MS-DRG rows stays twice."""
    mapped = drgs(hosp, titles, kept)
    ids, texts = courses(note, rules, kept)
    cases = [(*row, int(drg.number), at) for at, row in enumerate(ids) for drg in mapped.get(row[0], ())]
    kept.step("join on hadm_id", len(ids), len(cases), "no MS-DRG for the admission (one with two counts twice)")
    columns = np.array(cases, np.int64).reshape(len(cases), 4).T
    names, counts = np.unique(columns[2], return_counts=True)
    columns = columns[:, np.isin(columns[2], names[counts >= MIN_CASES])]
    kept.step("cases of the title", len(cases), columns.shape[1], f"title with fewer than {MIN_CASES} cases")
    if not columns.shape[1]:
        raise UserError(f"no case is left of {note}; the counts above say where they were lost")
    return Cohort(*columns, texts)


def label_counts(titles: list[str]) -> dict[str, int]:
    """Cases per title, most frequent first."""
    names, counts = np.unique(titles, return_counts=True)
    return {str(names[i]): int(counts[i]) for i in np.lexsort((names, -counts))}
