"""What a user may say about a generation: each setting once, and the YAML that holds a paper's sampling.

    wanted, table = arguments(__doc__, argv)      # flags over --config over the paper's default
    wanted.temperature, wanted.prefill

common.settings says how YAML and flags are read. sft.traces extends `Asked`, too.
"""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from common.commands import UserError
from common.settings import at_least, filled, flags, layers, setting
from data_prep import parquet
from reward_fns.task import TASKS

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SAMPLING = ("n", "temperature", "top_p", "max_tokens")
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
ONLY_FLAGS = {"out", "sending_notes_is_allowed"}  # a file must not decide where things go
DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass
class Asked:
    """What is asked of whom: all that generations share, whatever they are for."""

    model: str = setting("model folder, a name on the Hugging Face hub, or with --endpoint the server's name for it")
    data: str = setting("RL parquet with the prompts")
    out: str = setting("folder to write to")
    n: int = setting("completions per prompt", must=at_least(1))
    temperature: float = setting("0 is greedy", must=("be between 0 and 2", lambda value: 0 <= value <= 2))
    top_p: float = setting("share of the likeliest", must=("be above 0 and at most 1", lambda value: 0 < value <= 1))
    max_tokens: int = setting("most new tokens of a completion", must=at_least(1))
    limit: int | None = setting("only the first so many prompts", None, must=at_least(1))
    seed: int = setting("of the sampling", 0)
    dtype: str = setting("auto is float32 on a CPU", "auto", must=(f"be {' or '.join(DTYPES)}", DTYPES.__contains__))
    tensor_parallel: int = setting("GPUs that share a model too large for one", 1, must=at_least(1))
    ray_address: str | None = setting("a Ray cluster that runs (`auto` under `ray symmetric-run`) to use for it", None)
    endpoint: str | None = setting("ask an OpenAI-compatible server, such as http://localhost:8000/v1, not vLLM", None)
    concurrency: int = setting("requests to the server at once", 32, must=at_least(1))
    retries: int = setting("how often a failed request is sent again", 10, must=at_least(0))
    api_key_env: str = setting("environment variable that holds the server's key", "OPENAI_API_KEY")
    sending_notes_is_allowed: bool = setting("your data agreement lets you send notes to a server elsewhere", False)


@dataclass
class Settings(Asked):
    """What an evaluation says beyond that."""

    prefill: str = setting("text that every answer starts with")
    context: int | None = setting(
        "most tokens of prompt and completion (unless said: the model's)", None, must=at_least(2)
    )
    price: tuple[float, float] | None = setting(
        "of a million tokens of prompts and of completions, to count what a server costs", None,
        must=("be two numbers", lambda value: len(value) == 2), nargs=2, metavar=("IN", "OUT"),
    )  # fmt: skip


def arguments(doc: str, argv: list[str] | None) -> tuple[Settings, pa.Table]:
    """The settings and the data; a mistake in flags or YAML is a sentence."""
    path, said = flags(Settings, argv, doc, config="YAML of these without --out (default: that of the paper)")
    table = None
    if path is None:
        if "data" not in said:
            raise UserError("no data to generate for; say --data, or `data:` in the --config")
        table = _read(said["data"])
        path = _default(table, said["data"])
    known = set(Settings.__dataclass_fields__) - ONLY_FLAGS
    wanted, _ = filled(Settings, layers(path, known), said, path)
    if wanted.temperature == 0 and wanted.n > 1:
        raise UserError("--temperature 0 gives the same completion every time; add --n 1")
    return wanted, _read(wanted.data) if table is None else table


def _read(data: str) -> pa.Table:
    if Path(data).is_dir():
        raise UserError(f"--data {data} is a folder; give one parquet file")
    return parquet.read(data)


def _default(table: pa.Table, data: str) -> Path:
    """The sampling of the paper that the data belongs to."""
    sources = table["data_source"].unique().to_pylist()
    if len(sources) != 1:
        raise UserError(f"{data} holds {' and '.join(map(str, sources)) or 'no rows'}; give the data of one paper")
    return RECIPES / TASKS.of_source(sources[0], data).paper / "eval" / "default.yaml"
