"""What is wrong with a composed recipe on any machine: keys that nobody reads, numbers that do not fit, the reward."""

import asyncio
import importlib
import importlib.util
import inspect
import logging
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from common.commands import UserError
from recipes.launcher.check_features import (
    check_groups,
    check_medcode,
    check_model_options,
    check_ratio,
    check_split,
)
from recipes.launcher.compose import base_of, leaves, near, nearest_key, resolved, unresolved, verl_defaults

KEYS = yaml.safe_load(Path(__file__).with_name("keys.yaml").read_text(encoding="utf-8"))
MICRO_BATCHES = {  # and what sizes them by tokens instead
    "actor.ppo_micro_batch_size_per_gpu": "actor.use_dynamic_bsz",
    "ref.log_prob_micro_batch_size_per_gpu": "ref.log_prob_use_dynamic_bsz",
    "rollout.log_prob_micro_batch_size_per_gpu": "rollout.log_prob_use_dynamic_bsz",
}


def check_keys(config: DictConfig) -> None:
    """Every key is one that somebody reads: Hydra adds misspelt keys of a YAML without a word."""
    _, known = _defaults()
    sections = {path[: i + 1] for path in known for i in range(len(path))}
    own = {added.rpartition(".")[0] for added in KEYS["added"]} & {"study", "places", "trainer.v1.medcode"}
    for path, value in leaves(unresolved(config)):
        key = ".".join(path)
        if any("." in part for part in path):
            raise ValueError(f"the key {key} is written with dots in a YAML, where it means nothing; nest it")
        beneath = any(key == opened or key.startswith(f"{opened}.") for opened in KEYS["open"])
        if path in sections - known.keys() or key in own:
            raise ValueError(f"{key} is {value!r}, but keys stand below it; name the one to change, {key}.KEY")
        if not (path in sections or key in KEYS["added"] or beneath):
            raise ValueError(f"verl has no key {key}{nearest_key(key, KEYS['added'])}")
        for dead, alive in KEYS["dead"].items():
            if (key == dead or key.startswith(f"{dead}.")) and value != known.get(path):
                raise ValueError(f"verl accepts {key} and ignores it; use {alive}")


@cache
def _defaults() -> tuple[dict[tuple[str, ...], Any], dict[tuple[str, ...], Any]]:
    """verl's own values by key, resolved and as they are written."""
    return dict(leaves(resolved(verl_defaults()))), dict(leaves(unresolved(verl_defaults())))


def check_types(config: DictConfig) -> None:
    """Where verl's own default is a number or a switch, the value is one; no number is less than makes sense."""
    usual, known = _defaults()
    # a value that stands there before those that refer to it
    for path, value in sorted(leaves(unresolved(config)), key=lambda leaf: "${" in str(leaf[1])):
        key, default = ".".join(path), usual.get(path)
        least = KEYS["least"].get(key)
        if "${" in str(value):  # resolving takes long: one of verl's refers to a key that is looked at itself
            value = default if least is None and value == known.get(path) else OmegaConf.select(config, key)
        if value is None and (least is None or default is None):
            continue
        if isinstance(default, bool):
            if not isinstance(value, bool):
                raise ValueError(f"{key} is {value!r}; it must be true or false")
        elif least is not None or isinstance(default, int | float):
            kind, called = (int, "whole number") if isinstance(least, int) else (int | float, "number")
            if isinstance(value, bool) or not isinstance(value, kind) or not math.isfinite(value):
                raise ValueError(f"{key} is {value!r}, which is no {called}")
            if least is not None and value < least:
                raise ValueError(f"{key} is {value}; it must be at least {least:g}")
    for logger in loggers(config):
        if logger not in KEYS["loggers"]:
            raise ValueError(f"trainer.logger: verl has no {logger!r}{near(logger, KEYS['loggers'])}")


def loggers(config: DictConfig) -> list[str]:
    """Whom verl tells its metrics: one name or several."""
    given = config.trainer.logger
    return [given] if isinstance(given, str) else [str(name) for name in given]


def check_values(config: DictConfig) -> None:
    """Numbers that must fit each other."""
    data, actor = config.data, config.actor_rollout_ref.actor
    completions = data.train_batch_size * config.actor_rollout_ref.rollout.n
    gpus = config.trainer.n_gpus_per_node * config.trainer.nnodes
    if data.train_batch_size % actor.ppo_mini_batch_size:
        raise ValueError(
            f"data.train_batch_size {data.train_batch_size} is no multiple of "
            f"actor.ppo_mini_batch_size {actor.ppo_mini_batch_size}"
        )
    kept = config.trainer.max_actor_ckpt_to_keep
    if kept is not None and kept < 2:
        raise ValueError(
            f"trainer.max_actor_ckpt_to_keep {kept}: verl removes the old checkpoint before the new one is "
            "whole, so a kill in between would lose both; keep 2"
        )
    if completions % gpus:
        raise ValueError(f"{completions} completions a step cannot be shared equally by {gpus} devices")
    share = completions // gpus
    for key, dynamic in MICRO_BATCHES.items():
        size, by_tokens = (OmegaConf.select(config.actor_rollout_ref, each) for each in (key, dynamic))
        if size and not by_tokens and share % size:
            raise ValueError(
                f"each device has {share} completions a step, no multiple of actor_rollout_ref.{key} {size}; "
                "change data.train_batch_size or that key"
            )


