"""The papers' rows: recipes/PAPER/paper.yaml says of each how it is made, what the paper states and what it prints.

    paper_rows()["drg_sapphire/table1/strict"].recipe      # how it is made here, and the stated hyperparameters
    paper_tables()[0].rows[0].values["drg/pass@1"]         # what is printed

recipes/README.md says what the keys of a paper.yaml mean; a fault in one is a sentence with the file and the key.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from common.commands import UserError
from common.settings import load, refuse_unknown

RECIPES = Path(__file__).resolve().parent.parent / "recipes"
NEEDED = {"paper", "task", "split", "fixed", "tables"}
OTHER = "reader"  # a key of a paper.yaml without rows, which names the command that reads it
KINDS = ("sft", "traces", "eval")  # folders of YAML whose values the paper states, too
HEADER = NEEDED | {"url", "usual", "columns", "index", "shared", "inputs", *KINDS}
MIMIC = ("--hosp", "$MIMIC/hosp", "--note", "$MIMIC/note")
CAPTIONS = ("source", "about", "sampling")
MADE = {"recipe", "options", "stages", "sft", "start", "after", "teacher", "cases", "steps", "eval", "values"}
PRINTED = {"run", "note", "share", "sft_cases", "same", "printed"}
OTHER_START = {"study.sft", "study.variant", "study.start"}  # a run with one of them is no row: it starts elsewhere


@dataclass(frozen=True)
class Row:
    """How a row of a paper is made here, and the hyperparameters that the paper states."""

    id: str  # drg_sapphire/table1/strict
    paper: str  # its folder in recipes
    recipe: str | None = None  # none: only fine-tuned or only evaluated
    options: tuple[str, ...] = ()
    stages: str | None = None  # a script and its arguments in place of the launcher
    sft: str | None = None
    start: str | None = None
    after: str | None = None  # the row whose outcomes make this row's training file
    teacher: str | None = None  # the row whose model writes the traces
    cases: int | None = None
    steps: int | None = None
    eval: str = "default"
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The row without its paper, as its run folders are called."""
        return self.id.removeprefix(f"{self.paper}/").replace("/", "-")


@dataclass(frozen=True)
class Printed:
    """A row as a table prints it: its values in percent by the names of our metrics."""

    id: str  # table1/strict
    run: str
    values: Mapping[str, float]
    recipe: str | None = None  # none: only evaluated, only fine-tuned, or trained in several stages
    options: tuple[str, ...] = ()  # which tell it from the recipe's other rows
    note: str | None = None
    sft: int | None = None  # per cent of the full training set
    sft_cases: int | None = None
    same: str | None = None

    @property
    def name(self) -> str:
        """The row as the paper's tables name it."""
        share = f"{self.sft} % SFT, " if self.sft and self.recipe else f"{self.sft} % " if self.sft else ""
        return f"{share}{self.run}{f' ({self.note})' if self.note else ''}"


@dataclass(frozen=True)
class Table:
    """One table of a paper."""

    id: str  # table1
    task: str
    paper: str
    folder: str  # in recipes
    url: str | None
    source: str
    about: str
    sampling: str
    columns: tuple[str, ...]
    rows: tuple[Printed, ...]


@dataclass(frozen=True)
class Paper:
    """One paper.yaml."""

    title: str
    folder: str
    task: str
    split: str | None  # of the data: data_prep.TASK --split
    inputs: tuple[str, ...]  # of data_prep.TASK
    usual: Mapping[str, str]  # options of a launch, as they are where a row names none
    index: Mapping[str, str]  # the metrics that the index shows, by heading
    stated: Mapping[str, Mapping[str, Mapping[str, Any]]]  # by kind, name and key
    rows: Mapping[str, Row]
    tables: tuple[Table, ...]


@cache
def papers() -> dict[str, Paper]:
    """Every paper by its folder, in the order of their titles."""
    files = (Path(os.path.relpath(file)) for file in RECIPES.glob("*/paper.yaml") if OTHER not in load(file))
    found = sorted(map(read, files), key=lambda paper: paper.title)
    return {paper.folder: paper for paper in found}


def paper_rows() -> dict[str, Row]:
    """Every row that is made, by id."""
    return {id: row for paper in papers().values() for id, row in paper.rows.items()}


def paper_tables() -> tuple[Table, ...]:
    """Every table with printed numbers."""
    return tuple(table for paper in papers().values() for table in paper.tables)


