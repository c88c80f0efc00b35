"""What a user may say about a generation: flags, and the YAML that holds a paper's sampling.

    args = arguments(argv)                # flags over --config over the paper's default
    args.temperature, args.prefill

Keys of the YAML are the flags with underscores; `base: FILE` names a YAML beside it that it changes.
"""

import argparse
from pathlib import Path

import pyarrow as pa

from common.commands import UserError, existing, parser
from common.settings import read, resolved
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
FALLBACK = {"limit": None, "seed": 0, "dtype": "auto", "context": None, "ray_address": None, "endpoint": None}
FALLBACK |= {"concurrency": 32, "retries": 10, "api_key_env": "OPENAI_API_KEY", "price": None}
FALLBACK |= {"sending_notes_is_allowed": False, "model": None}
ONLY_FLAGS = ("config", "out", "sending_notes_is_allowed")  # a file must not decide where things go
NO_DATA = "say --data, or `data:` in the --config"


def arguments(doc: str, argv: list[str] | None) -> tuple[argparse.Namespace, pa.Table]:
    """The settings and the data; a mistake in flags or YAML is a sentence."""
    flags = _parser(doc).parse_args(argv)
    config = _config(flags.config, doc) if "config" in flags else None
    data = getattr(flags, "data", None) or getattr(config, "data", None)
    if not data:
        raise UserError(f"no data to generate for; {NO_DATA}")
    if Path(data).is_dir():
        raise UserError(f"--data {data} is a folder; give one parquet file")
    table = parquet.read(data)
    if config is None:
        config = _config(str(_default(table, data)), doc)
    args = argparse.Namespace(**FALLBACK | vars(config) | vars(flags))
    _check(args)
    return args, table


def _default(table: pa.Table, data: str) -> Path:
    """The sampling of the paper that the data belongs to."""
    sources = table["data_source"].unique().to_pylist()
    if len(sources) != 1:
        raise UserError(f"{data} holds {' and '.join(map(str, sources)) or 'no rows'}; give the data of one paper")
    return RECIPES / TASKS.of_source(sources[0], data).paper / "eval" / "default.yaml"


def _config(name: str, doc: str) -> argparse.Namespace:
    """The keys of a YAML as if they had been flags."""
    path = existing(name, "the configuration", "see recipes/*/eval")
    flags = _parser(doc)
    known = [action.dest for action in flags._actions if action.dest not in ("help", *ONLY_FLAGS)]
    words = []
    for key, value in resolved(read(path, known), path).items():
        if value is None:
            continue
        if isinstance(value, bool | dict | list):
            raise UserError(f"{path}: {key} is {value!r}; see `python -m eval.generate --help` for what it may be")
        words.append(f"{_flag(key)}={value}")

    def refuse(message: str) -> None:
        raise UserError(f"{path}: {message}")

    flags.error = refuse
    return flags.parse_args(words)


def _parser(doc: str) -> argparse.ArgumentParser:
    example = "python -m eval.generate --data data/drg/test.parquet --model runs/sft --out runs/test --n 8"
    p = parser(doc, example)
    p.argument_default = argparse.SUPPRESS
    add = p.add_argument
    add("--config", help="YAML with any of these but --out (default recipes/PAPER/eval/default.yaml, by the data)")
    add("--data", help="RL parquet with the prompts")
    add("--model", help="model folder, a name on the Hugging Face hub, or with --endpoint the server's name for it")
    add("--out", help="folder for the generations")
    add("--n", type=int, help="completions per prompt")
    add("--temperature", type=float, help="0 is greedy")
    add("--top-p", type=float)
    add("--max-tokens", type=int, help="most new tokens of a completion")
    add("--prefill", help="text that every answer starts with")
    add("--limit", type=int, help="only the first so many prompts")
    add("--seed", type=int, help="default 0")
    add("--dtype", choices=("auto", "float32", "bfloat16"), help="auto: float32 on a CPU")
    add("--context", type=int, help="most tokens of prompt and completion (default: all that the model can take)")
    add("--ray-address", help="use this Ray cluster (`auto` under `ray symmetric-run`), not one of our own")
    remote = p.add_argument_group("a server in place of vLLM")
    add = remote.add_argument
    add("--endpoint", metavar="URL", help="ask an OpenAI-compatible server, for instance http://localhost:8000/v1")
    add("--concurrency", type=int, help="requests at once (default 32)")
    add("--retries", type=int, help="how often a failed request is sent again, with growing pauses (default 10)")
    add("--api-key-env", metavar="NAME", help="environment variable that holds the key (default OPENAI_API_KEY)")
    add("--price", type=float, nargs=2, metavar=("IN", "OUT"), help="of a million tokens, to count what it costs")
    add(
        "--sending-notes-is-allowed",
        action="store_true",
        help="your data agreement lets you send notes to this server, which is not on this machine",
    )
    return p


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _check(args: argparse.Namespace) -> None:
    missing = [name for name in ("model", "out", *SAMPLING, "prefill") if getattr(args, name, None) is None]
    for wrong, sentence in (
        (
            missing,
            f"{', '.join('--' + name.replace('_', '-') for name in missing)} must be said, as a flag or in --config",
        ),
        (not missing and args.n < 1, "--n must be at least 1"),
        (not missing and not 0 <= args.temperature <= 2, "--temperature must be between 0 and 2"),
        (not missing and not 0 < args.top_p <= 1, "--top-p must be above 0 and at most 1"),
        (not missing and args.max_tokens < 1, "--max-tokens must be at least 1"),
        (args.limit is not None and args.limit < 1, "--limit must be at least 1"),
        (args.context is not None and args.context < 2, "--context must be at least 2"),
        (args.concurrency < 1, "--concurrency must be at least 1"),
        (args.retries < 0, "--retries must be at least 0"),
        (
            not missing and args.temperature == 0 and args.n > 1,
            "--temperature 0 gives the same completion every time; add --n 1",
        ),
    ):
        if wrong:
            raise UserError(sentence)
