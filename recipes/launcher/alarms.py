"""What in a step's metrics a person should look at: warnings, never a reason to stop.

    for warning in Alarms().look(step, metrics): print(warning)

A value that stays wrong is said once; after it has been well for QUIET_STEPS it is said again.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple


class Line(NamedTuple):
    """A metric and the line that it should not cross."""

    metric: str
    limit: float
    above: bool  # whether values above the limit are the bad ones
    says: str


LINES = (
    Line("actor/kl_loss", 0.3, True, "the policy is far from its reference (KL {:.2f})"),
    Line("reward/answered/mean", 0.5, False, "only {:.0%} of the completions hold a well-formed answer"),
    Line("response_length/clip_ratio", 0.2, True, "{:.0%} of the completions are cut off at data.max_response_length"),
    Line("groups/zero_variance", 0.9, True, "{:.0%} of the groups have equal rewards and teach nothing"),
)
COLLAPSE = 0.25  # of the mean length in the first steps
FIRST_STEPS = 5
QUIET_STEPS = 50


class Alarms:
    """Follows the steps of one run."""

    def __init__(self) -> None:
        self._lengths: list[float] = []
        self._said: dict[str, int] = {}

    def look(self, step: int, metrics: Mapping[str, float]) -> Iterator[str]:
        """A sentence for everything in this step that looks wrong."""
        for line in LINES:
            value = metrics.get(line.metric)
            if value is not None and (value > line.limit if line.above else value < line.limit):
                yield from self._say(step, line.metric, line.says.format(value))
        length = metrics.get("response_length/mean")
        if length is not None:
            if len(self._lengths) < FIRST_STEPS:
                self._lengths.append(length)
            elif length < COLLAPSE * (usual := sum(self._lengths) / FIRST_STEPS):
                yield from self._say(
                    step, "length", f"completions have {length:.0f} tokens; in the first steps they had {usual:.0f}"
                )

    def _say(self, step: int, what: str, sentence: str) -> Iterator[str]:
        last = self._said.get(what)
        self._said[what] = step
        if last is None or step - last > QUIET_STEPS:
            yield f"step {step}: {sentence}"
