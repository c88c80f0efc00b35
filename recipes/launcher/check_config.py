"""What is wrong with a composed recipe on any machine: keys that nobody reads, numbers that do not fit, the reward."""

import importlib
import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from common.commands import UserError
from recipes.launcher.compose import base_of, leaves, nearest_key, unresolved, verl_defaults
from verl_ext.resampling_rules import MANAGER, Settings
from verl_ext.trainer import KL_SCHEDULES

# Keys that verl's YAML does not hold and somebody reads all the same. Of these, exactly:
ADDED_KEYS = {
    **dict.fromkeys(("places.data", "places.model"), "this repository: where a run reads"),
    **dict.fromkeys(
        [f"study.{key}" for key in ("sft", "rl", "model", "variant", "start", "phase", "response_length")],
        "this repository: what rows and grids choose",
    ),
    **dict.fromkeys(
        [f"trainer.v1.medcode.{key}" for key in ("kl_schedule", "max_reward_error", "outcomes", "poll_seconds")],
        "verl_ext.trainer",
    ),
    **dict.fromkeys(
        [
            f"actor_rollout_ref.{role}.fsdp_config.mixed_precision.{key}"
            for role in ("actor", "ref")
            for key in ("param_dtype", "reduce_dtype", "buffer_dtype")
        ],
        "verl's FSDPEngineConfig",
    ),
    "actor_rollout_ref.rollout.agent.agent_loop_manager_class": "verl's AgentLoopConfig",
    "actor_rollout_ref.rollout.enable_sleep_mode": "verl's RolloutConfig",
    **dict.fromkeys(
        [f"ray_kwargs.ray_init.{key}" for key in ("address", "num_gpus", "include_dashboard", "namespace")], "ray.init"
    ),
}
# … and of these, whatever stands below them:
OPEN_KEYS = {
    "reward.custom_reward_function.reward_kwargs": "the reward's options",
    "actor_rollout_ref.rollout.custom.resampling": "verl_ext.resampling, which checks them itself",
    "actor_rollout_ref.model.override_config": "transformers' model configuration",
    "actor_rollout_ref.rollout.engine_kwargs": "vLLM's engine arguments",
    "data.apply_chat_template_kwargs": "the tokenizer's chat template",
    "ray_kwargs.ray_init.runtime_env": "Ray",
}
# Keys that verl 0.9.1 accepts and ignores, and what works in their place.
DEAD_KEYS = {
    "custom_reward_function": "reward.custom_reward_function",
    "reward_model": "reward.reward_model",
    "actor_rollout_ref.actor.grad_clip": "actor_rollout_ref.actor.optim.clip_grad",
    "data.truncation": "data preparation, which cuts notes to --max-prompt-tokens",
}


MICRO_BATCHES = (
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu",
    "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu",
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu",
)


def check_keys(recipe: str, config: DictConfig) -> None:
    """Every key is one that somebody reads: Hydra adds misspelt keys of a YAML without a word."""
    known = dict(leaves(unresolved(verl_defaults())))
    sections = {path[: i + 1] for path in known for i in range(len(path))}
    for path, value in leaves(unresolved(config)):
        key = ".".join(path)
        if any("." in part for part in path):
            raise UserError(f"{recipe}: the key {key} is written with dots in a YAML, where it means nothing; nest it")
        beneath = any(key == opened or key.startswith(f"{opened}.") for opened in OPEN_KEYS)
        if not (path in sections or key in ADDED_KEYS or beneath):
            raise UserError(f"{recipe}: verl has no key {key}{nearest_key(key, ADDED_KEYS)}")
        for dead, alive in DEAD_KEYS.items():
            if (key == dead or key.startswith(f"{dead}.")) and value != known.get(path):
                raise UserError(f"{recipe}: verl accepts {key} and ignores it; use {alive}")


def check_values(recipe: str, config: DictConfig) -> None:
    """Numbers that must fit each other."""
    data, actor = config.data, config.actor_rollout_ref.actor
    completions = data.train_batch_size * config.actor_rollout_ref.rollout.n
    gpus = config.trainer.n_gpus_per_node * config.trainer.nnodes
    if data.train_batch_size % actor.ppo_mini_batch_size:
        raise UserError(
            f"{recipe}: data.train_batch_size {data.train_batch_size} is no multiple of "
            f"actor.ppo_mini_batch_size {actor.ppo_mini_batch_size}"
        )
    kept = config.trainer.max_actor_ckpt_to_keep
    if kept is not None and kept < 2:
        raise UserError(
            f"{recipe}: trainer.max_actor_ckpt_to_keep {kept}: verl removes the old checkpoint before the new one is "
            "whole, so a kill in between would lose both; keep 2"
        )
    if completions % gpus:
        raise UserError(f"{recipe}: {completions} completions a step cannot be shared equally by {gpus} devices")
    for key in MICRO_BATCHES:
        section, name = key.rsplit(".", 1)
        size = OmegaConf.select(config, key)
        prefix = "log_prob_" if name.startswith("log_prob") else ""
        if size and not OmegaConf.select(config, f"{section}.{prefix}use_dynamic_bsz") and completions // gpus % size:
            raise UserError(
                f"{recipe}: each device has {completions // gpus} completions a step, no multiple of {key} {size}; "
                "change data.train_batch_size or that key"
            )


