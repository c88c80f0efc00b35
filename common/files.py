"""Files and folders that are whole or not there at all."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.commands import NO_PLACE, UserError

WRITTEN = ".written"  # in a folder that own_folder made: its files, a line each


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
def own_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A whole folder where a user wants it; it takes the place of nothing but what an own_folder of before wrote."""
    replaceable(Path(path))
    with whole_folder(path) as made:
        yield made
        names = sorted(file.relative_to(made).as_posix() for file in _files(made))
        (made / WRITTEN).write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def replaceable(path: Path, mark: str = WRITTEN) -> None:
    """A sentence where a folder at `path` would take the place of a file, or of what no command here wrote.

    Ours is a folder with a file `mark`; where that is WRITTEN, no further file may have come to those that it lists.
    """
    remedy = "move it away or give another --out"
    there = next(place for place in (path, *path.absolute().parents) if os.path.lexists(place))
    if not there.is_dir():
        raise UserError(f"{there} is no folder; {remedy}")
    if there != path or (mark != WRITTEN and (path / mark).is_file()):
        return
    listed = path / WRITTEN
    ours = {WRITTEN, *(listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else ())}
    foreign = (file for file in _files(path) if file.relative_to(path).as_posix() not in ours)
    if file := next(foreign, None):
        raise UserError(f"{file} was not written by this command, which would delete it; {remedy}")


def _files(folder: Path) -> Iterator[Path]:
    """All that is in a folder but the folders."""
    return (file for file in folder.rglob("*") if file.is_symlink() or not file.is_dir())


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
