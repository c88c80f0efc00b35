"""What cannot run for want of memory, GPUs, processors, a driver or a kernel: a sentence before Ray starts."""

import copy
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from typing import NamedTuple

from omegaconf import DictConfig, OmegaConf

from common.commands import UserError
from recipes.launcher.check_config import asks_judge
from recipes.sizing import grpo, host
from recipes.sizing.phases import SPARE, Phase, largest
from recipes.sizing.shapes import Shape, shape_of

DRIVER = 580  # torch 2.11 and vLLM 0.24 are built for CUDA 13
BUSY = 0.1  # of a GPU's memory in use: somebody else, or the judge, works there
ROOMS = "actor_rollout_ref"


class Gpu(NamedTuple):
    """A visible GPU as the driver tells."""

    bytes: float
    used: float
    driver: str


@cache
def visible() -> tuple[Gpu, ...] | None:
    """The GPUs that a process here sees; nothing where there is no driver, as on a login node."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    asked = "--query-gpu=index,uuid,memory.total,memory.used,driver_version"
    done = subprocess.run([program, asked, "--format=csv,noheader,nounits"], capture_output=True, text=True)
    rows = [[word.strip() for word in line.split(",")] for line in done.stdout.splitlines() if line.count(",") == 4]
    if done.returncode or not rows:
        return None
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [name.strip() for name in chosen.split(",")] if chosen is not None else [row[0] for row in rows]
    there = [row for row in rows if any(name and (name == row[0] or row[1].startswith(name)) for name in names)]
    return tuple(Gpu(float(total) * 2**20, float(used) * 2**20, driver) for _, _, total, used, driver in there)


def card(config: DictConfig, here: bool = False) -> float:
    """Bytes of the profile's GPU, or of the smallest that is visible `here`."""
    profile = float(OmegaConf.select(config, "study.gpu_gb") or 0) * 1e9
    return min([profile, *(gpu.bytes for gpu in visible() or ())]) if here else profile


def check_fit(config: DictConfig, here: bool = False) -> None:
    """Every phase leaves 5 % of the card, and vLLM has room for one longest sequence."""
    shape, size = shape_of(config), card(config, here)
    if config.trainer.device == "cpu" or shape is None or not size:
        return
    if said := fault(config, shape, size):
        raise ValueError(f"{said}; {_remedy(config, shape, size)}")


def check_gpus(config: DictConfig) -> None:
    """The driver is new enough, and the GPUs that the run and its judge need are visible and free."""
    found = None if config.trainer.device == "cpu" or _elsewhere(config) else visible()
    if found is None:
        return
    if found and int(found[0].driver.split(".")[0]) < DRIVER:
        raise UserError(
            f"the driver of this machine is {found[0].driver}; torch 2.11 and vLLM 0.24 are built for CUDA 13 and need "
            f"{DRIVER} or newer: have it updated, or take another node"
        )
    asked, free = config.trainer.n_gpus_per_node, sum(gpu.used <= BUSY * gpu.bytes for gpu in found)
    judge = int(os.environ.get("JUDGE_GPUS") or 1) if asks_judge(config) and not os.environ.get("JUDGE_URL") else 0
    if asked + judge > free:
        busy = f", of which {len(found) - free} are in use" if free < len(found) else ""
        beside = f" and the judge for {judge} more" if judge else ""
        taken = " (the judge has its own)" if os.environ.get("JUDGE_URL") else ""
        smaller = ", a smaller profile (hardware=h100x1)" if asked > 1 else ""
        more = f"take a node with more{smaller}, or set CUDA_VISIBLE_DEVICES"
        end = "end what uses the GPU (nvidia-smi names it), or take another node"
        raise ValueError(
            f"trainer.n_gpus_per_node asks for {asked} GPUs{beside}, but {len(found)} are visible{taken}{busy}; "
            + (end if asked + judge <= len(found) else more)
            + (", or start the judge elsewhere and set JUDGE_URL" if judge or taken else "")
        )


