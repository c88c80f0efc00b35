"""Dynamic resampling (DRG-Sapphire, appendix B.5): a prompt whose rewards teach nothing is answered again.

    actor_rollout_ref.rollout:
      agent: {agent_loop_manager_class: verl_ext.resampling.ResamplingManager}
      custom: {resampling: {rule: neutral, max_redraws: 12, temperatures: [0.7, 0.8, 0.9, 1.0]}}

The first draw of a group is at the training temperature, every redraw at one temperature of the list, and the last draw
is kept. The rules say when a draw is good enough:

    neutral             its rewards are not all equal
    positive            and one of them is above 0
    positive_published  its rewards are not all equal, and one of the *first* draw was above 0: the published code looks
                        at the first draw again and again, so a group without a positive one burns all redraws

The number of draws is the component `draws` of every completion, hence the metric reward/draws/mean.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from typing import Any

import ray
import transfer_queue
from verl.trainer.ppo.v1.agent_loop_tq import (
    AgentLoopManagerTQ,
    AgentLoopWorkerTQ,
    _settle_session_tasks,
    apply_greedy_sampling_params,
)

from verl_ext.resampling_rules import Settings, good_enough

log = logging.getLogger(__name__)


class ResamplingWorker(AgentLoopWorkerTQ.__ray_metadata__.modified_class):
    """verl's worker, whose training groups are held back until they are good enough."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        custom = self.config.actor_rollout_ref.rollout.get("custom") or {}
        self.settings = Settings.read(custom.get("resampling") or {})
        self._held: set[str] = set()

    async def _agent_loop_postprocess(self, output: Any, validate: bool, **kwargs: Any) -> Any:
        if kwargs["uid"] not in self._held:
            return await super()._agent_loop_postprocess(output, validate, **kwargs)
        await self._compute_score(output if isinstance(output, list) else [output], kwargs=kwargs)
        return output, kwargs  # not published yet

    async def _run_prompt(self, prompt: dict, sampling_params: dict, trajectory: dict, trace: bool = False) -> None:
        if trajectory["validate"]:
            return await super()._run_prompt(prompt, sampling_params, trajectory, trace)
        if self.reward_loop_worker_handles is None:
            raise RuntimeError("resampling needs rewards during the rollout: leave reward.reward_model disabled")
        uid = prompt["uid"]
        await transfer_queue.async_kv_put(key=uid, partition_id="train", tag={"status": "running"})
        self._held.add(uid)
        status = "failure"
        try:
            size = prompt.pop("__rollout_n__", self.config.actor_rollout_ref.rollout.n)
            params = dict(sampling_params)
            if not prompt.pop("__do_sample__", True):
                apply_greedy_sampling_params(params)
            group = await self._draw_until_good(prompt, params, trajectory, trace, size)
            self._held.discard(uid)
            for output, kwargs in group:
                await super()._agent_loop_postprocess(output, False, **kwargs)
            status = "finished"
        except Exception:
            log.exception("the group of prompt %s failed", uid)
        finally:
            self._held.discard(uid)
            await transfer_queue.async_kv_put(key=uid, partition_id="train", tag={"status": status})

    async def _draw_until_good(
        self, prompt: dict, params: dict, trajectory: dict, trace: bool, size: int
    ) -> list[tuple[Any, dict]]:
        first: Sequence[float] = ()
        draws = 0
        while True:
            draws += 1
            group = await self._draw(prompt, params, trajectory, trace, size)
            finals = [output[-1] if isinstance(output, list) else output for output, _ in group]
            scores = [final.reward_score for final in finals]
            first = first or scores
            if good_enough(self.settings.rule, scores, first) or draws > self.settings.max_redraws:
                break
            params = {**params, "temperature": random.choice(self.settings.temperatures)}
        for final in finals:
            final.extra_fields["reward_extra_info"]["draws"] = draws
        return group

    async def _draw(
        self, prompt: dict, params: dict, trajectory: dict, trace: bool, size: int
    ) -> list[tuple[Any, dict]]:
        tasks = [
            asyncio.create_task(
                self._run_agent_loop(params, trajectory=trajectory, trace=trace, session_id=session, **prompt)
            )
            for session in range(size)
        ]
        if errors := await _settle_session_tasks(tasks):
            raise errors[0]
        return [task.result() for task in tasks]


class ResamplingManager(AgentLoopManagerTQ):
    """verl's manager with those workers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.agent_loop_workers_class = ray.remote(ResamplingWorker)
