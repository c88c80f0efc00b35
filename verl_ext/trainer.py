"""The recipes' trainer: verl's synchronous one with a KL schedule, an account of its batches, no training on a fault.

    trainer.v1.trainer_mode: medcode      # with VERL_USE_EXTERNAL_MODULES=verl_ext.trainer
    trainer.v1.medcode:                   # and their defaults
      kl_schedule: constant               # cosine: from kl_loss_coef towards 0 over the whole run
      max_reward_error: 0.01              # the share of faulty rewards above which a step does not train
      outcomes: null                      # a folder for the rewards of every training group (recipes.run sets it)
      poll_seconds: 2                     # how often finished rollouts are looked for; long where a step takes five
      reuse_log_probs: null               # where it is exact (verl_ext.log_probs); true, false
      keep_best: null                     # a metric of validation whose best checkpoint stays (verl_ext.best)

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
from unittest.mock import patch

import wrapt

from verl_ext import best, require_verl
from verl_ext.adapters import export_merged
from verl_ext.batches import Group, component_means, group_statistics, write_outcomes
from verl_ext.gdpo import with_components
from verl_ext.log_probs import loss_of_the_only_update, reuses
from verl_ext.weight_socket import of_this_run

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


def register(trainers: types.ModuleType) -> None:
    """Register the trainer with verl, once verl's own is there."""
    import torch
    import transfer_queue
    from omegaconf import open_dict
    from tensordict import TensorDict
    from verl.protocol import DataProto
    from verl.trainer.ppo.rollout_corr_helper import compute_rollout_correction_and_add_to_batch
    from verl.trainer.ppo.v1 import trainer_base
    from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
    from verl.utils.config import omega_conf_to_dataclass
    from verl.workers.utils.losses import ppo_loss

    class RecipeTrainer(PPOTrainerSync):
        def __init__(self, config: Any) -> None:
            self.settings = config.trainer.v1.get(MODE, {})
            self.reuses, self.correction = reuses(config), config.algorithm.rollout_correction
            self.actor_config = omega_conf_to_dataclass(config.actor_rollout_ref.actor)
            with open_dict(config):  # in six places verl takes any mode not called "sync" for an asynchronous one
                config.trainer.v1.trainer_mode = "sync"
                if self.reuses:  # the update's entropy is for its metric alone, and what needs log-probabilities waits
                    config.actor_rollout_ref.actor.calculate_entropy = True
                    config.actor_rollout_ref.actor.fsdp_config.entropy_checkpointing = True
                    config.algorithm.rollout_correction = None
            super().__init__(config)

        def _build_replay_buffer(self) -> Any:
            buffer = super()._build_replay_buffer()
            buffer.poll_interval = self.settings.get("poll_seconds", buffer.poll_interval)
            return buffer

        def _compute_old_log_prob(self, batch: Any, metrics: dict[str, Any]) -> Any:
            return batch if self.reuses else super()._compute_old_log_prob(batch, metrics)

        def _compute_advantage(self, batch: Any, metrics: dict[str, Any]) -> Any:
            if self.config.algorithm.adv_estimator != "gdpo":
                return super()._compute_advantage(batch, metrics)
            stored = self._stored(batch, ["extra_fields"])
            infos = [row["reward_extra_info"] for row in stored.pop("extra_fields").tolist()]
            compute = with_components(trainer_base.compute_advantage_for_multi_trajectories, infos)
            with patch.object(trainer_base, "compute_advantage_for_multi_trajectories", compute):
                return super()._compute_advantage(batch, metrics)

        def _update_actor(self, batch: Any, metrics: dict[str, Any]) -> Any:
            groups = self._groups(batch)
            means = component_means(info for group in groups for info in group.infos)
            metrics.update(means)
            stop_on_faults(means, self.global_steps, self.settings.get("max_reward_error", MAX_REWARD_ERROR))
            metrics.update(group_statistics(groups))
            self._set_loss(batch)
            done = super()._update_actor(batch, metrics)
            if self.reuses:
                self._log_prob_metrics(batch, metrics)
            if folder := self.settings.get("outcomes"):
                weighed = self.actor_config.policy_loss.loss_mode in LOG_PROB_LOSSES
                write_outcomes(Path(folder), self.global_steps, self._groups(batch, True) if weighed else groups)
            return done

        def _set_loss(self, batch: Any) -> None:
            """The loss of this step, whose KL coefficient follows the schedule; the configuration keeps the start."""
            start, schedule = (
                self.config.actor_rollout_ref.actor.kl_loss_coef,
                self.settings.get("kl_schedule", "constant"),
            )
            beta = kl_coefficient(schedule, start, self.global_steps - 1, self.total_training_steps)
            object.__setattr__(self.actor_config, "kl_loss_coef", beta)
            loss = partial(ppo_loss, config=self.actor_config)
            if self.reuses:
                rows = TensorDict({"row": torch.arange(len(batch.keys))}, batch_size=len(batch.keys))
                put = transfer_queue.kv_batch_put(keys=batch.keys, partition_id=batch.partition_id, fields=rows)
                batch.fields = put.fields  # what the workers are given
                where = {"keys": batch.keys, "partition": batch.partition_id}
                loss = partial(loss_of_the_only_update, config=self.actor_config, **where)
            self.actor_rollout_wg.set_loss_fn(loss)

        def _log_prob_metrics(self, batch: Any, metrics: dict[str, Any]) -> None:
            """What verl's pass would have said of the old policy: the update has put its values where the pass does."""
            with patch.object(self.actor_rollout_wg, "compute_log_prob", lambda batch: batch):
                super()._compute_old_log_prob(batch, metrics)
            stored = self._stored(batch, ["response_mask", "old_log_probs", "rollout_log_probs"])
            if self.correction is not None and "rollout_log_probs" in stored:
                padded = DataProto(batch=stored.to_padded_tensor())
                metrics.update(compute_rollout_correction_and_add_to_batch(padded, self.correction)[1])

        def _validate(self) -> dict[str, float]:
            found = super()._validate()
            if metric := self.settings.get("keep_best"):
                checkpoints = Path(self.config.trainer.default_local_dir)
                if best.is_better(checkpoints, metric, found) and self.global_steps:
                    if not (checkpoints / f"global_step_{self.global_steps}" / "data.pt").exists():
                        self.checkpoint_manager.sleep_replicas()  # saving needs the memory that they use
                        self._save_checkpoint()
                        self.checkpoint_manager.update_weights(self.global_steps)
                    best.keep(checkpoints, self.global_steps, metric, float(found[metric]))
            return found

        def _stored(self, batch: Any, names: list[str]) -> Any:
            return transfer_queue.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=names)

        def _groups(self, batch: Any, log_probs: bool = False) -> list[Group]:
            """The rewards of the batch by prompt; rows that only fill the batch up are left out."""
            names = ["uid", "extra_info", "extra_fields"]
            stored = self._stored(batch, [*names, "old_log_probs"] if log_probs else names)
            columns = [stored.pop(name).tolist() for name in names]
            if log_probs:  # as one more component, so that the loss can be computed again from the outcomes
                for fields, row in zip(columns[2], stored["old_log_probs"].unbind(), strict=True):
                    fields["reward_extra_info"]["log_prob"] = float(row.sum())
            found: dict[str, Group] = {}
            for uid, extra, fields, tag in zip(*columns, batch.tags, strict=True):
                if not tag.get("is_padding", False):
                    group = found.setdefault(uid, Group(extra.get("index"), extra.get("hadm_id"), [], []))
                    info = fields["reward_extra_info"]  # some of verl's own components are tensors
                    group.infos.append(
                        {name: getattr(value, "item", lambda v=value: v)() for name, value in info.items()}
                    )
                    group.tokens.append(tag["response_len"])
            return list(found.values())

    trainers.register_trainer(MODE)(RecipeTrainer)


require_verl()
wrapt.register_post_import_hook(register, "verl.trainer.ppo.v1")
wrapt.register_post_import_hook(export_merged, "verl.utils.checkpoint.fsdp_checkpoint_manager")
wrapt.register_post_import_hook(of_this_run, "verl.workers.rollout.vllm_rollout.bucketed_weight_transfer")
