"""From the description that MIMIC-IV gives a DRG to the MS-DRG v34 title."""

import csv
from pathlib import Path

from commands import UserError, existing
from reward_fns import ms_drg

RAW, TARGET = "raw_description", "DRG_34_description"


def normalise(description: str) -> str:
    """Undo the usual shorthand, as DRG-LLaMA does."""
    text = f" {description.strip()} ".replace("W/O", "WITHOUT").replace(" W ", " WITH ").replace("&", "AND")
    text = text.replace(",", "").replace(" CATH ", " CATHETERIZATION ").replace(" PROC ", " PROCEDURES ")
    return " ".join(text.split())


def match(description: str, own: dict[str, str] | None = None) -> ms_drg.Drg | None:
    """The DRG: an exact v34 title after normalisation, else what the user's map says, else None."""
    raw = normalise(description)
    found = ms_drg.find(raw)
    if found is None and own is not None and own.get(raw):
        found = ms_drg.find(own[raw])
    return found


def read_map(path: Path | None) -> dict[str, str]:
    """A user's CSV: normalised description -> v34 title; an empty title drops the rows of that description."""
    if path is None:
        return {}
    existing(path, "the DRG map", f"give a CSV with the columns {RAW} and {TARGET}")
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        if not {RAW, TARGET} <= set(rows.fieldnames or ()):
            raise UserError(f"{path} lacks the columns {RAW} and {TARGET}; name them in its first line")
        mapped = {}
        for row in rows:
            target = (row[TARGET] or "").strip()
            if target and ms_drg.find(target) is None:
                near = ms_drg.nearest(target, 1)
                raise UserError(
                    f"{path}, line {rows.line_num}: {target!r} is no MS-DRG v34 title; "
                    + (f"did you mean {near[0]!r}?" if near else "correct it or leave it empty")
                )
            mapped[normalise(row[RAW] or "")] = target
        return mapped
