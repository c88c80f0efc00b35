"""Relative weights of the MS-DRGs: Table 5 of a fiscal year as CMS publishes it, as its text file or as CSV.

    read("CMS-1655-F_Table_5.txt", 2017, ["CHEST PAIN"])["CHEST PAIN"]

The header may stand below titles; of several weights the one after the cap of 10 % counts. A DRG is found by its
number, and its title must be of the same DRG of version 34 (words may be shortened, as that table does), because later
years give numbers to other DRGs. DRGs 998 and 999 are not paid for and have no weight. A table that names no year is
taken for that of the year asked for. What is wrong raises ValueError with a sentence.
"""

import csv
import io
import math
import re
from collections.abc import Collection
from pathlib import Path

from reward_fns.drg import ms_drg
from reward_fns.drg.ms_drg import Drg

YEAR = 2017  # the fiscal year of version 34
UNGROUPED = ("998", "999")  # no DRG that is paid for: a dot stands for their weight
WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
ALIKE = 0.5  # more than that share of the words of a shortened title
_YEAR = re.compile(r"\b(?:FY|FISCAL YEAR)\s*(20\d\d)\b", re.IGNORECASE)
_STATUS = re.compile(r"\b(?:WITH|WITHOUT) (?:CC/MCC|MCC|CC)\b")
_WORD = re.compile(r"\b(?!(?:AND|WITH|WITHOUT)\b)[A-Z]{3,}")
Row = list[str]


def read(path: str | Path, year: int = YEAR, needed: Collection[str] = ()) -> dict[str, float]:
    """The weight of every title that the table has one for; `needed` must have one, if they are paid for."""
    above, rows = _table(Path(path))
    years = {int(found) for found in _YEAR.findall(" ".join(" ".join(row) for row in above))}
    if years and year not in years:
        raise ValueError(
            f"{path} is of FY {min(years)} and not of FY {year}; give that year's Table 5 (version 34 is FY {YEAR})"
        )
    lines: dict[str, tuple[str, str]] = {}
    for number, title, weight in rows:
        if number in lines:
            raise ValueError(f"{path} has DRG {number} twice; remove one of them")
        lines[number] = title, weight
    found = {}
    for drg in ms_drg.DRGS:
        title, said = lines.get(drg.number, ("", ""))
        weight = _number(said)
        wanted = drg.title in needed and drg.number not in UNGROUPED
        if wanted and drg.number not in lines:
            raise ValueError(f"{path} has no DRG {drg.number} ({drg.title}), a gold or an answer; give the whole table")
        if wanted and not _same(title, drg):
            raise ValueError(
                f"{path} calls DRG {drg.number} {title!r}, and in version 34 it is {drg.title!r}: the table is of "
                f"another year; give that of FY {YEAR}"
            )
        if weight is not None:
            found[drg.title] = weight
        elif drg.number in lines and drg.number not in UNGROUPED:
            raise ValueError(f"{path}: the weight of DRG {drg.number} is {said!r}, which is no number; correct it")
    return found


def _table(path: Path) -> tuple[list[Row], list[tuple[str, str, str]]]:
    """The rows down to the header, and below them number, title and weight of each DRG."""
    content = path.read_bytes()
    if content.startswith(WORKBOOKS):
        raise ValueError(f"{path} is a workbook; take the text file that CMS publishes with it, or save it as CSV")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", "replace")
    for delimiter in "\t,;":
        try:
            rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
        except csv.Error:
            continue
        for at, row in enumerate(rows):
            heads = [" ".join(cell.upper().split()) for cell in row]
            weights = [i for i, head in enumerate(heads) if head.startswith(("WEIGHT", "RELATIVE WEIGHT"))]
            titles = [i for i, head in enumerate(heads) if head.endswith("TITLE")]
            if "MS-DRG" in heads and weights and titles:
                weights.sort(key=lambda i: "CAP APPLIED" not in heads[i])
                columns = heads.index("MS-DRG"), titles[0], weights[0]
                return rows[: at + 1], _lines(rows[at + 1 :], *columns)
    raise ValueError(f"{path} has no header with MS-DRG, MS-DRG Title and Weights; give Table 5 as CMS publishes it")


def _lines(rows: list[Row], *columns: int) -> list[tuple[str, str, str]]:
    """The cells of these columns; rows that begin with no number of a DRG, such as footnotes, are none."""
    cells = ([row[i].strip() if i < len(row) else "" for i in columns] for row in rows)
    return [(number.zfill(3), *rest) for number, *rest in cells if re.fullmatch("[0-9]{1,3}", number)]


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _same(text: str, drg: Drg) -> bool:
    """Whether a title is this DRG's: by the look-up, or, shortened, by its status and most of its words."""
    if found := ms_drg.find(text):
        return found is drg
    said, right = ms_drg.key(text), ms_drg.key(drg.title)
    if [*_STATUS.findall(said)][:1] != [*_STATUS.findall(right)][:1]:
        return False
    words, known = (_WORD.findall(_STATUS.sub("", each)) for each in (said, right))
    near = [any(one.startswith(word) or word.startswith(one) for one in known) for word in words]
    return sum(near) > ALIKE * len(near)
