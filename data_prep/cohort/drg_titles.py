"""From the description that MIMIC-IV gives a DRG to the MS-DRG v34 title.

    titles = Titles(read_map(path))          # or Titles(own, matcher=False): exact titles and the user's map alone
    titles.find("HEART FAILURE & SHOCK W MCC", "291")

In this order: an exact v34 title after DRG-LLaMA's normalisation; the user's CSV, whose empty target drops the row; a
title in another spelling; the matcher of data_prep.cohort.drg_matcher. What was found other than exactly, and what was
not, is written to a CSV of the same form as the user's, so that it can be corrected and given back as --drg-map.
"""

import csv
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from common.commands import UserError, existing
from data_prep.cohort import drg_matcher
from reward_fns.drg import ms_drg
from reward_fns.drg.ms_drg import Drg

RAW, TARGET = "raw_description", "DRG_34_description"
REVIEW = (RAW, TARGET, "found_by", "rows", "numbers", "candidate_1", "candidate_2", "candidate_3")
EXACT, MAP, SPELLING, MATCHER, NOTHING = "exact title", "map", "spelling", "matcher", ""


class Found(NamedTuple):
    """A DRG (None: the row is dropped) and what found it."""

    drg: Drg | None
    by: str


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
        matched = drg_matcher.match(description, number)
        return Found(matched, MATCHER if matched else NOTHING)

    def counts(self) -> dict[str, int]:
        """Rows by what found their DRG."""
        by: Counter[str] = Counter()
        for key, rows in self.rows.items():
            by[self.found[key].by or "nothing"] += rows
        return dict(sorted(by.items()))

    def unmapped(self) -> int:
        """Descriptions without a DRG."""
        return len({description for (description, _), found in self.found.items() if found.drg is None})

    def write_review(self, path: Path) -> None:
        """Write what is not an exact title: the descriptions without a DRG first, the most frequent first."""
        lines: dict[tuple[str, Found], Counter[str]] = {}
        for (description, number), found in self.found.items():
            if found.by != EXACT:
                lines.setdefault((description, found), Counter())[number] += self.rows[description, number]
        ordered = sorted(lines, key=lambda line: (line[1].drg is not None, -lines[line].total(), line[0], line[1]))
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
    fitting = [drg.title for drg, _ in drg_matcher.candidates(description)]
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
                raw, target = normalise((row[RAW] or "").strip()), (row[TARGET] or "").strip().removeprefix("NaN")
                where = f"{path}, line {rows.line_num}"
                if target and ms_drg.find(target) is None:
                    near = ms_drg.nearest(target, 1)
                    remedy = f"did you mean {near[0]!r}?" if near else "correct it or leave it empty"
                    raise UserError(f"{where}: {target!r} is no MS-DRG v34 title; {remedy}")
                if mapped.setdefault(raw, target) != target:
                    raise UserError(f"{where}: {row[RAW]!r} has another title further up; leave one of the two lines")
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is no CSV in UTF-8 ({error}); save it as one") from error
    return mapped
