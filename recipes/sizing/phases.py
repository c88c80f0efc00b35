"""What a training holds on one GPU, phase by phase, each part with the formula that gives it."""

from collections.abc import Iterable
from typing import NamedTuple

SPARE = 0.05  # of the card must be left: the allocator's fragments, and what the formulas do not know
OTHER = 3.0e9  # contexts of the trainer and of vLLM, NCCL's buffers, CUDA graphs of an engine that sleeps
COLUMNS = ("weights", "gradients", "moments", "gathered", "activations", "logits", "engine", "KV cache", "other")


class Part(NamedTuple):
    """Bytes of one kind, and how they come about."""

    column: str  # of COLUMNS
    bytes: float
    formula: str


class Phase(NamedTuple):
    """A time in a step and what a GPU holds then."""

    name: str
    parts: tuple[Part, ...]

    @property
    def bytes(self) -> float:
        """In all."""
        return sum(part.bytes for part in self.parts)


def phase(name: str, *parts: Part | None) -> Phase:
    """A phase of the parts that are there, and what every phase holds."""
    return Phase(name, (*(part for part in parts if part and part.bytes), Part("other", OTHER, "3 GB")))


def largest(phases: Iterable[Phase]) -> Phase:
    """The phase that decides whether a training fits."""
    return max(phases, key=lambda one: one.bytes)
