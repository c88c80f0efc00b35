"""How much of plain vLLM's speed is left in sft.traces? Both write the same traces, start-up aside.

    python -m benchmarks.traces --model runs/sft --data data/drg/sft/full_50.parquet --prompts 2000

Prints tokens a second of a plain `LLM.generate` over all requests and of the pipeline of sft.traces, each from the
moment its engine is ready, and their ratio. One CPU or one GPU; give it the machine alone.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa

from common.commands import UserError, parser, run
from eval.generation import engines, parts
from eval.generation.ray_session import vllm_is_for_cpu
from eval.generation.sources import Source
from sft.tracing import draws
from sft.tracing.settings import Settings

READY = "MEDCODE_BENCH_READY"  # environment variable: the file whose time says when the engine was ready


class Engine(engines.Engine):
    """The engine of the pipeline, which says when it is ready."""

    def __init__(self, *words: Any) -> None:
        super().__init__(*words)
        Path(os.environ[READY]).write_text(f"{time.time()}")


def main(argv: list[str] | None = None) -> None:
    p = parser(__doc__, "python -m benchmarks.traces --model runs/sft --data data/drg/sft/full_50.parquet")
    p.add_argument("--model", required=True, help="model folder")
    p.add_argument("--data", required=True, help="RL parquet of data_prep")
    p.add_argument("--prompts", type=int, default=2000, help="requests; the data are repeated as needed (default 2000)")
    p.add_argument("--max-tokens", type=int, default=128, help="most new tokens of a trace (default 128)")
    p.add_argument("--plain", action="store_true", help="measure plain vLLM alone; what the command calls itself for")
    args = p.parse_args(argv)
    if args.prompts < 1:
        raise UserError(f"--prompts {args.prompts} is no number of requests; give 1 or more")
    wanted = Settings(args.model, args.data, out="", max_tokens=args.max_tokens)
    cases = _repeated(draws.cases(wanted), args.prompts)
    source = draws.source(wanted)
    made = draws.settings(wanted, 0, source)
    if args.plain:
        print(_plain(cases, args.model, made))
        return
    flags = ("--model", args.model, "--data", args.data, "--prompts", args.prompts, "--max-tokens", args.max_tokens)
    command = [sys.executable, "-m", "benchmarks.traces", *map(str, flags), "--plain"]
    plain = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    pipeline = _pipeline(cases, source, made)
    print(
        f"{args.prompts} requests, tokens a second: plain vLLM {plain:,.0f}, sft.traces {pipeline:,.0f}, "
        f"ratio {pipeline / plain:.2f}"
    )


def _repeated(cases: pa.Table, count: int) -> pa.Table:
    """So many cases, each with an index of its own."""
    rows = cases.take(pa.array([row % cases.num_rows for row in range(count)]))
    return rows.set_column(rows.column_names.index("index"), "index", pa.array(range(count), pa.int64()))


def _plain(cases: pa.Table, model: str, made: dict[str, Any]) -> float:
    """Tokens a second of one call of LLM.generate."""
    threads = int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0))) if vllm_is_for_cpu() else 0
    os.environ.update(engines.environment(threads))
    from vllm import LLM, SamplingParams

    settings: dict[str, Any] = {"max_num_seqs": engines.SEQUENCES_ON_GPU}
    if threads:
        settings = {"max_num_seqs": engines.SEQUENCES_ON_CPU, **engines.on_cpu(model)}
    llm = LLM(model, dtype=made["dtype"], generation_config="vllm", enable_prefix_caching=True, **settings)
    tokenizer = llm.get_tokenizer()
    params = [
        SamplingParams(**made["sampling"], seed=engines.request_seed(made["seed"], index))
        for index in cases["index"].to_pylist()
    ]
    began = time.time()
    texts = [
        tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        for chat in cases["prompt"].to_pylist()
    ]
    outputs = llm.generate(texts, params)
    return sum(len(one.token_ids) for output in outputs for one in output.outputs) / (time.time() - began)


def _pipeline(cases: pa.Table, source: Source, made: dict[str, Any]) -> float:
    """Tokens a second from the moment when the engine is ready until the last part is written."""
    engines.Engine = Engine
    with tempfile.TemporaryDirectory() as place:
        folder, ready = Path(place) / "draw", Path(place) / "ready"
        os.environ[READY] = str(ready)
        draws.fill(folder, cases, made, source, "benchmarks.traces")
        ended = max(path.stat().st_mtime for path in parts.paths(folder))
        tokens = sum(sum(map(sum, part["n_tokens"].to_pylist())) for _, part in parts.read(folder, made))
        return tokens / (ended - float(ready.read_text()))


if __name__ == "__main__":
    run(main)
