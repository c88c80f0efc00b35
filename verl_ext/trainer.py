"""The recipes' trainer: verl's synchronous one, which also says what a reward is made of and never trains on a fault.

    trainer.v1.trainer_mode: medcode      # with VERL_USE_EXTERNAL_MODULES=verl_ext.trainer
    trainer.v1.medcode: {max_reward_error: 0.01, poll_seconds: 2}   # and their defaults

verl logs the components of a reward (accuracy, format, …) in validation only; here those of every training batch become
metrics, `reward/NAME/mean`. A reward that failed says so (`reward_error`); a batch in which more than max_reward_error
of the completions say so stops the run before it can change the policy, because verl would train on the fault. Finished
rollouts are looked for every poll_seconds: verl's two seconds are long where a step takes five.
"""

import types
from collections.abc import Iterable, Mapping
from numbers import Number
from typing import Any

import wrapt

from verl_ext import require_verl

MODE = "medcode"
MAX_REWARD_ERROR = 0.01


class RewardError(RuntimeError):
    """Too many rewards of a batch are faults: the run must stop."""


def component_means(infos: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The mean of every numeric component over the completions of a batch, as metrics."""
    values: dict[str, list[float]] = {}
    for info in infos:
        for name, value in info.items():
            if isinstance(value, Number):
                values.setdefault(name, []).append(float(value))
    return {f"reward/{name}/mean": sum(found) / len(found) for name, found in sorted(values.items())}


def stop_on_faults(means: Mapping[str, float], step: int, limit: float) -> None:
    """Raise when the share of faulty rewards is over the limit."""
    share = means.get("reward/reward_error/mean", 0.0)
    if share > limit:
        raise RewardError(
            f"{share:.1%} of the rewards of step {step} are faults, more than trainer.v1.{MODE}.max_reward_error "
            f"({limit:.1%}); the policy was not updated: mend the reward and launch the run again, which resumes it"
        )


def register(trainer_base: types.ModuleType) -> None:
    """Register the trainer with verl, once verl's own is there."""
    import transfer_queue
    from omegaconf import open_dict
    from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

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

        def _update_actor(self, batch: Any, metrics: dict[str, Any]) -> Any:
            means = component_means(self._reward_infos(batch))
            metrics.update(means)
            stop_on_faults(means, self.global_steps, self.settings.get("max_reward_error", MAX_REWARD_ERROR))
            return super()._update_actor(batch, metrics)

        def _reward_infos(self, batch: Any) -> list[Mapping[str, Any]]:
            stored = transfer_queue.kv_batch_get(
                keys=batch.keys, partition_id=batch.partition_id, select_fields=["extra_fields"]
            )
            rows = zip(stored.pop("extra_fields").tolist(), batch.tags, strict=True)
            return [row["reward_extra_info"] for row, tag in rows if not tag.get("is_padding", False)]

    trainer_base.register_trainer(MODE)(RecipeTrainer)


require_verl()
wrapt.register_post_import_hook(register, "verl.trainer.ppo.v1")
