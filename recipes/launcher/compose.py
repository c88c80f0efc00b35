"""Recipes as verl will see them: Hydra composes verl's own `ppo_trainer`, the recipe and the overrides.

config = compose("drg_sapphire/strict", ["hardware=cpu"])
"""

import difflib
import importlib.util
import os
import pickle
import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import verl_ext  # noqa: F401  ${share:…}
from common.commands import UserError
from common.settings import load

RECIPES = Path(__file__).resolve().parent.parent
OWN = "own"  # the folder of recipes that are no paper's
GROUPS = ("hardware", "model", "sft_share", "algorithm", "lora")  # folders of which a launch picks a file: hardware=cpu
FAULTS = (HydraException, OmegaConfBaseException, ValueError)  # the last of data=5: Hydra has a group of that name
HEAD = "# @package _global_"


def recipes() -> list[str]:
    """Names of all recipes that can be run, as the launcher takes them: those of the papers and the user's own."""
    folders = {RECIPES / OWN, *(base.parent for base in RECIPES.glob("*/_base.yaml"))}
    files = (path for folder in folders for path in folder.glob("[!_]*.yaml") if path.name != "paper.yaml")
    return sorted(str(path.relative_to(RECIPES).with_suffix("")) for path in files)


def recipe_name(recipe: str) -> str:
    """The recipe as `recipes` calls it, or a sentence with the names that come near."""
    name = recipe.removeprefix("recipes/").removesuffix(".yaml")
    if name not in recipes():
        raise UserError(f"there is no recipe {recipe!r}{near(name, recipes())}")
    return name


