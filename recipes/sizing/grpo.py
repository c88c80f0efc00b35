"""Memory of a GPU in verl's GRPO with FSDP2 and a vLLM that sleeps while the trainer works.

    for phase in phases(config, shape, card): print(phase.name, phase.bytes)

Read off verl 0.9.1: workers/engine/fsdp/transformer_impl.py (what is kept, gathered, offloaded and when) and
workers/engine_workers.py (how weights reach vLLM). In the formulas N are parameters, N_l those of a layer, A those of
an adapter, E of the embedding, G GPUs, T tokens of a micro-batch, L layers, H and I hidden and inner width, V the
vocabulary.
"""

from dataclasses import dataclass

from omegaconf import DictConfig, OmegaConf

from recipes.sizing.phases import Part, Phase, largest, phase
from recipes.sizing.shapes import Shape

ENGINE = 2.5e9  # vLLM's work space: activations of a prefill, sampling, CUDA graphs
WIDTHS = {"fp32": 4, "float32": 4, "bf16": 2, "bfloat16": 2, "fp16": 2, "float16": 2}


@dataclass(frozen=True)
class Held:
    """What the trainer keeps of a model on every GPU from step to step, in bytes."""

    weights: float
    gradients: float
    moments: float
    said: tuple[str, str, str]
    on_host: bool  # FSDP's offload_policy: all of it lives in host memory, and layers come when they are needed

    @property
    def parts(self) -> tuple[Part, ...]:
        """As parts of a phase in which all three are on the GPU."""
        if self.on_host:
            return ()
        names = ("weights", "gradients", "moments")
        return tuple(Part(name, getattr(self, name), said) for name, said in zip(names, self.said, strict=True))


def held(config: DictConfig, shape: Shape) -> Held:
    """The static part; with LoRA the base has neither gradients nor moments."""
    fsdp, rank = config.actor_rollout_ref.actor.fsdp_config, config.actor_rollout_ref.model.lora_rank
    width, gpus = WIDTHS.get(str(fsdp.model_dtype), 4), devices(config)
    adapter = shape.adapters(rank) if rank > 0 else 0
    trained, letter = (adapter, "A") if adapter else (shape.parameters, "N")
    everything = f"{width} (N + A) / G" if adapter else f"{width} N / G"
    said = (everything, f"{width} {letter} / G", f"{2 * width} {letter} / G")
    sizes = ((shape.parameters + adapter) * width, trained * width, trained * 2 * width)
    return Held(*(size / gpus for size in sizes), said, bool(fsdp.offload_policy))


def devices(config: DictConfig) -> int:
    """GPUs that train."""
    return config.trainer.nnodes * config.trainer.n_gpus_per_node


def longest(config: DictConfig) -> int:
    """Tokens of the longest sequence: prompt and response."""
    return config.data.max_prompt_length + config.data.max_response_length


