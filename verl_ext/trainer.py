"""The recipes' trainer: verl's synchronous one with a KL schedule, an account of its batches, no training on a fault.

    trainer.v1.trainer_mode: medcode      # with VERL_USE_EXTERNAL_MODULES=verl_ext.trainer
    trainer.v1.medcode:                   # and their defaults
      kl_schedule: constant               # cosine: from kl_loss_coef towards 0 over the whole run
      max_reward_error: 0.01              # the share of faulty rewards above which a step does not train
      outcomes: null                      # a folder for the rewards of every training group (recipes.run sets it)
      poll_seconds: 2                     # how often finished rollouts are looked for; long where a step takes five

verl logs the components of a reward (accuracy, format, …) in validation only; here those of every training batch become
metrics, `reward/NAME/mean`, beside `groups/…`. A reward that failed says so (`reward_error`); a batch with too many of
them stops the run before it can change the policy, because verl would train on the fault.
"""

import types
from collections.abc import Mapping
from functools import partial
from math import cos, pi
from pathlib import Path
from typing import Any

import wrapt

from verl_ext import require_verl
from verl_ext.adapters import export_merged
from verl_ext.batches import Group, component_means, group_statistics, write_outcomes

MODE = "medcode"
MAX_REWARD_ERROR = 0.01
KL_SCHEDULES = ("constant", "cosine")
LOG_PROB_LOSSES = ("cispo", "gpg")  # verl's losses that weigh log-probabilities themselves


class RewardError(RuntimeError):
    """Too many rewards of a batch are faults: the run must stop."""


def kl_coefficient(schedule: str, start: float, updates: int, total: int) -> float:
    """The KL coefficient after that many updates of a run of so many: DRG-Sapphire's equation A.4 for `cosine`."""
    if schedule == "constant":
        return start
    if schedule != "cosine":
        raise ValueError(f"trainer.v1.{MODE}.kl_schedule is {schedule!r}; it can be {' or '.join(KL_SCHEDULES)}")
    return start * 0.5 * (1 + cos(pi * updates / total))


def stop_on_faults(means: Mapping[str, float], step: int, limit: float) -> None:
    """Raise when the share of faulty rewards is over the limit."""
    share = means.get("reward/reward_error/mean", 0.0)
    if share > limit:
        raise RewardError(
            f"{share:.1%} of the rewards of step {step} are faults, more than trainer.v1.{MODE}.max_reward_error "
            f"({limit:.1%}); the policy was not updated: mend the reward (log.txt says what it met) "
            "and launch the run again, which resumes it"
        )


def register(trainer_base: types.ModuleType) -> None:
    """Register the trainer with verl, once verl's own is there."""
    import transfer_queue
    from omegaconf import open_dict
    from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
    from verl.utils.config import omega_conf_to_dataclass
    from verl.workers.utils.losses import ppo_loss

    class RecipeTrainer(PPOTrainerSync):
        def __init__(self, config: Any) -> None:
            self.settings = config.trainer.v1.get(MODE, {})
            with open_dict(config):  # in six places verl takes any mode not called "sync" for an asynchronous one
                config.trainer.v1.trainer_mode = "sync"
            super().__init__(config)

        def _build_replay_buffer(self) -> Any:
            buffer = super()._build_replay_buffer()
            buffer.poll_interval = self.settings.get("poll_seconds", buffer.poll_interval)
            return buffer

        def on_step_begin(self) -> None:
            super().on_step_begin()
            schedule = self.settings.get("kl_schedule", "constant")
            if schedule == "constant" or not self.config.actor_rollout_ref.actor.use_kl_loss:
                return
            actor = omega_conf_to_dataclass(self.config.actor_rollout_ref.actor)
            beta = kl_coefficient(schedule, actor.kl_loss_coef, self.global_steps - 1, self.total_training_steps)
            object.__setattr__(actor, "kl_loss_coef", beta)  # a copy for this step; the configuration keeps the start
            self.actor_rollout_wg.set_loss_fn(partial(ppo_loss, config=actor))

        def _update_actor(self, batch: Any, metrics: dict[str, Any]) -> Any:
            groups = self._groups(batch)
            means = component_means(info for group in groups for info in group.infos)
            metrics.update(means)
            stop_on_faults(means, self.global_steps, self.settings.get("max_reward_error", MAX_REWARD_ERROR))
            metrics.update(group_statistics(groups))
            if folder := self.settings.get("outcomes"):
                write_outcomes(Path(folder), self.global_steps, groups)
            return super()._update_actor(batch, metrics)

        def _groups(self, batch: Any) -> list[Group]:
            """The rewards of the batch by prompt; rows that only fill the batch up are left out."""
            names = ["uid", "extra_info", "extra_fields"]
            weighed = self.config.actor_rollout_ref.actor.policy_loss.loss_mode in LOG_PROB_LOSSES
            wanted = [*names, "old_log_probs"] if weighed else names
            stored = transfer_queue.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=wanted)
            columns = [stored.pop(name).tolist() for name in names]
            if weighed:  # as one more component, so that the loss can be computed again from the outcomes
                for fields, row in zip(columns[2], stored["old_log_probs"].unbind(), strict=True):
                    fields["reward_extra_info"]["log_prob"] = float(row.sum())
            found: dict[str, Group] = {}
            for uid, extra, fields, tag in zip(*columns, batch.tags, strict=True):
                if not tag.get("is_padding", False):
                    group = found.setdefault(uid, Group(extra.get("index"), extra.get("hadm_id"), [], []))
                    group.infos.append(fields["reward_extra_info"])
                    group.tokens.append(tag["response_len"])
            return list(found.values())

    trainer_base.register_trainer(MODE)(RecipeTrainer)


require_verl()
wrapt.register_post_import_hook(register, "verl.trainer.ppo.v1")
wrapt.register_post_import_hook(export_merged, "verl.utils.checkpoint.fsdp_checkpoint_manager")
