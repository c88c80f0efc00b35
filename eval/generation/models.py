"""Which model made a result: its folder, checked, and one hash over its files."""

import hashlib
import os
from pathlib import Path

from common.commands import UserError
from common.files import sha256

SMALL = 64 << 20


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
