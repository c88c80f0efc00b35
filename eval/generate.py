"""Generate n completions for every prompt of a data set, once, with vLLM or a server; score them later.

    python -m eval.generate --data data/drg/test.parquet --model MODEL --out runs/test
    python -m eval.generate --data data/drg/test.parquet --model NAME --endpoint http://localhost:8000/v1 --out runs/it

Sampling is that of the data's paper (recipes/PAPER/eval/default.yaml) unless --config or a flag says otherwise.
Writes OUT/part-*.parquet (one row per prompt), OUT/run.json (model, data, every sampling parameter, versions, command)
and OUT/generate.log (what vLLM and Ray say). Started again it fills in what is missing; settings cannot be mixed.
"""

from pathlib import Path
from typing import Any

from common.commands import UserError, run
from common.files import sha256
from common.record import command_line
from eval.generation import filling
from eval.generation.endpoint import Endpoint
from eval.generation.settings import SAMPLING, arguments
from eval.generation.sources import Engines, Source


def main(argv: list[str] | None = None) -> None:
    args, table = arguments(__doc__, argv)
    out = Path(args.out)
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; choose a folder")
    cases = filling.cases(table.slice(0, args.limit), args.data)
    source: Source
    if args.endpoint:
        source = Endpoint(args, args.prefill, args.price)
    else:
        source = Engines(args.model, args.dtype, args.ray_address, args.tensor_parallel)
    data = {"name": args.data, "sha256": sha256(args.data), "limit": args.limit}
    sampling = {name: getattr(args, name) for name in SAMPLING}
    made = filling.settings(source, data, sampling, args.seed, args.prefill)
    made |= {"context": args.context} if args.context else {}
    filled = filling.fill(out, cases, made, source, command_line("eval.generate", argv))
    print(f"{out}: {cases.num_rows} prompts x {args.n} completions ({_work(filled)}{_spent(filled.run.get('usage'))})")


def _work(filled: filling.Filled) -> str:
    if not filled.missing:
        return "all there already"
    speed = filled.run["speed"]
    made = f"{speed['tokens']:,} tokens, {speed['tokens_per_second']:,.0f} a second"
    return f"{filled.missing} now, {made}, {filled.seconds:.0f} s with start-up"


def _spent(usage: dict[str, Any] | None) -> str:
    if not usage:
        return ""
    cost = f", cost {usage['cost']:.2f}" if "cost" in usage else ""
    return (
        f"; in all {usage.get('requests', 0)} requests, {usage.get('failed', 0)} of them failed, "
        f"{usage.get('prompt_tokens', 0):,} + {usage.get('completion_tokens', 0):,} tokens{cost}"
    )


if __name__ == "__main__":
    run(main)
