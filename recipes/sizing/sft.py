"""Memory of a GPU in SFT and DPO with trl: FSDP2 by accelerate on several GPUs, plain torch on one.

The letters are those of recipes.sizing.grpo; T is what a micro-batch holds when every example is as long as max_length.
"""

from collections.abc import Mapping
from typing import Any

from recipes.sizing.grpo import gathered, kept
from recipes.sizing.phases import Part, Phase, phase
from recipes.sizing.shapes import Shape

CHUNK = 256  # tokens whose logits trl's chunked loss holds at a time


def synchronizes(said: Mapping[str, Any]) -> bool:
    """Whether gradients are shared out after every micro-batch, and never held whole."""
    kwargs = (said.get("accelerator_config") or {}).get("gradient_accumulation_kwargs") or {}
    return bool(kwargs.get("sync_each_batch")) or accumulation(said, 1) == 1


def accumulation(said: Mapping[str, Any], gpus: int) -> int:
    """Micro-batches a step: what makes `global_batch` of them."""
    if not said.get("global_batch"):
        return said.get("gradient_accumulation_steps", 1)
    return max(1, said["global_batch"] // (said.get("per_device_train_batch_size", 8) * gpus))


def phases(said: Mapping[str, Any], shape: Shape, gpus: int) -> list[Phase]:
    """Both phases of a step with the settings of an SFT or, where they have a `beta`, of a DPO configuration."""
    pairs = 2 if "beta" in said else 1  # DPO: chosen and rejected, beside the model that the training starts from
    length = pairs * said.get("per_device_train_batch_size", 8) * said["max_length"]
    n, rank = shape.parameters, said.get("lora_rank", 0)
    if rank:  # the base is frozen, in bf16
        a = shape.adapters(rank)
        sizes, letters = (2 * n + 4 * a, 4 * a, 8 * a), ("(2 N + 4 A)", "4 A", "8 A")
    else:
        sizes, letters = (4 * n, 4 * n, 8 * n), ("4 N", "4 N", "8 N")
    names = ("weights", "gradients", "moments")
    static = [Part(name, size / gpus, f"{of} / G") for name, size, of in zip(names, sizes, letters, strict=True)]
    reference = Part("weights", 4 * n / gpus, "4 N / G, the reference") if pairs == 2 and not rank else None
    if gpus > 1:
        whole = Part("gathered", 2 * shape.embedding, "2 E")  # the embedding stays, beside the output layer
        unsharded = None if rank or synchronizes(said) else Part("gradients", 2 * n, "2 N, whole between two steps")
        compute = [gathered(shape), whole, unsharded]
    else:  # autocast keeps the weights that it has rounded
        compute = [None if rank else Part("gathered", 2 * n, "2 N, rounded by autocast")]
    if pairs == 2:  # trl's DPO holds the logits of both models whole
        loss = Part("logits", 4 * 2 * length * shape.vocab, "4 x 2 T V")
    else:
        loss = Part("logits", 3 * 4 * CHUNK * shape.vocab, "3 x 4 x 256 V")
    acts = kept(shape, length, bool(said.get("gradient_checkpointing")))
    return [
        phase("update", *static, reference, *compute, acts, loss),
        phase("optimizer step", *static, reference),  # transformers' AdamW is fused
    ]
