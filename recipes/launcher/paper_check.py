"""Whether the recipes compose to what the papers state (common.papers).

check_row(row, compose(row.recipe, row.options))
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from omegaconf import DictConfig, ListConfig, OmegaConf

from common.commands import UserError
from common.papers import Paper, Row
from common.settings import load
from recipes.launcher.compose import RECIPES

PLACES = ("DATA_DIR", "RUNS_DIR", "MODEL_PATH")  # environment variables that move what a recipe reads and writes


@contextmanager
def default_places() -> Iterator[None]:
    """Compose as if the user had moved nothing."""
    with patch.dict(os.environ):
        for name in PLACES:
            os.environ.pop(name, None)
        yield


def read_settings(path: Path) -> Any:
    """A YAML of fine-tuning, traces or evaluation over the base that it names."""
    if not path.is_file():
        raise UserError(f"{path.relative_to(RECIPES.parent)} does not exist, but paper.yaml names it")
    settings = load(path)
    base = settings.pop("base", None)
    return OmegaConf.merge(load(path.with_name(base)), settings) if base else settings


def is_classifier(settings: Any) -> bool:
    """Whether a YAML of fine-tuning is for sft.classify, which alone reads `note_tokens`."""
    return "note_tokens" in settings


def check_settings(paper: Paper) -> Iterator[str]:
    """The YAML of fine-tuning, traces and evaluation have the paper's values; the names of what was compared."""
    for kind, files in paper.stated.items():
        for name, stated in files.items():
            place = f"{paper.folder}/{kind}/{name}"
            _compare(f"recipes/{place}.yaml", read_settings(RECIPES / f"{place}.yaml"), stated)
            yield place


def check_row(row: Row, config: DictConfig) -> None:
    """A row's composed recipe, with `default_places`, is what the paper states."""
    _compare(f"{row.id}: {row.recipe}", config, row.values)
    batch, epochs = config.data.train_batch_size, config.trainer.total_epochs
    if row.cases and row.cases // batch * epochs != row.steps:
        raise UserError(f"{row.id}: {row.cases} cases in batches of {batch} are not the paper's {row.steps} steps")


def _compare(what: str, config: Any, stated: Any) -> None:
    for key, said in stated.items():
        ours = OmegaConf.select(config, key, default=None)
        ours = OmegaConf.to_container(ours) if isinstance(ours, DictConfig | ListConfig) else ours
        if ours != said:
            raise UserError(f"{what} has {key} {ours!r}, the paper (paper.yaml) {said!r}")
