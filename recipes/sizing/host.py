"""What a run of verl takes beside its GPUs: memory of the host, disk for checkpoints, processors that Ray must find."""

from omegaconf import DictConfig

from recipes.sizing import grpo
from recipes.sizing.phases import Part
from recipes.sizing.shapes import Shape

PROCESSES = 8e9  # a GPU's worker, its vLLM, and their share of agent loops and rewards
CPUS_A_GPU = 3  # verl reserves them with every GPU (max_colocate_count)


def memory(config: DictConfig, shape: Shape) -> tuple[Part, ...]:
    """Bytes of a node's memory at their largest: what waits there, and the model whole while it is read or saved."""
    fsdp, nodes, n = config.actor_rollout_ref.actor.fsdp_config, config.trainer.nnodes, shape.parameters
    static, gpus = grpo.held(config, shape), config.trainer.n_gpus_per_node
    here = static.on_host
    offloaded = (here or fsdp.param_offload) * static.weights + here * static.gradients
    offloaded += (here or fsdp.optimizer_offload) * static.moments
    readers = gpus if shape.tied else 1  # of a model with one embedding every process reads all of it
    return (
        Part("offloaded", offloaded * gpus, "what the profile offloads, of the node's GPUs"),
        Part("reference", 4 * n / nodes * grpo.has_reference(config), "4 N / nodes"),
        Part("whole model", 4 * n * readers, f"4 N x {readers}, read at the start or saved"),
        Part("processes", PROCESSES * gpus, "8 GB a GPU"),
    )


def disk(config: DictConfig, shape: Shape, total_steps: int | None = None) -> tuple[float, int]:
    """Bytes of one checkpoint, and how many of them stand there at once."""
    static, trainer, gpus = grpo.held(config, shape), config.trainer, grpo.devices(config)
    saved = config.actor_rollout_ref.actor.checkpoint.save_contents
    size = ("model" in saved) * static.weights * gpus + ("optimizer" in saved) * static.moments * gpus
    size += ("hf_model" in saved) * 4 * shape.parameters  # verl exports float32
    if trainer.save_freq <= 0:
        return size, 0
    steps = 0 if total_steps is None else total_steps // trainer.save_freq
    # those that are kept, and one from before this launch or in the making; without a limit, all that will be saved
    return size, (trainer.max_actor_ckpt_to_keep or max(steps, 1)) + 1


def cpus(config: DictConfig) -> int:
    """Processors that Ray must have on all nodes together, or verl waits for ever."""
    units = config.transfer_queue.backend.SimpleStorage.num_data_storage_units
    return CPUS_A_GPU * grpo.devices(config) + units + 2  # TransferQueue's controller, and verl's own task