def check_cpus(config: DictConfig) -> None:
    """Ray finds the processors that verl reserves; it would wait for more for ever."""
    if _elsewhere(config):
        return
    given = OmegaConf.select(config, "ray_kwargs.ray_init.num_cpus")
    there, needed = (given or os.cpu_count() or 1) * config.trainer.nnodes, host.cpus(config)
    if there < needed:
        units = "transfer_queue.backend.SimpleStorage.num_data_storage_units"
        raise ValueError(
            f"verl reserves {needed} processors of Ray (3 a GPU, {units}, 2) and there are {there}; ask for more "
            f"(sbatch --cpus-per-task={-(-needed // config.trainer.nnodes)}), or say "
            f"ray_kwargs.ray_init.num_cpus={needed}: they are seats for its actors, not cores"
        )


def check_attention(config: DictConfig) -> None:
    """flash-attn is installed where the model is to use it."""
    if config.trainer.device != "cpu" and grpo.attention(config) == "flash_attention_2" and not find_spec("flash_attn"):
        raise UserError(
            "flash-attn is not installed, which the recipe's attention needs: run make setup "
            "FLASH_ATTN_WHEEL=URL (recipes/hardware/README.md), or do without it: "
            f"{ROOMS}.model.override_config.attn_implementation=sdpa"
        )


def _elsewhere(config: DictConfig) -> bool:
    """Whether Ray runs already, perhaps on other machines."""
    address = OmegaConf.select(config, "ray_kwargs.ray_init.address") or os.environ.get("RAY_ADDRESS", "local")
    return address != "local"


def fault(config: DictConfig, shape: Shape, size: float) -> str | None:
    """Why a GPU of that size cannot hold the run, if it cannot."""
    phases = grpo.phases(config, shape, size)
    most: Phase = largest(phases)
    if most.bytes > (1 - SPARE) * size:
        return (
            f"{most.name} would take {most.bytes / 1e9:.0f} GB on each GPU, and {(1 - SPARE) * size / 1e9:.0f} of its "
            f"{size / 1e9:.1f} may be used"
        )
    cache = next(part.bytes for phase in phases for part in phase.parts if part.column == "KV cache")
    room = int(cache * config.actor_rollout_ref.rollout.tensor_model_parallel_size / shape.cache)
    if room < grpo.longest(config):
        return f"vLLM would have room for {max(room, 0)} tokens, less than the {grpo.longest(config)} of one sequence"
    return None


def _remedy(config: DictConfig, shape: Shape, size: float) -> str:
    """The nearest change that makes it fit."""
    for changes in _candidates(config):
        trial = copy.deepcopy(config)
        for key, value in changes.items():
            OmegaConf.update(trial, f"{ROOMS}.{key}", value, force_add=True)
        if fault(trial, shape, size) is None:
            words = (f"{ROOMS}.{key}={str(value).lower()}" for key, value in changes.items())
            return f"say {' '.join(words)}"
    return f"take more GPUs or larger ones (hardware=NAME), a smaller model, or adapters ({ROOMS}.model.lora_rank)"


def _candidates(config: DictConfig) -> Iterator[dict[str, object]]:
    """Changes that keep what is trained, the cheapest first."""
    budgets = {
        "update": "actor.ppo_max_token_len_per_gpu",
        "log-probs": "rollout.log_prob_max_token_len_per_gpu",
        "reference": "ref.log_prob_max_token_len_per_gpu",
    }
    least = -(-grpo.longest(config) // 1024) * 1024
    now = {which: OmegaConf.select(config, f"{ROOMS}.{key}") for which, key in budgets.items()}
    smaller = [n for n in (32768, 24576, 16384, 12288, 8192, 4096) if n > least] + [least]
    shrunk: dict[str, object] = {}
    for which, key in budgets.items():
        for budget in smaller:
            if budget < now[which]:
                yield {key: budget}
        shrunk[key] = min(least, now[which])
    for share in (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3):
        yield {"rollout.gpu_memory_utilization": share}
    offload: dict[str, object] = {"actor.fsdp_config.param_offload": True, "actor.fsdp_config.optimizer_offload": True}
    for change in (offload, {"actor.fsdp_config.offload_policy": True}):
        yield change
        yield {**change, **shrunk}
        yield {**change, **shrunk, "rollout.gpu_memory_utilization": 0.8}
