"""Where completions come from: vLLM in a Ray of our own, or a server that others run.

    source = Engines(model)      # or Server(Endpoint(url, name), concurrency=32)
    for part in source.complete(cases, settings): ...      # settings: eval.generation.filling.settings

`cases` has the columns `index` and `prompt`; eval.generation.engines says what a part has. eval.generation.filling
keeps the parts.
"""

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from concurrent.futures import as_completed
from typing import Any

import pyarrow as pa

from common.commands import UserError
from eval.generation import engines, models
from eval.generation.endpoint import Endpoint, Sample, answered
from eval.generation.ray_session import ray_session, vllm_is_for_cpu

PART_OF_A_SERVER = 16  # prompts: what a server has answered costs money, so little may be lost


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
        job = engines.Job(
            str(self.folder),
            settings["sampling"],
            settings["seed"],
            settings["prefill"],
            settings["dtype"],
            settings.get("context"),
        )
        with ray_session(self.ray_address) as session:
            yield from engines.complete(_blocks(cases, session.gpus), job, session)


class Server(Source):
    """A server that others run. A case that it fails on ends everything."""

    dtype = "the server's"

    def __init__(self, endpoint: Endpoint, concurrency: int, price: Sequence[float] | None = None) -> None:
        self.endpoint, self.concurrency = endpoint, concurrency
        self.price = price  # of a million tokens of prompts, and of completions
        self.model = {"name": endpoint.model, "endpoint": endpoint.url, "fingerprint": endpoint.fingerprint()}

    def known(self, sampling: dict[str, Any]) -> dict[str, Any]:
        return self.endpoint.known(sampling)

    def usage(self) -> dict[str, Any]:
        used: dict[str, Any] = dict(self.endpoint.used)
        if self.price:
            tokens = (used.get("prompt_tokens", 0), used.get("completion_tokens", 0))
            used["cost"] = sum(price * count / 1e6 for price, count in zip(self.price, tokens, strict=True))
        return used

    def complete(self, cases: pa.Table, settings: dict[str, Any]) -> Generator[pa.Table, None, None]:
        with self.endpoint.asking(cases, settings["sampling"], settings["seed"], self.concurrency) as answers:
            for start in range(0, len(answers), PART_OF_A_SERVER):
                samples = [answer.result() for answer in answers[start : start + PART_OF_A_SERVER]]
                yield answered(cases.slice(start, PART_OF_A_SERVER), samples)


class TolerantServer(Server):
    """A server that may fail on some cases: `failed` says why, and the others come back as they are answered."""

    def __init__(self, endpoint: Endpoint, concurrency: int, price: Sequence[float] | None = None) -> None:
        super().__init__(endpoint, concurrency, price)
        self.failed: list[str] = []

    def complete(self, cases: pa.Table, settings: dict[str, Any]) -> Generator[pa.Table, None, None]:
        rows: list[int] = []
        samples: list[list[Sample]] = []
        with self.endpoint.asking(cases, settings["sampling"], settings["seed"], self.concurrency) as answers:
            row_of = {answer: row for row, answer in enumerate(answers)}
            for answer in as_completed(answers):
                try:
                    samples.append(answer.result())
                except UserError as error:
                    self.failed.append(str(error))
                    continue
                rows.append(row_of[answer])
                if len(rows) == PART_OF_A_SERVER:
                    yield answered(cases.take(rows), samples)
                    rows, samples = [], []
            if rows:
                yield answered(cases.take(rows), samples)


def _blocks(cases: pa.Table, gpus: int) -> list[pa.Table]:
    """Slices of 16 to 128 prompts, about 20 or more for every engine; each becomes one part."""
    rows = min(128, max(16, cases.num_rows // (20 * max(1, gpus))))
    return [cases.slice(start, rows) for start in range(0, cases.num_rows, rows)]