def tokens(config: DictConfig, which: str) -> int:
    """Tokens of a micro-batch of `update`, `log-probs` or `reference`."""
    rooms = config.actor_rollout_ref
    dynamic, budget, rows, fsdp = {
        "update": (rooms.actor.use_dynamic_bsz, rooms.actor.ppo_max_token_len_per_gpu,
                   rooms.actor.ppo_micro_batch_size_per_gpu, rooms.actor.fsdp_config),
        "log-probs": (rooms.rollout.log_prob_use_dynamic_bsz, rooms.rollout.log_prob_max_token_len_per_gpu,
                      rooms.rollout.log_prob_micro_batch_size_per_gpu, rooms.actor.fsdp_config),
        "reference": (rooms.ref.log_prob_use_dynamic_bsz, rooms.ref.log_prob_max_token_len_per_gpu,
                      rooms.ref.log_prob_micro_batch_size_per_gpu, rooms.ref.fsdp_config),
    }[which]  # fmt: skip
    share = max(1, config.data.train_batch_size * rooms.rollout.n // devices(config)) * longest(config)
    given = budget if dynamic else (rows or 1) * longest(config)
    return min(given, share) // fsdp.ulysses_sequence_parallel_size


def has_reference(config: DictConfig) -> bool:
    """Whether a model to measure the KL from is built; a LoRA run switches its adapter off in the place of one."""
    wanted = config.actor_rollout_ref.actor.use_kl_loss or config.algorithm.use_kl_in_reward
    return bool(wanted) and config.actor_rollout_ref.model.lora_rank <= 0


def gathered(shape: Shape) -> Part:
    """Two layers whole in bf16, the one at work and the next, and the output layer, which stays."""
    return Part("gathered", 2 * 2 * shape.layer + 2 * shape.embedding, "2 x 2 N_l + 2 E")


def kept(shape: Shape, length: int, checkpointing: bool) -> Part:
    """What the forward pass leaves for the backward pass: the input of every layer, and one layer computed again.

    Then the gradients of a layer in bf16, of two in fp32 on their way to the other GPUs, of the output layer in bf16.
    """
    inner = 26 * shape.hidden + 12 * shape.intermediate
    if checkpointing:
        size, said = length * (2 * shape.layers * shape.hidden + inner), "2 L T H + T (26 H + 12 I)"
    else:
        size, said = length * shape.layers * inner, "L T (26 H + 12 I)"
    return Part("activations", size + 10 * shape.layer + 2 * shape.embedding, f"{said} + 10 N_l + 2 E")


def logits(config: DictConfig, shape: Shape, length: int, update: bool) -> Part:
    """Copies of 2 T V bytes: the logits, what divides them by the temperature, and their gradients."""
    warm = config.actor_rollout_ref.rollout.temperature != 1
    flash = attention(config) == "flash_attention_2"  # which brings a cross-entropy that works in place
    if not update:
        copies = 1 + warm
    else:
        entropy = bool(config.actor_rollout_ref.actor.entropy_coeff)
        copies = (3 if entropy else 1 + warm) + (0 if flash else 2)
    return Part("logits", copies * 2 * length * shape.vocab, f"{copies} x 2 T V")


def attention(config: DictConfig) -> str:
    """verl's default unless the recipe says otherwise."""
    key = "actor_rollout_ref.model.override_config.attn_implementation"
    return str(OmegaConf.select(config, key) or "flash_attention_2")


def phases(config: DictConfig, shape: Shape, card: float) -> list[Phase]:
    """Every phase of a step on one of the GPUs that train, whose memory is `card` bytes."""
    rooms, static = config.actor_rollout_ref, held(config, shape)
    fsdp, rollout = rooms.actor.fsdp_config, rooms.rollout
    on = dict(zip(("weights", "gradients", "moments"), static.parts, strict=False))
    weights = None if fsdp.param_offload else on.get("weights")
    moments = None if fsdp.optimizer_offload else on.get("moments")
    # vLLM takes its share of the card whatever else is there
    split = rollout.tensor_model_parallel_size
    engine = Part("engine", 2 * shape.parameters / split + ENGINE, f"2 N / {split} + 2.5 GB")
    share = rollout.gpu_memory_utilization * card
    cache = Part("KV cache", share - engine.bytes, f"{rollout.gpu_memory_utilization} x card - engine")
    whole = Part("gathered", 4 * shape.embedding, "4 E")  # one tensor on its way to vLLM or to disk
    length, quiet = tokens(config, "update"), tokens(config, "log-probs")
    if has_reference(config):
        quiet = max(quiet, tokens(config, "reference"))
    forward = Part("activations", quiet * (12 * shape.hidden + 6 * shape.intermediate), "T (12 H + 6 I)")
    masks = 0 if attention(config) == "flash_attention_2" else 3
    mask = Part("activations", masks * length**2, "3 T T")
    temporary = static.gradients if static.parts else 0
    loading = phase("start", Part("weights", static.weights, static.said[0]), whole)
    return [
        largest([loading, phase("start", weights, engine, cache)]),
        phase("rollout", weights, moments, engine, cache),
        phase("log-probs", on.get("weights"), moments, gathered(shape), forward, mask,
              logits(config, shape, quiet, update=False)),
        phase("update", *static.parts, gathered(shape), kept(shape, length, rooms.model.enable_gradient_checkpointing),
              mask, logits(config, shape, length, update=True)),
        phase("optimizer step", *static.parts, Part("other", temporary, f"{static.said[1]}, of AdamW")),
        phase("checkpoint", on.get("weights"), moments, whole),
    ]  # fmt: skip
