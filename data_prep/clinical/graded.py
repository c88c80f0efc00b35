"""A note with its dialogue and what is known of its labels, as a row of our parquet.

graded.rows("a_verify", [(note, True), …])      # with schema NOTES of data_prep.parquet
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from common.commands import UserError
from data_prep import parquet
from reward_fns.clinical_note.alterations import Altered, Removed, labelled
from reward_fns.clinical_note.notes import Note, Position, check, positions


class Graded(NamedTuple):
    """A note of a case; `causes` says of every position why it is wrong, "" where it is right, None: nobody knows."""

    case: str
    sample: int | None  # its number among the altered or sampled notes of the case; None: the gold one
    dialogue: str
    note: Note
    causes: list[str] | None = None
    altered: tuple[Altered, ...] = ()
    removed: tuple[Removed, ...] = ()

    @property
    def labels(self) -> list[str] | None:
        return None if self.causes is None else labelled(self.causes)


def rows(name: str, notes: Iterable[tuple[Graded, bool]]) -> Iterator[dict[str, Any]]:
    """Rows of a set; with each note whether it is the one to be found among those of its case."""
    counted: dict[str, int] = {}
    for one, best in notes:
        number = counted[one.case] = counted.get(one.case, -1) + 1
        graded = positions(one.note, one.labels)
        why = one.causes or [""] * len(graded)
        yield {
            "set": name,
            "case": one.case,
            "candidate": number,
            "best": best,
            "dialogue": one.dialogue,
            "positions": [{**at._asdict(), "cause": cause} for at, cause in zip(graded, why, strict=True)],
            "altered": [alteration._asdict() for alteration in one.altered],
            "removed": [removal._asdict() for removal in one.removed],
        }


_TEXTS = ("set", "case", "dialogue")
_UNIT = [("problem", pa.int64()), ("step", pa.int64())]
POSITION = pa.struct([(name, pa.string()) for name in (*Position._fields, "cause")])
ALTERED = pa.struct([*_UNIT, *((name, pa.string()) for name in ("kind", "before", "after"))])
NOTES = pa.schema(
    [pa.field(name, pa.string(), nullable=False) for name in _TEXTS]
    + [pa.field("candidate", pa.int64(), nullable=False), pa.field("best", pa.bool_(), nullable=False)]
    + [pa.field("positions", pa.list_(POSITION), nullable=False)]
    + [pa.field("altered", pa.list_(ALTERED)), pa.field("removed", pa.list_(pa.struct(_UNIT)))]
)
REMEDY = "run `python -m data_prep.clinical_notes`, which writes it"


def read(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a file, checked: its columns, the grammar of every note, and one dialogue a case."""
    table = parquet.load(path, "the file of notes", REMEDY)
    if missing := [name for name in NOTES.names if name not in table.column_names]:
        raise UserError(f"{path} lacks the column {missing[0]}; {REMEDY}")
    try:
        found = table.select(NOTES.names).cast(NOTES).to_pylist()
    except (pa.ArrowInvalid, pa.ArrowTypeError, ValueError) as error:
        raise UserError(f"{path} is not as declared ({str(error).splitlines()[0]}); {REMEDY}") from error
    dialogues: dict[str, str] = {}
    for row in found:
        named = f"{path}: candidate {row['candidate']} of case {row['case']}"
        if dialogues.setdefault(row["case"], row["dialogue"]) != row["dialogue"]:
            raise UserError(f"{named} has another dialogue than the case's first; candidates of a case share one")
        row["positions"], row["causes"] = (
            [Position(one["kind"], one["text"], one["label"]) for one in row["positions"]],
            [one["cause"] for one in row["positions"]],
        )
        try:
            check(row["positions"])
        except ValueError as error:
            raise UserError(f"{named} is no note: {error}; {REMEDY}") from error
    if not found:
        raise UserError(f"{path} holds no note; {REMEDY}")
    return found