def check_prefill(config: DictConfig) -> None:
    """The reward puts back before a completion what the prompt already began for it."""
    given = OmegaConf.select(config, "data.apply_chat_template_kwargs.prefill") or ""
    known = OmegaConf.select(config, "reward.custom_reward_function.reward_kwargs.prefill") or ""
    if given != known:
        raise ValueError(
            f"completions begin with {given!r} (data.apply_chat_template_kwargs.prefill), but the reward's "
            f"option prefill is {known!r}; give both the same"
        )
    if given and "prefill" not in str(config.actor_rollout_ref.model.custom_chat_template):
        raise ValueError("actor_rollout_ref.model.custom_chat_template must name prefill to put it in")


def check_difference(recipe: str, config: DictConfig) -> None:
    """A recipe does something that what it builds on does not."""
    name, base = base_of(recipe)
    if unresolved(config) == unresolved(base):
        raise UserError(f"{recipe}: composes to the same as its {name}.yaml; give it a delta or remove it")


def load_reward(config: DictConfig) -> tuple[ModuleType, Callable[..., Any], dict[str, Any]]:
    """The reward's module, function and options as the recipe names them."""
    section = config.reward.custom_reward_function
    options = OmegaConf.to_container(section.get("reward_kwargs") or OmegaConf.create({}), resolve=True)
    assert isinstance(options, dict)
    try:
        module = _import(str(section.path))
    except (ImportError, OSError, SyntaxError) as error:
        raise ValueError(f"the reward {section.path} cannot be imported: {error}") from error
    function = getattr(module, section.name, None)
    if not callable(function):
        raise ValueError(f"{section.path} has no function {section.name!r}")
    return module, function, {str(key): value for key, value in options.items()}


def asks_judge(config: DictConfig) -> bool:
    """Whether the reward sends requests to a judge, or to a process reward model."""
    section = config.reward.custom_reward_function
    weights = {"judge": "judge_weight", "clinical_note": "note_weight"}
    weight = weights.get(str(section.path).rpartition(".")[2])
    return weight is not None and (section.get("reward_kwargs") or {}).get(weight, 1) != 0


def check_reward(config: DictConfig, here: bool = False) -> None:
    """The reward can be imported and takes the options that the recipe gives; `here`: its data files are there, too."""
    module, function, options = load_reward(config)
    taken = inspect.signature(function).parameters
    takes_all = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in taken.values())
    for option in options:
        if option not in taken and not takes_all:
            names = [name for name, parameter in taken.items() if parameter.kind is inspect.Parameter.KEYWORD_ONLY]
            there = f"; it has {', '.join(names)}"
            raise ValueError(f"the reward has no option {option!r}{near(option, names, there)}")
    if not here:
        written = OmegaConf.to_container(config.reward.custom_reward_function, resolve=False).get("reward_kwargs", {})
        options = {key: value for key, value in options.items() if "${places." not in str(written[key])}
    if hasattr(module, "check_options"):
        module.check_options(**options)


def check_components(config: DictConfig) -> None:
    """GDPO weighs components that the reward returns and that the recipe has not switched off."""
    algorithm = config.algorithm
    if algorithm.adv_estimator != "gdpo":
        return
    keys, weights = list(algorithm.get("gdpo_reward_keys") or []), algorithm.get("gdpo_reward_weights")
    if len(keys) < 2:
        raise ValueError(f"algorithm.adv_estimator gdpo weighs several components; gdpo_reward_keys is {keys}")
    if weights is not None and len(weights) != len(keys):
        raise ValueError(f"algorithm.gdpo_reward_weights has {len(weights)} numbers for {len(keys)} gdpo_reward_keys")
    if not algorithm.norm_adv_by_std_in_grpo:
        raise ValueError("algorithm.adv_estimator gdpo divides by the spread whatever norm_adv_by_std_in_grpo says")
    _, function, options = load_reward(config)
    found = _of_no_answer(function, options)
    for key in keys:
        if key not in found:
            there = ", ".join(name for name, value in found.items() if not isinstance(value, str))
            raise ValueError(f"algorithm.gdpo_reward_keys names {key!r}; the reward returns {there}")
        if options.get(f"{key}_weight") == 0:
            raise ValueError(
                f"algorithm.gdpo_reward_keys names {key}, which the reward's option {key}_weight 0 switches off; "
                "leave it out"
            )


def _of_no_answer(function: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """What a reward returns of an empty answer to an empty gold: no judge is asked, and a complaint says nothing."""
    before = logging.root.manager.disable
    logging.disable()
    try:
        said = function(data_source="", solution_str="", ground_truth="", extra_info={}, **options)
        return asyncio.run(said) if inspect.iscoroutine(said) else said
    finally:
        logging.disable(before)


def check_recipe(recipe: str, config: DictConfig, *here: Callable[[DictConfig], None]) -> None:
    """What is wrong with a recipe on any machine and what the checks of this one find: a sentence about the recipe."""
    checks = (
        check_keys,
        check_types,
        check_values,
        check_split,
        check_medcode,
        check_ratio,
        check_groups,
        check_model_options,
        check_prefill,
    )
    for check in (*checks, check_reward, check_components, *here):
        try:
            check(config)
        except (TypeError, ValueError, OmegaConfBaseException) as error:
            raise UserError(f"{recipe}: {' '.join(str(error).split())}") from error


def _import(path: str) -> ModuleType:
    if path.startswith("pkg://"):
        return importlib.import_module(path.removeprefix("pkg://"))
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
