"""A folder of generations is filled: opened or refused, what is missing is generated, and in the end it is finished.

    todo = cases(table, "data/drg/test.parquet")
    made = settings(source, data, sampling, seed=0)
    filled = fill(folder, todo, made, source, command)      # again: only what is missing
    filled.run["speed"], filled.failed

`python -m eval.generate` and sft.traces both fill folders with it; eval.generation.parts says what such a folder holds.
"""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from common import record
from common.commands import UserError
from data_prep import parquet
from eval.generation import parts
from eval.generation.ray_session import quiet
from eval.generation.settings import FIXED
from eval.generation.sources import Source

Settings = dict[str, Any]


@dataclass(frozen=True)
class Filled:
    """What one filling did."""

    run: dict[str, Any]  # run.json as it stands
    missing: int  # prompts that were not there
    seconds: float  # that they took with start-up
    failed: Sequence[str]  # why some of them are missing still, which leaves the folder unfinished


def cases(table: pa.Table, data: str) -> pa.Table:
    """The columns that a generation needs, one row per prompt; `data` is what the rows were read from."""
    if not table.num_rows:
        raise UserError(f"{data} has no rows; prepare the data again")
    info = table["extra_info"].combine_chunks()
    found = pa.table(
        {name: info.field(name) for name in ("index", "hadm_id", "subject_id")}
        | {"data_source": table["data_source"], "ground_truth": parquet.golds(table), "prompt": table["prompt"]}
    )
    for name in ("index", "hadm_id", "subject_id"):
        if found[name].null_count:
            raise UserError(f"{data} has rows without extra_info.{name}; prepare the data again")
    if len(found["index"].unique()) < found.num_rows:
        raise UserError(f"{data} has rows with the same extra_info.index; prepare the data again")
    return found.combine_chunks()


def settings(source: Source, data: dict[str, Any], sampling: dict[str, Any], seed: int, prefill: str = "") -> Settings:
    """What must not differ within a folder; `data` is name, sha256 and limit."""
    return {
        "model": source.model,
        "data": data,
        "sampling": source.known(sampling | FIXED),
        "seed": seed,
        "prefill": prefill,
        "dtype": source.dtype,
    }


def fill(folder: Path, cases: pa.Table, made: Settings, source: Source, command: str) -> Filled:
    """Generate what the folder lacks of the cases; one that was made with other settings is refused."""
    folder.mkdir(parents=True, exist_ok=True)
    with parts.writing(folder):
        run = _opened(folder, made, cases.num_rows, command)
        done = parts.done(folder, made)
        missing = cases.filter(pa.array([index not in done for index in cases["index"].to_pylist()]))
        started = time.monotonic()
        if missing.num_rows:
            run["finished"] = False
            record.write(folder, **run)
            run["speed"] = _generate(folder, missing, made, source, run)
        seconds = time.monotonic() - started
        if not run["finished"] and not source.failed:
            run |= {"finished": True, "ended": record.now()}
            record.write(folder, **run)
    return Filled(run, missing.num_rows, seconds, source.failed)


def _opened(folder: Path, made: Settings, prompts: int, command: str) -> dict[str, Any]:
    """The folder's run.json, new or as it stands; a sentence when it was made with other settings."""
    if not (folder / record.NAME).exists():
        if parts.paths(folder):
            raise UserError(f"{folder} has parts but no run.json; choose another --out")
        about = {"kind": "generations", "settings": made, "prompts": prompts, "finished": False}
        return about | record.made(command)
    run = parts.read_run(folder)
    before, now = parts.identity(run["settings"]), parts.identity(made)
    for key in now | before:
        if before.get(key) != now.get(key):
            raise UserError(
                f"{folder} was made with {key} {before.get(key)!r} and this is {now.get(key)!r}; choose another --out "
                "or the same settings"
            )
    return run


def _generate(folder: Path, missing: pa.Table, made: Settings, source: Source, run: dict[str, Any]) -> dict[str, Any]:
    """Generate what is missing; tokens, and the seconds that they took from the moment an engine was up."""
    before = Counter(run.get("usage", {}))
    total = missing.num_rows * made["sampling"]["n"]
    with (
        quiet(folder / "generate.log") as terminal,
        _Progress(desc="starting", total=total, unit=" samples", file=terminal, mininterval=1) as progress,
        closing(source.complete(missing, made)) as tables,  # however this ends, what it started ends too
    ):
        for table in tables:
            parts.add(folder, table, made)
            progress.add(table)
            if used := source.usage():
                run["usage"] = dict(before + Counter(used))
                record.write(folder, **run)
    return {
        "tokens": progress.tokens,
        "seconds": round(progress.seconds, 2),
        "tokens_per_second": round(progress.tokens / max(progress.seconds, 1e-9), 1),
    }


class _Progress(tqdm):
    """A bar that counts completions, so its rate and time left are theirs; tokens per second leave the start out."""

    tokens, seconds = 0, 0.0
    ready: float | None = None

    def add(self, table: pa.Table) -> None:
        counts = table["n_tokens"].to_pylist()
        self.tokens += sum(map(sum, counts))
        up = table["ready"][0].as_py() if "ready" in table.column_names else self.start_t
        self.ready = up if self.ready is None else min(self.ready, up)
        self.seconds = time.time() - self.ready
        self.set_description("generating", refresh=False)
        self.set_postfix_str(f"{self.tokens / self.seconds:,.0f} tokens/s", refresh=False)
        self.update(sum(map(len, counts)))
