"""What CMS called DRGs in other grouper years, and which v34 DRG holds their cases: drg_renamings.csv.

A line is a title that v34 does not have: the fiscal years in which it stood ("2019-" without an end), its DRG, the
number of the v34 DRG in which all its cases fall, and the rule whose table 5 prints it. No number means re-cut: its
cases fall in several v34 DRGs, or v34 has no group for them. A home never narrows the CC/MCC status: cases WITH MCC
may fall in a DRG WITH CC/MCC or without status, and never in one WITHOUT MCC.
"""

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple

from reward_fns.drg import ms_drg
from reward_fns.drg.ms_drg import Drg

TABLE = Path(__file__).with_suffix(".csv")
_HOMES = {drg.number: drg for drg in ms_drg.DRGS}


class Renaming(NamedTuple):
    """A title of other fiscal years, with its own number, and the v34 DRG of its cases (None: re-cut)."""

    years: str
    number: str
    title: str
    home: Drg | None


@cache
def all_of() -> dict[str, Renaming]:
    """The renamings by the key of their title."""
    with open(TABLE, encoding="utf-8", newline="") as file:
        lines = csv.DictReader(file)
        found = [Renaming(each["fiscal_years"], each["drg"], each["title"], _HOMES.get(each["v34"])) for each in lines]
    return {ms_drg.key(renaming.title): renaming for renaming in found}
