"""A note with its dialogue and what is known of its labels, as a row of our parquet.

graded.rows("a_verify", [(note, True), …])      # with schema NOTES of data_prep.parquet
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from reward_fns.clinical_note.alterations import Altered, Removed, labelled
from reward_fns.clinical_note.notes import Note, positions


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
