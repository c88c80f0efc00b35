"""Generate n completions for every prompt of a data set, once, with vLLM or a server; score them later.

    python -m eval.generate --data data/drg/test.parquet --model MODEL --out runs/test
    python -m eval.generate --data data/drg/test.parquet --model NAME --endpoint http://localhost:8000/v1 --out runs/it

Sampling is that of the data's paper (recipes/PAPER/eval/default.yaml) unless --config or a flag says otherwise.
Writes OUT/part-*.parquet (one row per prompt), OUT/run.json (model, data, every sampling parameter, versions, command)
and OUT/generate.log (what vLLM and Ray say). Started again it fills in what is missing; settings cannot be mixed.
"""

import argparse
import time
from collections import Counter
from collections.abc import Generator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from commands import UserError, command_line, commit, run, sha256, versions
from eval import parts, provenance
from eval.endpoint import Server
from eval.ray_session import quiet, ray_session, vllm_is_for_cpu
from eval.settings import FIXED, SAMPLING, arguments

BLOCK_OF_A_SERVER = 16  # prompts: what a server has answered costs money, so little may be lost


def main(argv: list[str] | None = None) -> None:
    args, table = arguments(__doc__ or "", argv)
    out = Path(args.out)
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; choose a folder")
    cases = _cases(table, args.limit, args.data)
    source = _Server(args) if args.endpoint else _Engines(args)
    settings = {
        "model": source.model,
        "data": {"name": args.data, "sha256": sha256(args.data), "limit": args.limit},
        "sampling": source.known({name: getattr(args, name) for name in SAMPLING} | FIXED),
        "seed": args.seed,
        "prefill": args.prefill,
        "dtype": source.dtype,
    } | ({"context": args.context} if args.context else {})
    out.mkdir(parents=True, exist_ok=True)
    with parts.writing(out):
        made = _run_json(out, settings, cases.num_rows, command_line("eval.generate", argv))
        missing = _missing(cases, parts.done(out, settings))
        work = "all there already"
        if missing.num_rows:
            started = time.monotonic()
            made["finished"] = False
            parts.write_run(out, made)
            speed = _generate(missing, settings, source, made, out)
            made["speed"] = speed
            work = f"{missing.num_rows} now, {speed['tokens']:,} tokens, {speed['tokens_per_second']:,.0f} a second"
            work += f", {time.monotonic() - started:.0f} s with start-up"
        if not made["finished"]:
            parts.write_run(out, made | {"finished": True, "ended": _now()})
    print(f"{out}: {cases.num_rows} prompts x {args.n} completions ({work}{_spent(made.get('usage'))})")