def row_of(name: str) -> Row:
    """The row of that id; paper and table may be left out where the rest names one row alone."""
    rows = paper_rows()
    near = [row for key, row in rows.items() if key == name or key.endswith(f"/{name}")]
    if len(near) != 1:
        which = ", ".join(row.id for row in near) or "`python -m recipes.check --rows` lists them"
        raise UserError(f"{name!r} names {'no' if not near else 'more than one'} row of the papers: {which}")
    return near[0]


def find(recipe: str, overrides: list[str]) -> Printed | None:
    """The printed row that a run of this recipe with these overrides is; the last choice of an option counts."""
    chosen = dict(text.lstrip("+").split("=", 1) for text in overrides if "=" in text)
    paper = papers().get(recipe.partition("/")[0])
    if paper is None or OTHER_START & chosen.keys():
        return None
    options = {f"{key}={chosen[key]}" for key, usual in paper.usual.items() if chosen.get(key, usual) != usual}
    rows = (row for table in paper.tables for row in table.rows if row.recipe == recipe)
    return next((row for row in rows if set(row.options) == options), None)


def read(file: Path) -> Paper:
    """One paper.yaml."""
    said = OmegaConf.to_container(load(file, HEADER))
    if lacking := NEEDED - said.keys():
        raise UserError(f"{file} lacks the key {min(lacking)}")
    try:
        return _paper(said, file)
    except (AttributeError, TypeError) as error:  # a list where keys belong, and the like
        raise UserError(f"{file} is not built as recipes/README.md says: {error}") from error


def _paper(said: dict[str, Any], file: Path) -> Paper:
    folder, rows, tables = file.parent.name, {}, []
    for name, table in said["tables"].items():
        refuse_unknown(table.keys(), {*CAPTIONS, "columns", "rows"}, f"{file}: {name}")
        columns, printed = table.get("columns") or said.get("columns", ()), []
        for key, row in table.get("rows").items():
            id, where = f"{name}/{key}", f"{file}: {name}/{key}"
            refuse_unknown(row.keys(), MADE | PRINTED, where)
            for other in (row[key] for key in ("after", "teacher", "same") if key in row):
                if f"{folder}/{other}" not in rows:
                    raise UserError(f"{where} needs {other}, which is no row above it")
            if "same" not in row:
                rows[f"{folder}/{id}"] = _row(id, row, said["fixed"], file.parent, where)
            if "printed" in row:
                printed.append(_printed(id, row, columns, folder, where))
        if printed:
            about = (said["task"], said["paper"], folder, said.get("url"), *(table.get(key) for key in CAPTIONS))
            tables.append(Table(name, *about, tuple(columns), tuple(printed)))
    stated = {}
    for kind in KINDS:
        own = said.get(kind, {})
        stated[kind] = {name: {**own.get("fixed", {}), **own[name]} for name in own if name != "fixed"}
    usual, index = said.get("usual", {}), said.get("index", {})
    inputs = tuple(said.get("inputs", MIMIC))
    return Paper(said["paper"], folder, said["task"], said["split"], inputs, usual, index, stated, rows, tuple(tables))


def _row(id: str, said: dict[str, Any], fixed: dict[str, Any], folder: Path, where: str) -> Row:
    made = {key: value for key, value in said.items() if key in MADE}
    if not made.keys() & {"recipe", "sft", "start"}:
        raise UserError(f"{where} names no recipe, no sft and no start, so nothing makes it")
    files = {"recipe": "", "sft": "sft/", "eval": "eval/"}
    for name in (f"{files[key]}{made[key]}.yaml" for key in files if key in made):
        if not (folder / name).is_file():
            raise UserError(f"{where} needs recipes/{folder.name}/{name}, which does not exist")
    made |= {key: f"{folder.name}/{made[key]}" for key in ("recipe", "after", "teacher") if key in made}
    made |= {"options": tuple(made.get("options", ())), "values": {**fixed, **made.get("values", {})}}
    return Row(f"{folder.name}/{id}", folder.name, **made)


def _printed(id: str, said: dict[str, Any], columns: Sequence[str], folder: str, where: str) -> Printed:
    if len(said["printed"]) != len(columns):
        raise UserError(f"{where}: printed has {len(said['printed'])} numbers for {len(columns)} columns")
    values = dict(zip(columns, said["printed"], strict=True))
    recipe = f"{folder}/{said['recipe']}" if "recipe" in said and "stages" not in said else None
    options = tuple(option for option in said.get("options", ()) if recipe and not option.startswith("hardware="))
    about = (said.get(key) for key in ("note", "share", "sft_cases", "same"))
    return Printed(id, said.get("run", id), values, recipe, options, *about)
