"""Generate n completions for every prompt of a data set with vLLM, once; score them later.

    python -m eval.generate --data data/drg/test.parquet --model MODEL --out runs/test

Writes OUT/part-*.parquet (one row per prompt), OUT/run.json (model, data, every sampling parameter, versions, command)
and OUT/generate.log (what vLLM and Ray say). Started again it fills in what is missing; settings cannot be mixed.
"""

import argparse
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from commands import UserError, command_line, commit, parser, run, sha256, versions
from data_prep import schema
from eval import parts, provenance
from eval.ray_session import quiet, ray_session, vllm_is_for_cpu

# Every sampling parameter that moves results, also those that we leave at "off": none is ever taken from a checkpoint.
FIXED = {
    "top_k": 0,
    "min_p": 0.0,
    "min_tokens": 0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "repetition_penalty": 1.0,
    "stop": [],
    "ignore_eos": False,
    "skip_special_tokens": True,
}


def main(argv: list[str] | None = None) -> None:
    args = _arguments(argv)
    out = Path(args.out)
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; choose a folder")
    if Path(args.data).is_dir():
        raise UserError(f"--data {args.data} is a folder; give one parquet file")
    table = schema.read(args.data)
    cases = _cases(table, args.limit, args.data)
    model = provenance.model_folder(args.model)
    dtype = "float32" if args.dtype == "auto" and vllm_is_for_cpu() else args.dtype
    settings = {
        "model": {"name": args.model, "fingerprint": provenance.fingerprint(model)},
        "data": {"name": args.data, "sha256": sha256(args.data), "limit": args.limit},
        "sampling": {
            "n": args.n,
            "temperature": args.temperature,
            "top_p": args.top_p,
            "max_tokens": args.max_tokens,
            **FIXED,
        },
        "seed": args.seed,
        "prefill": args.prefill,
        "dtype": dtype,
    }
    out.mkdir(parents=True, exist_ok=True)
    with parts.writing(out):
        made = _run_json(out, settings, cases.num_rows, command_line("eval.generate", argv))
        missing = _missing(cases, parts.done(out, settings))
        work = "all there already"
        if missing.num_rows:
            started = time.monotonic()
            parts.write_run(out, made | {"finished": False})
            tokens = _generate(missing, model, settings, args, out)
            work = f"{missing.num_rows} now, {tokens:,} tokens in {time.monotonic() - started:.0f} s with start-up"
        if missing.num_rows or not made["finished"]:
            parts.write_run(out, made | {"finished": True, "ended": _now()})
    print(f"{out}: {cases.num_rows} prompts x {args.n} completions ({work})")


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    p = parser(__doc__, "python -m eval.generate --data data/drg/test.parquet --model runs/sft --out runs/test --n 8")
    p.add_argument("--data", required=True, help="RL parquet with the prompts")
    p.add_argument("--model", required=True, help="model folder, or a name on the Hugging Face hub")
    p.add_argument("--out", required=True, help="folder for the generations")
    p.add_argument("--n", type=int, default=8, help="completions per prompt (default 8)")
    p.add_argument("--temperature", type=float, default=0.6, help="default 0.6; 0 is greedy")
    p.add_argument("--top-p", type=float, default=0.95, help="default 0.95")
    p.add_argument("--max-tokens", type=int, default=4096, help="most new tokens of a completion (default 4096)")
    p.add_argument("--prefill", default="", help="text that every answer starts with")
    p.add_argument("--limit", type=int, help="only the first so many prompts")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--dtype", choices=("auto", "float32", "bfloat16"), default="auto", help="auto: float32 on a CPU")
    p.add_argument("--ray-address", help="use this Ray cluster (`auto` under `ray symmetric-run`), not one of our own")
    args = p.parse_args(argv)
    for wrong, sentence in (
        (args.n < 1, "--n must be at least 1"),
        (not 0 <= args.temperature <= 2, "--temperature must be between 0 and 2"),
        (not 0 < args.top_p <= 1, "--top-p must be above 0 and at most 1"),
        (args.max_tokens < 1, "--max-tokens must be at least 1"),
        (args.limit is not None and args.limit < 1, "--limit must be at least 1"),
        (args.temperature == 0 and args.n > 1, "--temperature 0 gives the same completion every time; add --n 1"),
    ):
        if wrong:
            raise UserError(sentence)
    return args


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


def _generate(missing: pa.Table, model: Path, settings: dict[str, Any], args: argparse.Namespace, out: Path) -> int:
    """Generate what is missing; the number of tokens."""
    from eval.engine_pool import Job, complete

    total = missing.num_rows * args.n
    job = Job(str(model), settings["sampling"], settings["seed"], settings["prefill"], settings["dtype"])
    with (
        quiet(out / "generate.log") as terminal,
        _Progress(desc="starting vLLM", total=total, unit=" samples", file=terminal, mininterval=1) as progress,
        ray_session(args.ray_address) as session,
    ):
        for table in complete(_blocks(missing, session.gpus), job, session):
            parts.add(out, table, settings)
            progress.add(table)
    return progress.tokens


def _blocks(table: pa.Table, gpus: int) -> list[pa.Table]:
    """Slices of 16 to 128 prompts, about 20 or more for every engine; each becomes one part."""
    rows = min(128, max(16, table.num_rows // (20 * max(1, gpus))))
    return [table.slice(start, rows) for start in range(0, table.num_rows, rows)]


class _Progress(tqdm):
    """A bar that counts completions, so its rate and time left are theirs; tokens per second include the start."""

    tokens = 0

    def add(self, table: pa.Table) -> None:
        counts = table["n_tokens"].to_pylist()
        self.tokens += sum(map(sum, counts))
        self.set_description("generating", refresh=False)
        self.set_postfix_str(f"{self.tokens / self.format_dict['elapsed']:,.0f} tokens/s", refresh=False)
        self.update(sum(map(len, counts)))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    run(main)