class _Engines:
    """vLLM in a Ray of our own."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.folder = provenance.model_folder(args.model)
        self.model = {"name": args.model, "fingerprint": provenance.fingerprint(self.folder)}
        self.dtype = "float32" if args.dtype == "auto" and vllm_is_for_cpu() else args.dtype

    def known(self, sampling: dict[str, Any]) -> dict[str, Any]:
        return sampling

    def usage(self) -> dict[str, Any]:
        return {}

    def complete(self, cases: pa.Table, settings: dict[str, Any]) -> Generator[pa.Table, None, None]:
        from eval.engine_pool import Job, complete

        job = Job(
            str(self.folder),
            settings["sampling"],
            settings["seed"],
            settings["prefill"],
            settings["dtype"],
            settings.get("context"),
        )
        with ray_session(self.args.ray_address) as session:
            yield from complete(_blocks(cases, session.gpus), job, session)


class _Server:
    """A server that others run."""

    dtype = "the server's"

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.server = Server(
            args.endpoint, args.model, args.sending_notes_is_allowed, args.api_key_env, args.retries, args.prefill
        )
        self.model = {"name": args.model, "endpoint": args.endpoint, "fingerprint": self.server.fingerprint()}

    def known(self, sampling: dict[str, Any]) -> dict[str, Any]:
        return self.server.known(sampling)

    def usage(self) -> dict[str, Any]:
        """What was asked for by this command, and what it cost at --price."""
        used = dict(self.server.used)
        if self.args.price:
            tokens = (used.get("prompt_tokens", 0), used.get("completion_tokens", 0))
            used["cost"] = sum(price * count / 1e6 for price, count in zip(self.args.price, tokens, strict=True))
        return used

    def complete(self, cases: pa.Table, settings: dict[str, Any]) -> Generator[pa.Table, None, None]:
        blocks = [cases.slice(start, BLOCK_OF_A_SERVER) for start in range(0, cases.num_rows, BLOCK_OF_A_SERVER)]
        yield from self.server.complete(blocks, settings["sampling"], settings["seed"], self.args.concurrency)


def _spent(usage: dict[str, Any] | None) -> str:
    if not usage:
        return ""
    cost = f", cost {usage['cost']:.2f}" if "cost" in usage else ""
    return (
        f"; in all {usage.get('requests', 0)} requests, {usage.get('failed', 0)} of them failed, "
        f"{usage.get('prompt_tokens', 0):,} + {usage.get('completion_tokens', 0):,} tokens{cost}"
    )


def _cases(table: pa.Table, limit: int | None, data: str) -> pa.Table:
    """The columns that generation needs, one row per prompt."""
    table = table.slice(0, limit)
    if not table.num_rows:
        raise UserError(f"{data} has no rows; prepare the data again")
    info = table["extra_info"].combine_chunks()
    cases = pa.table(
        {name: info.field(name) for name in ("index", "hadm_id", "subject_id")}
        | {
            "data_source": table["data_source"],
            "ground_truth": table["reward_model"].combine_chunks().field("ground_truth"),
            "prompt": table["prompt"],
        }
    )
    for name in ("index", "hadm_id", "subject_id"):
        if cases[name].null_count:
            raise UserError(f"{data} has rows without extra_info.{name}; prepare the data again")
    if len(cases["index"].unique()) < cases.num_rows:
        raise UserError(f"{data} has rows with the same extra_info.index; prepare the data again")
    return cases.combine_chunks()


def _run_json(out: Path, settings: dict[str, Any], prompts: int, command: str) -> dict[str, Any]:
    """The folder's run.json, new or as it stands; a sentence when it was made with other settings."""
    if not parts.run_file(out).exists():
        if parts.paths(out):
            raise UserError(f"{out} has parts but no run.json; choose another --out")
        return {
            "kind": "generations",
            "settings": settings,
            "prompts": prompts,
            "finished": False,
            "command": command,
            "commit": commit(),
            "versions": versions(),
            "started": _now(),
        }
    made = parts.read_run(out)
    before, now = parts.identity(made["settings"]), parts.identity(settings)
    for key in now | before:
        if before.get(key) != now.get(key):
            raise UserError(
                f"{out} was made with {key} {before.get(key)!r} and this is {now.get(key)!r}; choose another --out or "
                "the same settings"
            )
    return made


def _missing(cases: pa.Table, done: set[int]) -> pa.Table:
    return cases.filter(pa.array([index not in done for index in cases["index"].to_pylist()]))


def _generate(
    missing: pa.Table, settings: dict[str, Any], source: _Engines | _Server, made: dict[str, Any], out: Path
) -> dict[str, Any]:
    """Generate what is missing; tokens, and the seconds that they took from the moment an engine was up."""
    before = Counter(made.get("usage", {}))
    total = missing.num_rows * settings["sampling"]["n"]
    with (
        quiet(out / "generate.log") as terminal,
        _Progress(desc="starting", total=total, unit=" samples", file=terminal, mininterval=1) as progress,
        closing(source.complete(missing, settings)) as tables,  # however this ends, what it started ends too
    ):
        for table in tables:
            parts.add(out, table, settings)
            progress.add(table)
            if used := source.usage():
                made["usage"] = dict(before + Counter(used))
                parts.write_run(out, made)
    return {
        "tokens": progress.tokens,
        "seconds": round(progress.seconds, 2),
        "tokens_per_second": round(progress.tokens / max(progress.seconds, 1e-9), 1),
    }


def _blocks(table: pa.Table, gpus: int) -> list[pa.Table]:
    """Slices of 16 to 128 prompts, about 20 or more for every engine; each becomes one part."""
    rows = min(128, max(16, table.num_rows // (20 * max(1, gpus))))
    return [table.slice(start, rows) for start in range(0, table.num_rows, rows)]


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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    run(main)
