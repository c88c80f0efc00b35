"""The GPU that a bench runs on: its name, its memory in use, and how many operations a second its maker promises.

gpu = Card.found()              # None where there is none
with gauge(gpu) as used: ...    # max(used) gigabytes
"""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from recipes.sizing.refusals import visible
from recipes.sizing.shapes import Shape

PEAKS = {  # operations a second in bf16, dense
    **{"H100": 989e12, "H200": 989e12, "H20": 148e12, "B200": 2250e12, "A100": 312e12, "L40S": 362e12},
    **{"RTX 4090": 165e12, "RTX A6000": 155e12, "A10": 125e12, "L4": 121e12},
}


@dataclass(frozen=True)
class Card:
    """The first visible GPU."""

    name: str
    bytes: float

    @classmethod
    def found(cls) -> "Card | None":
        """It, or None."""
        cards = visible()
        return cls(_asked("name"), cards[0].bytes) if cards else None

    @property
    def peak(self) -> float:
        """Operations a second; 0 of a card that is not known."""
        words = self.name.replace("-", " ")  # NVIDIA A100-SXM4-80GB
        return next((value for name, value in PEAKS.items() if f" {name} " in f" {words} "), 0.0)


def operations(model: Shape, length: float) -> float:
    """What a token of training takes: 6 for a weight that multiplies, and attention over half of the sequence."""
    weights = model.parameters - (0 if model.tied else model.embedding)
    return 6 * weights + 6 * model.layers * model.width * length


@contextmanager
def gauge(card: Card | None) -> Iterator[list[float]]:
    """Gigabytes in use, now and then; nothing on a CPU."""
    found: list[float] = []
    stop = threading.Event()

    def look() -> None:
        while card and not stop.wait(0.5):
            found.append(float(_asked("memory.used")) * 2**20 / 1e9)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()


def _asked(what: str) -> str:
    words = ["nvidia-smi", "-i", "0", f"--query-gpu={what}", "--format=csv,noheader,nounits"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
