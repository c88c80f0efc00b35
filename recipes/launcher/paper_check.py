"""The papers' rows, as recipes/paper_values.yaml transcribes them, and whether the recipes compose to what it says.

row = paper_rows()["drg_sapphire/table1/strict"]
check_row(row)
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf

from common.commands import UserError
from recipes.launcher.compose import RECIPES, compose

FILE = RECIPES / "paper_values.yaml"
PLACES = ("DATA_DIR", "RUNS_DIR", "MODEL_PATH")  # environment variables that move what a recipe reads and writes


@dataclass(frozen=True)
class Row:
    """One row of a paper: how it is made here and what the paper says of it."""

    id: str  # drg_sapphire/table1/strict
    paper: str
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
    def recipe_name(self) -> str:
        """The recipe without its paper."""
        return (self.recipe or "").rpartition("/")[2]


@cache
def _transcription() -> dict[str, Any]:
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


@cache
def paper_rows() -> dict[str, Row]:
    """Every row by its id."""
    found = {}
    for paper, content in _transcription().items():
        for name, said in content["rows"].items():
            said = {**said, "values": {**content["fixed"], **said.get("values", {})}}
            if said.get("recipe"):
                said["recipe"] = f"{paper}/{said['recipe']}"
            for other in ("after", "teacher"):
                if said.get(other):
                    said[other] = f"{paper}/{said[other]}"
            said["options"] = tuple(said.get("options", ()))
            found[f"{paper}/{name}"] = Row(id=f"{paper}/{name}", paper=paper, **said)
    return found


def row_of(name: str) -> Row:
    """The row of that id; the table may be left out where the rest names one row alone."""
    rows = paper_rows()
    near = [row for key, row in rows.items() if key == name or key.endswith(f"/{name}")]
    if len(near) != 1:
        which = ", ".join(row.id for row in near) or "`python -m recipes.check --rows` lists them"
        raise UserError(f"{name!r} names {'no' if not near else 'more than one'} row of the papers: {which}")
    return near[0]


@contextmanager
def default_places() -> Iterator[None]:
    """Compose as if the user had moved nothing."""
    with patch.dict(os.environ):
        for name in PLACES:
            os.environ.pop(name, None)
        yield


def check_settings(paper: str) -> list[str]:
    """The YAML of fine-tuning, traces and evaluation have the paper's values; the names of what was compared."""
    compared = []
    for kind in ("sft", "traces", "eval"):
        said = dict(_transcription()[paper][kind])
        fixed = said.pop("fixed", {})
        for name, own in said.items():
            settings = read_settings(RECIPES / paper / kind / f"{name}.yaml")
            for key, value in {**fixed, **own}.items():
                if settings.get(key) != value:
                    raise UserError(
                        f"recipes/{paper}/{kind}/{name}.yaml has {key} {settings.get(key)!r}, the paper "
                        f"(paper_values.yaml) {value!r}"
                    )
            compared.append(f"{paper}/{kind}/{name}")
    return compared


def read_settings(path: Path) -> dict[str, Any]:
    """A YAML of fine-tuning, traces or evaluation over the `base` that it names beside it."""
    if not path.is_file():
        raise UserError(f"{path.relative_to(RECIPES.parent)} does not exist, but paper_values.yaml names it")
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    base = settings.pop("base", None)
    return {**read_settings(path.with_name(base)), **settings} if base else settings


@cache
def composed(recipe: str, options: tuple[str, ...] = ()) -> DictConfig:
    """The same as `compose`, once for a recipe and all rows that need it."""
    return compose(recipe, options)


def check_row(row: Row) -> None:
    """Compose the row and compare it with the paper; a UserError says what differs."""
    if row.recipe is None:
        return
    with default_places():
        config = composed(row.recipe, row.options)
        for key, said in row.values.items():
            ours = OmegaConf.select(config, key, default=None)
            ours = OmegaConf.to_container(ours) if isinstance(ours, DictConfig | ListConfig) else ours
            if ours != said:
                raise UserError(f"{row.id}: {row.recipe} has {key} {ours!r}, the paper (paper_values.yaml) {said!r}")
    batch, epochs = config.data.train_batch_size, config.trainer.total_epochs
    if row.cases and row.cases // batch * epochs != row.steps:
        raise UserError(f"{row.id}: {row.cases} cases in batches of {batch} are not the paper's {row.steps} steps")