def split_launch_options(arguments: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """The launcher's own `name=…` and `fresh=1`, and the overrides that are Hydra's."""
    options, overrides = {}, []
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key in ("name", "fresh"):
            options[key] = value
        else:
            overrides.append(argument)
    if not re.fullmatch(r"[\w-][\w.-]{0,79}", options.get("name", "run")):
        raise UserError(f"name={options['name']} is no name for a folder: use letters, digits, '-', '_' and '.'")
    if options.get("fresh", "1") not in ("0", "1"):
        raise UserError(f"fresh={options['fresh']} is neither 0 nor 1")
    return options, overrides


def quoted(overrides: Iterable[str]) -> list[str]:
    """The overrides as Hydra takes them.

    A group's choice is in quotes, because Hydra would read sft_share=90 as a number; a key has `++`, as Hydra takes
    `=` for keys of verl's YAML alone and `+` for others alone: check_keys knows better what exists.
    """
    return [_as_hydra(*override.partition("=")) for override in overrides]


def _as_hydra(key: str, equals: str, value: str) -> str:
    if key in GROUPS:
        return f"{key}='{value}'"
    is_key = "." in key and not key.startswith("~") and not re.search("[@/]", key)  # no choice among verl's files
    return f"++{key.lstrip('+')}{equals}{value}" if is_key else f"{key}{equals}{value}"


def compose(recipe: str, overrides: Iterable[str] = ()) -> DictConfig:
    """The composed configuration of a recipe; a faulty override or YAML is a sentence that names it."""
    name, overrides = recipe_name(recipe), list(overrides)
    _check_files(name)
    lines = (RECIPES / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    if HEAD not in takewhile(lambda line: not line or line.startswith("#"), lines):
        raise UserError(f"recipes/{name}.yaml must begin with the line `{HEAD}`, or nobody reads its keys")
    for override in overrides:
        if "=" not in override and not override.startswith("~"):
            raise UserError(f"{override!r} is no override: write key=value")
        check_choice(override)
    try:
        config = _compose(name, quoted(overrides))
    except FAULTS as error:
        raise UserError(_explain(name, overrides, error)) from error
    return config


def check_choice(override: str) -> None:
    """A group's option names a file of its folder; of other options nothing is said."""
    group, _, choice = override.partition("=")
    if group in GROUPS and choice not in _choices(group):
        raise UserError(f"there is no {group} {choice!r}; there is {', '.join(_choices(group))}")


@cache
def verl_defaults() -> DictConfig:
    """What verl itself composes: every key that it knows, with its default."""
    return _hydra("ppo_trainer", [], verl_config_dir())


def files(config: DictConfig, name: str) -> list[str]:
    """The data files under data.`name`: verl takes one or several."""
    given = config.data[name]
    return [given] if isinstance(given, str) else [str(file) for file in given]


def remedy(config: DictConfig) -> str:
    """How to get the data and the model that a recipe reads."""
    if config.trainer.device == "cpu":
        return "`make demo` makes one, or set DATA_DIR and MODEL_PATH to yours"
    return "see the README on how to prepare data and model, or set DATA_DIR and MODEL_PATH"


def leaves(config: Any, prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value of a configuration with the keys that lead to it; an empty mapping is a value, too."""
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*prefix, str(key)))
        else:
            yield (*prefix, str(key)), value


def unresolved(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain dicts, its references to other keys and to the environment left as written."""
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def resolved(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain dicts, with the values that its references lead to."""
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def nearest_key(key: str, others: Iterable[str] = ()) -> str:
    """', did you mean …?' for a key that neither verl nor `others` know; nothing when none comes near."""
    return near(key, [*(".".join(path) for path, _ in leaves(unresolved(verl_defaults()))), *others])


def base_of(recipe: str) -> tuple[str, DictConfig]:
    """What a recipe builds on, the first of its `defaults`: its name, and composed."""
    name = _base_name(recipe, str(_written(recipe).defaults[0]))
    return Path(name).name, _composed_once(name)


def _check_files(name: str, above: tuple[str, ...] = ()) -> None:
    """A recipe and all that it builds on can be read, and lead to verl's own configuration."""
    file = f"recipes/{name}.yaml"
    if name in above:
        raise UserError(f"{file} builds on itself: {' -> '.join([*above[above.index(name) :], name])}")
    bases = [base for base in _written(name).get("defaults") or [] if isinstance(base, str) and base != "_self_"]
    if not bases:
        raise UserError(f"{file} builds on no recipe: begin its `defaults` with one, /drg_sapphire/_base")
    for base in (_base_name(name, base) for base in bases):
        if (RECIPES / f"{base}.yaml").is_file():  # verl's own are elsewhere, and Hydra names one that is nowhere
            _check_files(base, (*above, name))


def _base_name(recipe: str, base: str) -> str:
    # a base that begins with / is none below the recipe's folder
    return str(Path(f"/{recipe}").parent / base.partition("@")[0])[1:]


@cache
def _written(name: str) -> DictConfig:
    return load(RECIPES / f"{name}.yaml")


@cache
def _composed_once(name: str) -> DictConfig:
    return _compose(name, [])


@cache
def _pickled_defaults() -> bytes:
    """The same, of which a copy is had six times as quickly as by deepcopy."""
    return pickle.dumps(verl_defaults())


@cache
def verl_config_dir() -> Path:
    """Where verl keeps its YAML; found without importing verl, which takes long."""
    spec = importlib.util.find_spec("verl")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("verl is not installed in this environment; run `make setup`")
    return (Path(next(iter(spec.submodule_search_locations))) / "trainer" / "config").resolve()


def _compose(name: str, overrides: list[str]) -> DictConfig:
    """What Hydra composes, twice as quick from verl's part as one file: that fits unless more of verl's is chosen."""
    whole, load = _pickled_defaults(), OmegaConf.load

    def loaded(file: Any) -> Any:
        if not Path(file.name).is_relative_to(verl_config_dir()):
            return load(file)
        if Path(file.name).name != "ppo_trainer.yaml":
            raise FileExistsError("one of the thirty that ppo_trainer is composed of")
        config = pickle.loads(whole)
        OmegaConf.set_struct(config, None)
        return config

    try:
        with patch.object(OmegaConf, "load", loaded):
            return _hydra(name, overrides)
    except (*FAULTS, FileExistsError):
        return _hydra(name, overrides)


def _hydra(name: str, overrides: list[str], folder: Path = RECIPES) -> DictConfig:
    with initialize_config_dir(config_dir=str(folder.resolve()), version_base=None, job_name="recipe"):
        return hydra_compose(name, overrides=[*overrides, f"hydra.searchpath=[file://{verl_config_dir()}]"])


def _choices(group: str) -> list[str]:
    return sorted(path.stem for path in (RECIPES / group).glob("*.yaml"))


def near(word: str, words: Iterable[str], otherwise: str = "") -> str:
    """', did you mean …?' with the words that come near, or what is said where none does."""
    found = difflib.get_close_matches(word, list(words), n=3, cutoff=0.6)
    otherwise = otherwise or f"; see {os.path.relpath(RECIPES)}/README.md"
    return f", did you mean {' or '.join(found)}?" if found else otherwise


def _explain(name: str, overrides: list[str], error: Exception) -> str:
    text = " ".join(str(error).split())
    for override in overrides:
        key = re.sub(r"^[~+]*", "", override.split("=", 1)[0])
        try:
            _compose(name, [override])
        except FAULTS as own:
            if "Could not override" in str(own):
                return f"override {override!r}: verl has no key {key}{nearest_key(key)}"
            return f"override {override!r} cannot be read: {' '.join(str(own).split())[:200]}"
    return f"recipes/{name}.yaml does not compose: {text[:300]}"