def check_medcode(recipe: str, config: DictConfig) -> None:
    """The settings of verl_ext, and what must agree with them."""
    settings = OmegaConf.select(config, "trainer.v1.medcode") or {}
    schedule = settings.get("kl_schedule", "constant")
    if schedule not in KL_SCHEDULES:
        raise UserError(f"{recipe}: trainer.v1.medcode.kl_schedule is {schedule!r}, not {' or '.join(KL_SCHEDULES)}")
    if schedule != "constant" and not config.actor_rollout_ref.actor.use_kl_loss:
        raise UserError(f"{recipe}: kl_schedule {schedule} changes a KL that actor.use_kl_loss switches off")
    manager = OmegaConf.select(config, "actor_rollout_ref.rollout.agent.agent_loop_manager_class")
    resampling = OmegaConf.select(config, "actor_rollout_ref.rollout.custom.resampling")
    if (resampling is None) != (manager != MANAGER):
        raise UserError(
            f"{recipe}: resampling needs both rollout.custom.resampling and "
            f"rollout.agent.agent_loop_manager_class {MANAGER}"
        )
    if resampling is not None:
        try:
            Settings.read(resampling)
        except ValueError as error:
            raise UserError(f"{recipe}: {error}") from error


def check_prefill(recipe: str, config: DictConfig) -> None:
    """The reward puts back before a completion what the prompt already began for it."""
    given = OmegaConf.select(config, "data.apply_chat_template_kwargs.prefill") or ""
    known = OmegaConf.select(config, "reward.custom_reward_function.reward_kwargs.prefill") or ""
    if given != known:
        raise UserError(
            f"{recipe}: completions begin with {given!r} (data.apply_chat_template_kwargs.prefill), but the reward's "
            f"option prefill is {known!r}; give both the same"
        )
    if given and "prefill" not in str(config.actor_rollout_ref.model.custom_chat_template):
        raise UserError(f"{recipe}: actor_rollout_ref.model.custom_chat_template must name prefill to put it in")


def check_difference(recipe: str, config: DictConfig) -> None:
    """A row does something that its base does not."""
    if unresolved(config) == unresolved(base_of(recipe)):
        raise UserError(f"{recipe}: composes to the same as its _base.yaml; give it a delta or remove it")


def load_reward(recipe: str, config: DictConfig) -> tuple[ModuleType, Callable[..., Any], dict[str, Any]]:
    """The reward's module, function and options as the recipe names them."""
    section = config.reward.custom_reward_function
    options = OmegaConf.to_container(section.get("reward_kwargs") or OmegaConf.create({}), resolve=True)
    assert isinstance(options, dict)
    try:
        module = _import(str(section.path))
    except (ImportError, OSError, SyntaxError) as error:
        raise UserError(f"{recipe}: the reward {section.path} cannot be imported: {error}") from error
    function = getattr(module, section.name, None)
    if not callable(function):
        raise UserError(f"{recipe}: {section.path} has no function {section.name!r}")
    return module, function, {str(key): value for key, value in options.items()}


def asks_judge(config: DictConfig) -> bool:
    """Whether the reward sends requests to a judge."""
    section = config.reward.custom_reward_function
    return str(section.path).endswith(".judge") and (section.get("reward_kwargs") or {}).get("judge_weight", 1) != 0


def check_reward(recipe: str, config: DictConfig, here: bool = False) -> None:
    """The reward can be imported and takes the options that the recipe gives; `here`: its data files are there, too."""
    module, function, options = load_reward(recipe, config)
    taken = inspect.signature(function).parameters
    takes_all = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in taken.values())
    for option in options:
        if option not in taken and not takes_all:
            names = [name for name, parameter in taken.items() if parameter.kind is inspect.Parameter.KEYWORD_ONLY]
            raise UserError(f"{recipe}: the reward has no option {option!r}; it has {', '.join(names)}")
    if not here:
        written = OmegaConf.to_container(config.reward.custom_reward_function, resolve=False).get("reward_kwargs", {})
        options = {key: value for key, value in options.items() if "${places." not in str(written[key])}
    if hasattr(module, "check_options"):
        try:
            module.check_options(**options)
        except (TypeError, ValueError) as error:
            raise UserError(f"{recipe}: reward_kwargs: {error}") from error


def check_recipe(recipe: str, config: DictConfig) -> None:
    """What is wrong with a recipe on any machine."""
    check_keys(recipe, config)
    try:
        for check in (check_values, check_medcode, check_prefill, check_reward):
            check(recipe, config)
    except OmegaConfBaseException as error:
        raise UserError(f"{recipe}: {' '.join(str(error).split())[:300]}") from error


def _import(path: str) -> ModuleType:
    if path.startswith("pkg://"):
        return importlib.import_module(path.removeprefix("pkg://"))
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
