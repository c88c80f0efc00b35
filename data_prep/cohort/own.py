"""A user's own cases in the place of MIMIC-IV's, from two CSV files, plain or gzip: texts as they stand, and labels.

    cases = own.cohort(texts, labels, find, gold, fewest, kept)

TEXTS has the columns hadm_id (any whole number that names a case), text and, where patients come again, subject_id;
LABELS has hadm_id and label. The first label of a case counts.
"""

from collections import Counter
from collections.abc import Callable, Hashable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from common.commands import UserError, existing
from data_prep.cohort import mimic
from data_prep.writing import manifest, rows

CASE, PATIENT, TEXT, LABEL = "hadm_id", "subject_id", "text", "label"
AS_GIVEN = "as given"  # in the manifest, in the place of releases and of the rules of sections


def cohort(
    texts: Path,
    labels: Path,
    find: Callable[[str], Hashable | None],
    gold: Callable[[object], str],
    fewest: int,
    kept: manifest.Manifest,
) -> rows.Cohort:
    """The cases with a text and a label that `find` reads, in the order of the texts; none of a label with too few."""
    kept.facts["releases"] = {"hosp": AS_GIVEN, "note": AS_GIVEN}
    label_of = _labels(labels, find, kept)
    patient = PATIENT if PATIENT in _columns(texts, CASE, TEXT) else CASE
    notes = _table(texts, *dict.fromkeys((CASE, patient, TEXT)))
    said = pc.and_(pc.is_valid(notes[CASE]), pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(notes[TEXT])), 0))
    places = {}
    for place, (case, says) in enumerate(zip(notes[CASE].to_pylist(), said.to_pylist(), strict=True)):
        if says:
            places.setdefault(case, place)
    kept.step("text", notes.num_rows, len(places), "no text, no number, or a further text of the same case")
    labelled = {case: place for case, place in places.items() if case in label_of}
    kept.step("label of the case", len(places), len(labelled), f"no label in {labels.name}")
    counts = Counter(label_of[case] for case in labelled)
    cases = [case for case in labelled if counts[label_of[case]] >= fewest]
    kept.step("cases of the label", len(labelled), len(cases), f"label with fewer than {fewest} cases")
    if not cases:
        raise UserError(f"no case is left of {texts}; the counts above say where they were lost")
    chosen = notes.take([labelled[case] for case in cases])
    return rows.Cohort(
        np.array(cases, np.int64),
        pc.fill_null(chosen[patient], mimic.NOBODY).to_numpy(),
        np.array([label_of[case] for case in cases]),
        np.arange(len(cases)),
        chosen[TEXT].combine_chunks().cast(pa.large_string()),
        gold,
    )


def _labels(path: Path, find: Callable[[str], Hashable | None], kept: manifest.Manifest) -> dict[int, Hashable]:
    _columns(path, CASE, LABEL)
    table = _table(path, CASE, LABEL)
    found: dict[int, Hashable] = {}
    unread = 0
    for case, text in zip(table[CASE].to_pylist(), pc.fill_null(table[LABEL], "").to_pylist(), strict=True):
        label = find(text.strip())
        unread += label is None
        if label is not None and case is not None:
            found.setdefault(case, label)
    kept.step("label", table.num_rows, table.num_rows - unread, "a label that cannot be read")
    kept.step("labels by case", table.num_rows - unread, len(found), "a further label of the same case")
    return found


def _table(path: Path, *columns: str) -> pa.Table:
    """These columns; a sentence where there is nothing below the first line."""
    table = pa.Table.from_batches(mimic.batches(path, columns), schema=mimic.types(columns))
    if not table.num_rows:
        raise UserError(f"{path} has no rows; write a case in each line below the first")
    return table


def _columns(path: Path, *needed: str) -> list[str]:
    """What the first line names; a sentence when that is not enough."""
    existing(path, "the file", f"give a CSV with the columns {', '.join(needed)}")
    columns = mimic.header(path)
    if missing := next((name for name in needed if name not in columns), None):
        raise UserError(f"{path}, line 1: the column {missing} is missing among {', '.join(columns)[:300] or 'none'}")
    return columns
