"""The log-probabilities of the old policy without a pass of their own.

verl runs the actor over a batch before it updates it, for the policy's log-probabilities. Where the batch makes one
update the old policy is the one that is updated, so the update's own log-probabilities are the same numbers. Then its
loss takes them, and hands them with the entropy to the trainer, whose metrics are made of them.

    trainer.v1.medcode.reuse_log_probs: null     # where one update a batch makes it exact; true, false
"""

from typing import Any

from omegaconf import DictConfig, OmegaConf

NEED_THE_PASS = ("gae", "optimal_token_baseline", "tir_optimal_token_baseline")  # estimators, before the update


def why_not(config: DictConfig) -> str:
    """What needs the pass before the update; nothing where the update's own log-probabilities do."""
    actor, algorithm = config.actor_rollout_ref.actor, config.algorithm
    correction = OmegaConf.select(algorithm, "rollout_correction") or {}
    if actor.ppo_epochs > 1 or actor.ppo_mini_batch_size < config.data.train_batch_size:
        return "several updates a batch (actor.ppo_epochs, actor.ppo_mini_batch_size)"
    for key in ("rollout_is", "rollout_rs", "bypass_mode"):
        if correction.get(key):
            return f"algorithm.rollout_correction.{key}"
    if algorithm.use_kl_in_reward:
        return "algorithm.use_kl_in_reward"
    return f"algorithm.adv_estimator {algorithm.adv_estimator}" if algorithm.adv_estimator in NEED_THE_PASS else ""


def reuses(config: DictConfig) -> bool:
    """Whether a run does without the pass."""
    wanted = OmegaConf.select(config, "trainer.v1.medcode.reuse_log_probs")
    return not why_not(config) if wanted is None else wanted


def loss_of_the_only_update(
    model_output: dict[str, Any], data: Any, dp_group: Any = None, *, config: Any, keys: list[str], partition: str
) -> tuple[Any, dict[str, Any]]:
    """verl's loss with the log-probabilities of this very forward pass as those of the old policy."""
    import transfer_queue
    from tensordict import TensorDict
    from verl.workers.utils.losses import ppo_loss
    from verl.workers.utils.padding import response_from_nested

    now = {name: model_output[name].detach() for name in ("log_probs", "entropy")}
    rows = data["row"].flatten().tolist()
    fields = TensorDict({name: value.cpu() for name, value in now.items()}, batch_size=len(rows))
    transfer_queue.kv_batch_put(keys=[keys[row] for row in rows], partition_id=partition, fields=fields)
    data["old_log_probs"] = response_from_nested(now["log_probs"], data["response_mask"])
    if not (config.entropy_coeff or config.calculate_entropy):
        del model_output["entropy"]  # and with it what its gradient would need
    return ppo_loss(config, model_output, data, dp_group)
