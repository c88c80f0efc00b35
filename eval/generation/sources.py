"""Where completions come from: vLLM in a Ray of our own, or a server that others run.

    source = Engines(model)      # or eval.generation.endpoint.Endpoint(url, name)
    for part in source.complete(cases, settings): ...      # settings: eval.generation.filling.settings

`cases` has the columns `index` and `prompt`; eval.generation.engines says what a part has. eval.generation.filling
keeps the parts.
"""

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from typing import Any

import pyarrow as pa

from eval.generation import engines, models
from eval.generation.ray_session import ray_session, vllm_is_for_cpu


class Source(ABC):
    """Something that completes prompts, and what run.json says of it."""

    model: dict[str, Any]  # its name, and the fingerprint that no two models share
    dtype: str
    failed: Sequence[str] = ()  # why cases that were asked for came back without completions

    @abstractmethod
    def complete(self, cases: pa.Table, settings: dict[str, Any]) -> Generator[pa.Table, None, None]:
        """Give the cases back with their completions, part by part; what it started ends when it is closed."""

    def known(self, sampling: dict[str, Any]) -> dict[str, Any]:
        """The sampling parameters that it heeds."""
        return sampling

    def usage(self) -> dict[str, Any]:
        """What it was asked for so far, where that costs something."""
        return {}


class Engines(Source):
    """vLLM in a Ray of our own, or in the one at `ray_address`."""

    def __init__(self, model: str, dtype: str = "auto", ray_address: str | None = None) -> None:
        self.folder = models.model_folder(model)
        self.model = {"name": model, "fingerprint": models.fingerprint(self.folder)}
        self.dtype = "float32" if dtype == "auto" and vllm_is_for_cpu() else dtype
        self.ray_address = ray_address

    def complete(self, cases: pa.Table, settings: dict[str, Any]) -> Generator[pa.Table, None, None]:
        with ray_session(self.ray_address) as session:
            # Slices of 16 to 128 prompts, about 20 or more for every engine; each becomes one part.
            rows = min(128, max(16, cases.num_rows // (20 * max(1, session.gpus))))
            blocks = [cases.slice(start, rows) for start in range(0, cases.num_rows, rows)]
            yield from engines.complete(blocks, str(self.folder), settings, session)
