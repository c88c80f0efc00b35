"""A folder of generations: run.json and parquet parts, added one whole file at a time, one row per prompt.

for table in parts.read(folder): ...
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from common import record
from common.commands import UserError, existing
from common.files import whole_file

SCHEMA = pa.schema(
    dict.fromkeys(("index", "hadm_id", "subject_id"), pa.int64())
    | dict.fromkeys(("data_source", "ground_truth"), pa.string())
    | {"completions": pa.list_(pa.string()), "n_tokens": pa.list_(pa.int32()), "finish_reason": pa.list_(pa.string())}
)
CHANCES = pa.field("chances", pa.map_(pa.string(), pa.float32()))  # a classifier's: labels, the most probable first
REMEDY = "delete that part and run `python -m eval.generate` again with the same settings"


def read_run(folder: Path) -> dict[str, Any]:
    """What made the folder; a sentence when it is no folder of generations."""
    remedy = "give a folder that `python -m eval.generate --out` wrote"
    existing(folder, "the folder of generations", remedy)
    path = existing(folder / record.NAME, "the file", remedy)
    run = record.read(folder)
    try:
        _ = run["settings"]["sampling"]["n"], run["prompts"], run["finished"]
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} does not describe generations; {remedy}") from error
    return run


def identity(settings: dict[str, Any]) -> dict[str, Any]:
    """What must not differ within a folder: contents, and not the names of folders and files."""
    flat = {
        "model fingerprint": settings["model"]["fingerprint"],
        "data sha256": settings["data"]["sha256"],
        "limit": settings["data"]["limit"],
    }
    named = ("seed", "prefill", "dtype", "context")
    return flat | settings["sampling"] | {key: settings[key] for key in named if key in settings}


def _stamp(settings: dict[str, Any]) -> dict[bytes, bytes]:
    """The identity as every part carries it."""
    text = json.dumps(identity(settings), sort_keys=True)
    return {b"settings": hashlib.sha256(text.encode()).hexdigest().encode()}


def paths(folder: Path) -> list[Path]:
    """The parts, oldest first; a file that only looks like one (a copy, say) is named."""
    found = sorted(folder.glob("part-*.parquet"))
    for path in found:
        if not path.stem.removeprefix("part-").isdecimal():
            raise UserError(f"{path} is no part that eval.generate wrote; move it out of the folder")
    return found


def add(folder: Path, table: pa.Table, settings: dict[str, Any]) -> None:
    """Write one more part, whole and stamped with its settings."""
    last = max((int(path.stem.removeprefix("part-")) for path in paths(folder)), default=-1)
    path = folder / f"part-{last + 1:05d}.parquet"
    schema = _schema(table)
    stamped = table.select(schema.names).cast(schema).replace_schema_metadata(_stamp(settings))
    try:
        with whole_file(path) as made:
            pq.write_table(stamped, made, compression="zstd")
    except OSError as error:  # a full disk, most likely; pyarrow does not say which file
        raise OSError(error.errno, os.strerror(error.errno or 0), str(path)) from error


def _schema(table: pa.Table) -> pa.Schema:
    """The columns, with the probabilities where they are there."""
    return SCHEMA.append(CHANCES) if CHANCES.name in table.column_names else SCHEMA


def read(folder: Path, settings: dict[str, Any], columns: list[str] | None = None) -> Iterator[tuple[Path, pa.Table]]:
    """Each part and its table; one that is damaged or was made with other settings is named."""
    stamp = _stamp(settings)
    for path in paths(folder):
        try:
            table = pq.read_table(path, columns=columns, partitioning=None)
            fields = [SCHEMA.field(name) for name in columns] if columns else _schema(table)
            table = table.cast(pa.schema(fields, table.schema.metadata))
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise UserError(f"{path} is damaged ({str(error).splitlines()[0]}); {REMEDY}") from error
        if table.schema.metadata != stamp:
            raise UserError(f"{path} was made with other settings than run.json says; {REMEDY}")
        yield path, table


def done(folder: Path, settings: dict[str, Any]) -> set[int]:
    """The cases that are there; one that stands twice is named."""
    seen: dict[int, Path] = {}
    for path, table in read(folder, settings, ["index"]):
        for index in table["index"].to_pylist():
            if index in seen:
                raise UserError(f"case {index} stands twice, in {seen[index]} and in {path}; {REMEDY}")
            seen[index] = path
    return set(seen)


def being_written(folder: Path) -> bool:
    """Whether a command is writing to the folder at this moment."""
    lock = folder / ".lock"
    if not lock.exists():
        return False
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Keep a second command from writing to the folder; the system lifts the lock when this one ends, however."""
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(
                f"another eval.generate is writing to {folder}; wait for it or choose another --out"
            ) from error
        yield
