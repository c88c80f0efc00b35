"""The reward's components where verl's GDPO looks for them: the V1 trainer of verl 0.9.1 does not bring them there."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def with_components(compute: Callable[..., Any], infos: Sequence[Mapping[str, Any]]) -> Callable[..., Any]:
    """verl's computation of advantages, for a batch whose rows have these components."""
    there = set.intersection(*map(set, infos))

    def compute_advantages(data: Any, *, config: Any, **kwargs: Any) -> Any:
        import numpy as np

        for name in set(config.gdpo_reward_keys) - there:
            raise ValueError(
                f"algorithm.gdpo_reward_keys names {name!r}, which the reward does not return; "
                f"it returns {', '.join(sorted(there))}"
            )
        for name in config.gdpo_reward_keys:
            data.non_tensor_batch[name] = np.array([float(info[name]) for info in infos], dtype=np.float32)
        # verl looks for a completion's last token behind prompts of one width: here of 0
        mask = data.batch["response_mask"]
        data.batch["prompts"], data.batch["attention_mask"] = mask[:, :0], mask.long()
        return compute(data, config=config, **kwargs)

    return compute_advantages
