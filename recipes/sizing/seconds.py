"""How long a step takes, predicted: arithmetic at a stated utilisation, decoding at a stated bandwidth.

    step(config, shape).seconds

A model to choose hardware by, for H100s alone, until somebody has measured: it is right within a factor, not a percent.
"""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig

from recipes.sizing import grpo, sft
from recipes.sizing.shapes import Shape
from verl_ext.log_probs import reuses

PEAK, UTILISATION = 989e12, 0.35  # an H100 in bf16, and the share of it that training reaches
BANDWIDTH, REACHED = 3.35e12, 0.5  # of its memory, and the share of it that decoding reaches
LINK = 25e9  # bytes a second between a GPU and its host
HOST = 1e11  # bytes a second that AdamW on the host reads and writes
PROMPT, RESPONSE, TAIL = 0.6, 800, 2.0  # share of the longest prompt, tokens of a response, the slowest of a batch
EXAMPLE = 1500  # tokens of an SFT example
FIXED = 10.0  # weights to vLLM, rewards, logging


def lengths(config: DictConfig) -> tuple[float, float]:
    """Tokens of a prompt and a response, as assumed."""
    response = min(RESPONSE, 0.4 * config.data.max_response_length)
    return PROMPT * config.data.max_prompt_length, response


def step(config: DictConfig, shape: Shape) -> dict[str, float]:
    """Seconds of a GRPO step by what they go into."""
    gpus, rooms, n = grpo.devices(config), config.actor_rollout_ref, shape.parameters
    prompt, response = lengths(config)
    completions = config.data.train_batch_size * rooms.rollout.n
    seen = completions * (prompt + response)
    # 2 forward, 4 backward, 2 again for gradient checkpointing; 2 for the old log-probs' pass, 2 for the reference
    passes = 8 + 2 * (not reuses(config)) + 2 * grpo.has_reference(config)
    train = passes * n * seen / (gpus * PEAK * UTILISATION)
    split = rooms.rollout.tensor_model_parallel_size
    batch = completions * split / gpus
    read = (2 * n + batch * (prompt + response / 2) * shape.cache) / split
    decode = TAIL * response * read / (BANDWIDTH * REACHED)
    return {"rollout": decode, "training": train, "offloading": _moved(config, shape, seen / gpus), "rest": FIXED}


def sft_step(said: Mapping[str, Any], shape: Shape, gpus: int) -> float:
    """Seconds of an SFT step: 2 forward, 4 backward, 2 again."""
    rows = said.get("per_device_train_batch_size", 8) * gpus * sft.accumulation(said, gpus)
    return 8 * shape.parameters * rows * EXAMPLE / (gpus * PEAK * UTILISATION)


def _moved(config: DictConfig, shape: Shape, seen: float) -> float:
    """Seconds that what is offloaded spends between host and GPU, and of AdamW where it stays on the host."""
    fsdp, static = config.actor_rollout_ref.actor.fsdp_config, grpo.held(config, shape)
    if static.on_host:  # the weights come with every pass of every micro-batch, the gradients leave with it
        passes = 4 * seen / grpo.tokens(config, "update") + seen / grpo.tokens(config, "log-probs")
        adam = 7 * static.weights * config.trainer.n_gpus_per_node / HOST
        return passes * static.weights / LINK + adam
    return 2 * (fsdp.param_offload * static.weights + fsdp.optimizer_offload * static.moments) / LINK
