"""Files and folders that are whole or not there at all."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.commands import NO_PLACE


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a path beside `path` to write to; it takes the place of `path` only when the block ends well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as beside:
        made = Path(beside) / path.name
        with _naming(path, made):
            yield made
            os.replace(made, path)


@contextmanager
def whole_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The same for a folder: what stood at `path` is replaced when the block ends well, and kept otherwise."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.", ignore_cleanup_errors=True) as beside:
        made, before = Path(beside) / path.name, Path(beside) / f"{path.name}.old"
        made.mkdir()  # by the umask, which the folder around it has not
        with _naming(path, made):
            yield made
            try:
                if path.exists():
                    os.replace(path, before)
                os.replace(made, path)
            finally:
                if before.exists() and not path.exists():
                    os.replace(before, path)


@contextmanager
def _naming(path: Path, made: Path) -> Iterator[None]:
    """Name the file in an error that names none, such as a full disk's, and by its own name one that is at `made`."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_PLACE:
            named = Path(error.filename or made)
            error.filename = str(path / named.relative_to(made) if named.is_relative_to(made) else named)
        raise


def sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def beside(module: str) -> Any:
    """What stands in the YAML file of a module's name, beside it: the words and tables that a module works with."""
    import yaml  # only where it is needed: the start of data_prep.drg does without it

    with open(Path(module).with_suffix(".yaml"), encoding="utf-8") as file:
        return yaml.load(file, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
