"""What the papers print in Tables 1 to 4, as eval/paper_results.yaml holds it.

for table in paper_tables():
    for row in table.rows: print(row.id, row.values["drg/pass@1"])
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

PATH = Path(__file__).with_suffix(".yaml")
FULL_TRAIN = 236_192  # cases of DRG-Sapphire's full training set, which Table 2 splits between SFT and GRPO
DEFAULTS = {
    "sft_share": "cold",
    "model": "qwen2.5-7b-instruct",
}  # of the recipes; they name a row only where they differ
OTHER_START = {"study.sft", "study.variant", "study.start"}  # a run with one of them is no row: it starts elsewhere


@dataclass(frozen=True)
class Row:
    """One row of a table: its values in percent by the names of our metrics."""

    id: str  # table1/strict
    run: str
    values: Mapping[str, float]
    recipe: str | None = None
    model: str | None = None
    note: str | None = None
    sft: int | None = None
    sft_cases: int | None = None
    same: str | None = None

    @property
    def name(self) -> str:
        """The row as the paper's tables name it."""
        share = f"{self.sft} % SFT, " if self.sft and self.recipe else f"{self.sft} % " if self.sft else ""
        return f"{share}{self.run}{f' ({self.note})' if self.note else ''}"

    @property
    def options(self) -> list[str]:
        """What the recipe is launched with to give this row."""
        chosen = {"sft_share": self.sft, "model": self.model} if self.recipe else {}
        return [f"{key}={value}" for key, value in chosen.items() if value is not None]


@dataclass(frozen=True)
class Table:
    """One table of a paper."""

    id: str  # table1
    task: str  # drg or icd
    paper: str
    folder: str  # in recipes
    url: str | None
    source: str
    about: str
    sampling: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@cache
def paper_tables() -> tuple[Table, ...]:
    """The four tables, in their order."""
    found = []
    for name, paper in yaml.safe_load(PATH.read_text(encoding="utf-8")).items():
        for id, table in paper["tables"].items():
            columns = tuple(table.get("columns") or paper["columns"])
            about = {key: table[key] for key in ("source", "about", "sampling")}
            rows = tuple(_row(f"{id}/{key}", row, columns) for key, row in table["rows"].items())
            task = "drg" if name == "drg_sapphire" else "icd"
            found.append(Table(id, task, paper["paper"], name, paper["url"], columns=columns, rows=rows, **about))
    return tuple(found)


def _row(id: str, row: dict, columns: tuple[str, ...]) -> Row:
    values = dict(zip(columns, row.pop("values"), strict=True))
    if "sft" in row:
        row["sft_cases"] = round(FULL_TRAIN * row["sft"] / 100)
    return Row(id=id, values=values, **row)


def find(recipe: str, overrides: list[str]) -> Row | None:
    """The row that a run of this recipe with these overrides is; the last choice of an option counts."""
    chosen = dict(text.lstrip("+").split("=", 1) for text in overrides if "=" in text)
    if OTHER_START & chosen.keys():
        return None
    options = [f"{key}={chosen[key]}" for key, usual in DEFAULTS.items() if chosen.get(key, usual) != usual]
    rows = (row for table in paper_tables() for row in table.rows if row.recipe == recipe)
    return next((row for row in rows if row.options == options), None)
