"""From the description that MIMIC-IV gives a DRG to the MS-DRG v34 title.

    titles = Titles(read_map(path))          # or Titles(own, matcher=False): exact titles and the user's map alone
    titles.find("HEART FAILURE & SHOCK W MCC", "291")

In this order: an exact v34 title after DRG-LLaMA's normalisation; the user's CSV, whose empty or NaN target drops the
row; a title in another spelling; the matcher of data_prep.cohort.drg_matcher. How each description was read, and which
were not, is written to a CSV of the same form as the user's, so that it can be corrected and given back as --drg-map.
"""

import csv
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from common.commands import UserError, existing
from data_prep.cohort import drg_matcher, drg_renamings
from data_prep.cohort.drg_matcher import NOTHING, Found
from reward_fns.drg import ms_drg
from reward_fns.drg.ms_drg import Drg

RAW, TARGET = "raw_description", "DRG_34_description"
REVIEW = (RAW, TARGET, "found_by", "rows", "numbers", "candidate_1", "candidate_2", "candidate_3")
EXACT, MAP, SPELLING = "exact title", "map", "spelling"  # and the rules of drg_matcher
DROPPED = frozenset(["", "NAN", "NA", "N/A", "NULL", "NONE"])  # targets that mean no title, as pandas reads them


def normalise(description: str) -> str:
    """Undo the usual shorthand, as DRG-LLaMA does."""
    text = description.replace("W/O", "WITHOUT").replace(" W ", " WITH ").replace("&", "AND").replace(",", "")
    return text.replace(" CATH ", " CATHETERIZATION ").replace(" PROC ", " PROCEDURES ")


@dataclass
class Titles:
    """Finds the DRG of each description once, and keeps count of the rows that have it."""

    own: dict[str, str] = field(default_factory=dict)
    matcher: bool = True
    found: dict[tuple[str, str], Found] = field(default_factory=dict)
    rows: Counter[tuple[str, str]] = field(default_factory=Counter)

    def find(self, description: str, number: str = "", rows: int = 1) -> Drg | None:
        """The DRG of so many equal rows; the number chooses among titles that fit equally well, no more."""
        key = (description, number)
        self.rows[key] += rows
        if key not in self.found:
            self.found[key] = self._look_up(description, number)
        return self.found[key].drg

    def _look_up(self, description: str, number: str) -> Found:
        text = normalise(description)
        if text in ms_drg.BY_TITLE:
            return Found(ms_drg.BY_TITLE[text], EXACT)
        if text.strip() in self.own:
            return Found(ms_drg.find(self.own[text.strip()]), MAP)
        if not self.matcher:
            return Found(None, NOTHING)
        if (spelt := ms_drg.find(text)) is not None:
            return Found(spelt, SPELLING)
        return drg_matcher.match(description, number)

    def counts(self) -> dict[str, int]:
        """Rows by what found their DRG."""
        by: Counter[str] = Counter()
        for key, rows in self.rows.items():
            drg, rule = self.found[key]
            by[rule if drg or rule == MAP else NOTHING] += rows
        return dict(sorted(by.items()))

    def unmapped(self) -> int:
        """Descriptions without a DRG."""
        return len({description for (description, _), found in self.found.items() if found.drg is None})

    def write_review(self, path: Path) -> None:
        """Write which rule read each description: those without a DRG first, exact titles last, the frequent first."""
        lines: dict[tuple[str, Found], Counter[str]] = {}
        for (description, number), found in self.found.items():
            lines.setdefault((description, found), Counter())[number] += self.rows[description, number]
        last = {line: (line[1].drg is not None) + (line[1].by == EXACT) for line in lines}
        ordered = sorted(lines, key=lambda line: (last[line], -lines[line].total(), *line))
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, REVIEW, restval="", lineterminator="\n")
            writer.writeheader()
            for description, found in ordered:
                numbers = lines[description, found]
                title, near = (found.drg.title, []) if found.drg else ("", nearest(description))
                row = (description, title, found.by, numbers.total(), " ".join(sorted(numbers)), *near)
                writer.writerow(dict(zip(REVIEW, row, strict=False)))


def nearest(description: str) -> list[str]:
    """The three titles that a description without a DRG comes nearest to."""
    fitting = [title.drg.title for title, _ in drg_matcher.candidates(description) if title.drg]
    return list(dict.fromkeys([*fitting, *ms_drg.nearest(normalise(description))]))[:3]


def read_map(path: Path | None) -> dict[str, str]:
    """A user's CSV: normalised description -> v34 title; an empty title drops the rows of that description."""
    if path is None:
        return {}
    existing(path, "the DRG map", f"give a CSV with the columns {RAW} and {TARGET}")
    mapped: dict[str, str] = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if not {RAW, TARGET} <= set(rows.fieldnames or ()):
                raise UserError(f"{path} lacks the columns {RAW} and {TARGET}; name them in its first line")
            for row in rows:
                where = f"{path}, line {rows.line_num}"
                if None in row:
                    raise UserError(
                        f"{where} has more fields than the first line; put descriptions with commas in quotes"
                    )
                raw, target = normalise((row[RAW] or "").strip()), (row[TARGET] or "").strip()
                if target.upper() in DROPPED:
                    target = ""
                elif ms_drg.find(target) is None:
                    raise UserError(f"{where}: {_no_title(target)}")
                if mapped.setdefault(raw, target) != target:
                    raise UserError(f"{where}: {row[RAW]!r} has another title further up; leave one of the two lines")
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is no CSV in UTF-8 ({error}); save it as one") from error
    return mapped


def _no_title(target: str) -> str:
    """Why this is no v34 title, and what to give instead."""
    other = drg_renamings.all_of().get(ms_drg.key(target))
    if other is None:
        near = nearest(target)
        remedy = f"did you mean {near[0]!r}?" if near else "correct it or leave it empty"
        return f"{target!r} is no MS-DRG v34 title; {remedy}"
    said = f"{target!r} is no MS-DRG v34 title but one of the fiscal years {other.years}"
    if other.home is None:
        return f"{said}, whose cases fall in several v34 DRGs or in none; give the v34 title you mean or leave it empty"
    return f"{said}; give {other.home.title!r}"
