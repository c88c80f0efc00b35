"""Conversations and notes of one's own: a folder of CSV files with the columns dialogue and note (as in ACI-BENCH).

    for name, golds in dialogues.sets(folder): …      # train.csv is the set train, every other file one to verify

Of a whole note its assessment and plan are taken (reward_fns.clinical_note.written.lenient). A case is called by
encounter_id or id, else by its row.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from common.commands import UserError, existing
from data_prep.clinical.graded import Graded
from reward_fns.clinical_note.notes import positions
from reward_fns.clinical_note.written import lenient

IDS = ("encounter_id", "id", "case")
COLUMNS = ("dialogue", "note")


def sets(folder: Path, drop_unreadable: bool = False) -> Iterator[tuple[str, list[Graded], int]]:
    """Each file's set, its notes, and how many were dropped because no problem could be made out in them."""
    existing(folder, "the folder of conversations", "give one with CSV files that have the columns dialogue and note")
    files = sorted(folder.glob("*.csv"))
    if not files:
        raise UserError(f"{folder} has no CSV file; give a folder with files that have the columns dialogue and note")
    for file in files:
        golds, dropped = [], 0
        for at, row in enumerate(_rows(file), 1):
            case = f"{file.stem}/{next((row[name] for name in IDS if row.get(name)), at)}"
            try:
                note = lenient(row["note"])
            except ValueError as error:
                if not drop_unreadable:
                    raise UserError(f"{file}: case {case}: {error}; mend it or add --drop-unreadable") from error
                dropped += 1
                continue
            golds.append(Graded(case, None, row["dialogue"], note, [""] * len(positions(note))))
        yield file.stem, golds, dropped


def _rows(file: Path) -> list[dict[str, str]]:
    csv.field_size_limit(10**9)
    try:
        with open(file, newline="", encoding="utf-8-sig") as opened:
            rows = list(csv.DictReader(opened))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} is no CSV in UTF-8 ({error}); export it again") from error
    for name in COLUMNS:
        if not rows or rows[0].get(name) is None:
            raise UserError(f"{file} has no row with the column {name}; it needs dialogue and note")
    if empty := next((at for at, row in enumerate(rows, 1) if not all(row[name] for name in COLUMNS)), None):
        raise UserError(f"{file}: row {empty} has no dialogue or no note; remove or complete it")
    return rows
