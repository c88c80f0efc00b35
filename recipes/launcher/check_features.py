"""Features of a composed recipe that could not act, or that verl 0.9.1 breaks: each is a sentence before Ray starts."""

import re
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from recipes.launcher.compose import verl_defaults
from recipes.sizing.shapes import shape_of
from verl_ext.log_probs import why_not
from verl_ext.resampling_rules import MANAGER, Settings
from verl_ext.trainer import KL_SCHEDULES

# Losses and their settings in verl.trainer.ppo.core_algos whose gradient is that of `vanilla` where the ratio of new to
# old policy is 1.
RATIO_LOSSES = ("gspo", "cispo", "sapo", "geo_mean", "dppo_tv", "dppo_kl", "kl_cov", "dro")
RATIO_KEYS = ("clip_ratio", "clip_ratio_low", "clip_ratio_high", "clip_ratio_c", "tau_pos", "tau_neg")
TIED = re.compile(r"Qwen2\.5-(0\.5|1\.5|3)B")  # embedding and output layer are one


def check_medcode(config: DictConfig) -> None:
    """The settings of verl_ext, and what must agree with them."""
    settings = OmegaConf.select(config, "trainer.v1.medcode") or {}
    schedule = settings.get("kl_schedule", "constant")
    if schedule not in KL_SCHEDULES:
        raise ValueError(f"trainer.v1.medcode.kl_schedule is {schedule!r}, not {' or '.join(KL_SCHEDULES)}")
    if schedule != "constant" and not config.actor_rollout_ref.actor.use_kl_loss:
        raise ValueError(f"kl_schedule {schedule} changes a KL that actor.use_kl_loss switches off")
    reuse, metric = settings.get("reuse_log_probs"), settings.get("keep_best")
    if reuse not in (None, True, False):
        raise ValueError(f"trainer.v1.medcode.reuse_log_probs is {reuse!r}; it must be true, false or null")
    if reuse and (reason := why_not(config)):
        raise ValueError(
            f"trainer.v1.medcode.reuse_log_probs: {reason} needs verl's pass before the update; leave it out"
        )
    if metric is not None and (config.trainer.test_freq < 1 or config.trainer.save_freq < 1):
        raise ValueError("trainer.v1.medcode.keep_best needs validations and checkpoints: set test_freq and save_freq")
    manager = OmegaConf.select(config, "actor_rollout_ref.rollout.agent.agent_loop_manager_class")
    resampling = OmegaConf.select(config, "actor_rollout_ref.rollout.custom.resampling")
    if (resampling is None) != (manager != MANAGER):
        needed = f"rollout.custom.resampling and rollout.agent.agent_loop_manager_class {MANAGER}"
        raise ValueError(f"resampling needs both {needed}")
    if resampling is not None:
        Settings.read(resampling)


def check_ratio(config: DictConfig) -> None:
    """What weighs or clips the ratio of new to old policy needs a second update a batch: in the first one it is 1."""
    actor, batch = config.actor_rollout_ref.actor, config.data.train_batch_size
    bypass = OmegaConf.select(config, "algorithm.rollout_correction.bypass_mode")  # the old policy is vLLM's then
    if actor.ppo_epochs > 1 or actor.ppo_mini_batch_size < batch or bypass:
        return
    mode, usual = actor.policy_loss.loss_mode, verl_defaults().actor_rollout_ref.actor
    features = [f"policy_loss.loss_mode {mode}"] if mode in RATIO_LOSSES else []
    features += [f"{key} {actor[key]}" for key in RATIO_KEYS if actor[key] != usual[key]]
    if features:
        raise ValueError(
            f"actor.{features[0]} cannot act with one update a batch, where the ratio of new to old policy "
            f"is 1; make actor.ppo_mini_batch_size a fraction of data.train_batch_size ({batch}) or leave it out"
        )


def check_split(config: DictConfig) -> None:
    """vLLM splits a model over GPUs of the run, as many to each copy, and its attention heads over them."""
    split, shape = config.actor_rollout_ref.rollout.tensor_model_parallel_size, shape_of(config)
    key = "actor_rollout_ref.rollout.tensor_model_parallel_size"
    there = config.trainer.nnodes * config.trainer.n_gpus_per_node
    heads, pairs = (shape.heads, shape.kv_heads) if shape else (split, split)
    # keys and values of fewer heads than GPUs stand on several of them
    possible = [n for n in range(1, there + 1) if not (there % n or heads % n or max(pairs, n) % min(pairs, n))]
    if there % split:
        raise ValueError(f"{key} {split} does not divide the devices of the run, {there}{_one_of(possible)}")
    if split not in possible:
        heads_said = f"{heads} attention heads of the model, {pairs} of them with keys and values"
        raise ValueError(f"{key} {split} does not divide the {heads_said}{_one_of(possible)}")


def _one_of(numbers: list[int]) -> str:
    return f"; take {' or '.join(map(str, numbers))}"


def check_groups(config: DictConfig) -> None:
    """What compares the completions of a prompt needs two of them: of one, every group would be thrown away."""
    if config.actor_rollout_ref.rollout.n > 1:
        return
    features = {
        "algorithm.filter_groups": config.algorithm.filter_groups.enable,
        "algorithm.adv_estimator grpo_passk": config.algorithm.adv_estimator == "grpo_passk",
    }
    for name in (name for name, given in features.items() if given):
        raise ValueError(f"{name} compares the completions of a prompt: set actor_rollout_ref.rollout.n to 2 or more")


def check_model_options(config: DictConfig) -> None:
    """Options of the model that verl accepts and that end in a crash, or in rollouts of another model."""
    model, actor = config.actor_rollout_ref.model, config.actor_rollout_ref.actor
    if model.use_fused_kernels and actor.strategy == "fsdp2" and not _is_tied(config):
        raise ValueError(
            "model.use_fused_kernels crashes under actor.strategy fsdp2 unless the model's output layer is "
            "its embedding (Qwen2.5 up to 3B); leave it out"
        )
    if model.lora_rank > 0 and not model.lora.merge and config.trainer.device == "cpu":
        raise ValueError(
            "model.lora_rank without model.lora.merge: vLLM's CPU build goes on sampling from the start model when it "
            "is sent adapters; take lora=r32 or set actor_rollout_ref.model.lora.merge=true"
        )


def _is_tied(config: DictConfig) -> bool:
    folder = Path(str(config.actor_rollout_ref.model.path))
    if not (folder / "config.json").is_file():
        return bool(TIED.search(f"{folder} {OmegaConf.select(config, 'study.model')}"))
    from transformers import AutoConfig

    return bool(AutoConfig.from_pretrained(folder).tie_word_embeddings)
