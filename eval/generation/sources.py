"""Where completions come from: vLLM, on several GPUs in a Ray of our own, or a server that others run.

    source = Engines(model)      # or eval.generation.endpoint.Endpoint(url, name)
    for part in source.complete(cases, settings): ...      # settings: eval.generation.filling.settings

`cases` has the columns `index` and `prompt`; eval.generation.engines says what a part has. eval.generation.filling
keeps the parts.
"""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from common.commands import UserError
from common.files import sha256
from eval.generation import alone, engines
from eval.generation.ray_session import ray_session, vllm_is_for_cpu

SMALL = 64 << 20


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
    """vLLM: on a CPU beside us, on GPUs in a Ray of our own or the one at `ray_address`; so many GPUs share a model."""

    def __init__(self, model: str, dtype: str = "auto", ray_address: str | None = None, shared_by: int = 1) -> None:
        self.folder = model_folder(model)
        self.model = {"name": model, "fingerprint": fingerprint(self.folder)}
        self.dtype = "float32" if dtype == "auto" and vllm_is_for_cpu() else dtype
        self.ray_address, self.shared_by = ray_address, shared_by

    def complete(self, cases: pa.Table, settings: dict[str, Any]) -> Generator[pa.Table, None, None]:
        if vllm_is_for_cpu() and not self.ray_address:
            yield from alone.complete(_blocks(cases, 1), str(self.folder), settings)
            return
        with ray_session(self.ray_address) as gpus:
            if 0 < gpus < self.shared_by:
                raise UserError(f"--tensor-parallel {self.shared_by} needs as many GPUs and there are {gpus}; lower it")
            blocks = _blocks(cases, max(1, gpus // self.shared_by))
            yield from engines.complete(blocks, str(self.folder), settings, gpus, self.shared_by)


def _blocks(cases: pa.Table, count: int) -> list[pa.Table]:
    """Slices of 16 to 128 prompts, about 20 or more for each of so many engines; each becomes one part."""
    rows = min(128, max(16, cases.num_rows // (20 * count)))
    return [cases.slice(start, rows) for start in range(0, cases.num_rows, rows)]


def model_folder(model: str) -> Path:
    """The local folder of a model: itself, or the files of a name on the Hugging Face hub."""
    folder = Path(model)
    if not folder.is_dir():
        if folder.is_absolute() or model.startswith(".") or model.count("/") != 1:
            raise UserError(f"model {model} is neither a folder nor a name like owner/model; check --model")
        folder = _from_hub(model)
    for name, remedy in (
        ("config.json", "give the folder of a model saved with save_pretrained"),
        ("tokenizer_config.json", "save the tokenizer there with tokenizer.save_pretrained"),
    ):
        if not (folder / name).is_file():
            raise UserError(f"model folder {model} has no {name}; {remedy}")
    if not any(folder.glob("*.safetensors")) and not any(folder.glob("*.bin")):
        raise UserError(f"model folder {model} has no weights (*.safetensors); export the model there first")
    return folder


def _from_hub(model: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    patterns = ["*.json", "*.safetensors", "*.txt", "*.jinja", "*.model"]
    try:
        return Path(snapshot_download(model, allow_patterns=patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise UserError(f"model {model} is no folder here and cannot be had from the hub; download it first") from error


def fingerprint(folder: Path) -> str:
    """One hash over a model's files: name, size, and content (of a file above 64 MiB its first and last MiB)."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.suffix in (".json", ".safetensors", ".bin", ".jinja", ".txt")):
        size = path.stat().st_size
        digest.update(f"{path.name} {size} {sha256(path) if size <= SMALL else _ends(path)}\n".encode())
    return digest.hexdigest()


def _ends(path: Path) -> str:
    with path.open("rb") as file:
        first = file.read(1 << 20)
        file.seek(-(1 << 20), os.SEEK_END)
        return hashlib.sha256(first + file.read()).hexdigest()
