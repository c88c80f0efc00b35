"""When a group's rewards are good enough to train on, and the settings of resampling; quick to import for checks."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

MANAGER = "verl_ext.resampling.ResamplingManager"  # as rollout.agent.agent_loop_manager_class names it
RULES = ("neutral", "positive", "positive_published")


class Settings(NamedTuple):
    """`actor_rollout_ref.rollout.custom.resampling`."""

    rule: str
    max_redraws: int
    temperatures: tuple[float, ...]

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        """The settings, or a ValueError with a sentence."""
        if set(given) != set(cls._fields):
            raise ValueError(f"resampling needs exactly the keys {', '.join(cls._fields)}; it has {', '.join(given)}")
        settings = cls(given["rule"], given["max_redraws"], tuple(given["temperatures"]))
        if settings.rule not in RULES:
            raise ValueError(f"the resampling rule {settings.rule!r} is unknown; there is {', '.join(RULES)}")
        if not isinstance(settings.max_redraws, int) or settings.max_redraws < 1:
            raise ValueError(f"max_redraws must be a whole number above 0, not {settings.max_redraws!r}")
        if not settings.temperatures or not all(temperature > 0 for temperature in settings.temperatures):
            raise ValueError("temperatures must be a list of numbers above 0")
        return settings


def good_enough(rule: str, scores: Sequence[float], first: Sequence[float]) -> bool:
    """Whether a draw with these rewards is kept; `first` are those of the group's first draw."""
    if len(set(scores)) == 1:
        return False
    positive = {"neutral": (1.0,), "positive": scores, "positive_published": first}[rule]
    return max(positive) > 0
