"""The DRG-LLaMA cohort: notes with a hospital course, joined with the MS-DRGs of their admissions."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from common.commands import UserError
from data_prep.cohort import drg_titles, mimic, sections
from data_prep.cohort import own as own_cases
from data_prep.writing import manifest, rows
from reward_fns.drg import ms_drg

MIN_WORDS = 40  # courses must have more
ENOUGH = 600  # letters that hold that many words, nearly always
MIN_CASES = 2  # of a title, in the cohort
REVIEW = "descriptions.csv"  # where drg_titles lists how descriptions were read
NUMBERS = {drg.number: drg for drg in ms_drg.DRGS}
TITLES = {int(drg.number): drg.title for drg in ms_drg.DRGS}


def courses(
    batches: Iterable[pa.RecordBatch], rules: str, kept: manifest.Manifest
) -> tuple[np.ndarray, np.ndarray, pa.Array]:
    """hadm_id, subject_id and hospital course, in file order, of the notes whose courses the cohort's rules keep."""
    seen: set[bytes] = set()
    whose: list[list[int]] = []
    texts: list[pa.Array] = []
    notes = with_course = long = 0
    for batch in batches:
        notes += batch.num_rows
        found = []
        ids = [pc.fill_null(column, mimic.NOBODY).to_pylist() for column in batch.columns[:2]]
        for *who, text in zip(*ids, mimic.strings(batch.column(2)), strict=True):
            course = sections.hospital_course(text, rules)
            if course is None or who[0] == mimic.NOBODY:
                continue
            with_course += 1
            flat = sections.unwrapped(course)
            if flat.count(" ", 0, ENOUGH) < MIN_WORDS and flat.count(" ") < MIN_WORDS:  # a space less than words
                continue
            long += 1
            digest = manifest.digest(course if rules == "published" else flat)
            if digest in seen:
                continue
            seen.add(digest)
            whose.append(who)
            found.append(flat)
        texts.append(pa.array(found, pa.large_string()))
    kept.facts["releases"]["note"] = mimic.release("discharge", notes)
    kept.step("hospital course", notes, with_course, f"no hospital course found in the note (sections: {rules})")
    kept.step("length", with_course, long, f"{MIN_WORDS} words or fewer")
    kept.step("duplicates", long, len(whose), "text equal to an earlier one")
    whole = pa.chunked_array(texts, pa.large_string()).combine_chunks()
    return *np.array(whose, np.int64).reshape(-1, 2).T, whole


def drgs(hosp: Path, titles: drg_titles.Titles, kept: manifest.Manifest, blank: bool) -> tuple[np.ndarray, np.ndarray]:
    """hadm_id and number of the MS-DRGs, in file order; an admission has one, rarely two.

    A drg_type with a blank after it counts where `blank` says so.
    """
    table = mimic.table(hosp, "drgcodes", ("hadm_id", "drg_type", "drg_code", "description"))
    kept.facts["releases"]["hosp"] = mimic.release("drgcodes", table.num_rows)
    kinds = pc.utf8_trim_whitespace(pc.fill_null(table["drg_type"], ""))
    hcfa = table.filter(pc.and_(pc.equal(kinds, "HCFA"), pc.is_valid(table["hadm_id"])))
    kept.step("drg_type", table.num_rows, hcfa.num_rows, "not HCFA (= MS-DRG)")
    if odd := pc.sum(pc.not_equal(hcfa["drg_type"], "HCFA")).as_py():
        done = "they count" if blank else "they are dropped, as the published program does"
        kept.say(f"{odd:,} rows have the drg_type HCFA with blanks around it; {done}")
        if not blank:
            hcfa = hcfa.filter(pc.equal(hcfa["drg_type"], "HCFA"))
            kept.step("drg_type exactly", hcfa.num_rows + odd, hcfa.num_rows, "HCFA with blanks around it")
    descriptions, codes = (pc.fill_null(hcfa[name], "").to_pylist() for name in ("description", "drg_code"))
    described = list(zip(descriptions, codes, strict=True))
    found = {pair: titles.find(*pair, count) for pair, count in Counter(described).items()}
    numbers = {pair: int(drg.number) if drg else 0 for pair, drg in found.items()}
    number = np.array([numbers[pair] for pair in described], np.int64)
    hadm_id, number = hcfa["hadm_id"].to_numpy()[number > 0], number[number > 0]
    unread = f"{titles.unmapped()} descriptions are no v34 title, see {REVIEW}"
    kept.step("MS-DRG v34 title", hcfa.num_rows, len(number), unread)
    kept.facts["titles_found_by"] = titles.counts()
    if several := len(hadm_id) - len(np.unique(hadm_id)):
        _, cases = np.unique(np.stack((hadm_id, number)), axis=1, return_counts=True)
        kept.say(
            f"{several} further MS-DRG rows of an admission, {several - int((cases - 1).sum())} of them with another "
            "title than the first: each row is a case of its own, as in DRG-LLaMA's join"
        )
    return hadm_id, number


def cohort(hosp: Path, note: Path, rules: str, titles: drg_titles.Titles, kept: manifest.Manifest) -> rows.Cohort:
    """The rows of the cohort in the order of the notes; an admission with two MS-DRG rows stays twice."""
    with mimic.notes_ahead(note, ("hadm_id", "subject_id", "text")) as batches:
        coded, numbers = drgs(hosp, titles, kept, blank=rules != "published")
        hadm_id, subject_id, texts = courses(batches, rules, kept)
    order = np.argsort(coded, kind="stable")  # the rows of an admission stay in file order
    first, end = (np.searchsorted(coded[order], hadm_id, side) for side in ("left", "right"))
    each = end - first
    at = np.repeat(np.arange(len(each)), each)
    number = numbers[order[np.repeat(first - (np.cumsum(each) - each), each) + np.arange(len(at))]]
    kept.step("join on hadm_id", len(each), len(at), "no MS-DRG for the admission (one with two counts twice)")
    frequent = np.bincount(number, minlength=1)[number] >= MIN_CASES
    kept.step("cases of the title", len(at), int(frequent.sum()), f"title with fewer than {MIN_CASES} cases")
    if not frequent.any():
        raise UserError(f"no case is left of {note}; the counts above say where they were lost")
    at, number = at[frequent], number[frequent]
    return rows.Cohort(hadm_id[at], subject_id[at], number, at, texts, TITLES.__getitem__)


def own(texts: Path, labels: Path, titles: drg_titles.Titles, kept: manifest.Manifest) -> rows.Cohort:
    """A user's own cases; a label is a description of any year, read as MIMIC-IV's are, or the number of a v34 DRG."""

    def find(label: str) -> int | None:
        number = label.zfill(3) if label.isdecimal() else ""
        drg = NUMBERS.get(number) if number else titles.find(label)
        return int(drg.number) if drg else None

    return own_cases.cohort(texts, labels, find, TITLES.__getitem__, MIN_CASES, kept)
