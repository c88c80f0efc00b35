"""What benchmarks.gpu looks at from inside: SFT step by step, one vLLM engine with and without eval.generate around it.

    python -m benchmarks.instruments model 0.5b --like TINY --out MODEL       # random weights of that shape
    python -m benchmarks.instruments sft --config CONFIG …                    # the words of sft.train
    python -m benchmarks.instruments generate --data DATA --model MODEL …     # the words of eval.generate

Each prints what it saw as the last line, in JSON.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from common.commands import UserError, parser, run
from common.files import own_folder
from eval import generate as command
from eval.generation import engines, parts
from eval.generation.settings import arguments
from recipes.sizing.shapes import KNOWN, Shape
from sft import train
from sft.training import progress

PLAIN = "MEDCODE_BENCH_PLAIN"  # environment variable: the file in which an engine says how fast plain vLLM was
POSITIONS = 32_768


def shape(size: str) -> Shape:
    """The shape of Qwen2.5 in a size."""
    try:
        return KNOWN[f"Qwen/Qwen2.5-{size.upper()}"]
    except KeyError:
        raise UserError(f"--size {size} is no Qwen2.5; there is 0.5b, 1.5b, 3b and 7b") from None


def make_model(size: str, like: Path, out: Path) -> dict[str, Any]:
    """A Qwen2 of that shape with random weights in bf16, and the tokenizer of another model folder."""
    import torch
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    wanted, tokenizer = shape(size), AutoTokenizer.from_pretrained(like)
    config = Qwen2Config(
        vocab_size=wanted.vocab,
        hidden_size=wanted.hidden,
        intermediate_size=wanted.intermediate,
        num_hidden_layers=wanted.layers,
        num_attention_heads=wanted.heads,
        num_key_value_heads=wanted.kv_heads,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=wanted.tied,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="bfloat16",
    )
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        torch.manual_seed(0)
        model = Qwen2ForCausalLM(config).to(torch.bfloat16)
    with own_folder(out) as folder:
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)
    return {"parameters": sum(one.numel() for one in model.parameters())}


def sft(words: list[str]) -> dict[str, Any]:
    """Tokens a second of sft.train from the end of its first step, which compiles and warms up."""
    from transformers import TrainerCallback

    seen: list[tuple[float, float, int]] = []

    class Clock(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if "num_tokens" in logs and "loss" in logs:
                rows = args.per_device_train_batch_size * args.gradient_accumulation_steps
                seen.append((time.monotonic(), logs["num_tokens"], rows))

    take_over = progress.take_over

    def taken_over(trainer: Any) -> None:
        take_over(trainer)
        trainer.add_callback(Clock())

    with patch.object(progress, "take_over", taken_over):
        train.main(words)
    if len(seen) < 2:
        raise UserError("SFT took fewer than two steps; give it more cases")
    (began, first, rows), (ended, last, _) = seen[0], seen[-1]
    steps = len(seen) - 1
    return {
        "tokens_per_second": (last - first) / (ended - began),
        "mean_length": (last - first) / (steps * rows),
        "steps": steps,
    }


def generate(words: list[str]) -> dict[str, Any]:
    """Tokens a second of eval.generate, beside `LLM.generate` given all its prompts at once, in the same engine."""
    wanted, table = arguments(command.__doc__ or "", words)
    file = Path(wanted.out).with_name("plain.json")
    os.environ[PLAIN] = str(file)
    prompts = [(row["extra_info"]["index"], row["prompt"]) for row in table.slice(0, wanted.limit).to_pylist()]
    file.write_text(json.dumps(prompts))
    with patch.object(engines, "Engine", Engine):
        command.main(words)
    ours = parts.read_run(Path(wanted.out))["speed"]["tokens_per_second"]
    plain = json.loads(file.read_text())
    return {"tokens_per_second": ours, "plain": plain, "ratio": ours / plain}


class Engine(engines.Engine):
    """The engine of eval.generate, which first answers everything as plain vLLM would."""

    def __init__(self, *words: Any, **named: Any) -> None:
        super().__init__(*words, **named)
        from vllm import LLM
        from vllm.entrypoints import llm

        file = Path(os.environ[PLAIN])
        with patch.object(llm.LLMEngine, "from_engine_args", lambda *_, **__: self.engine):  # one start for both
            plain = LLM(self.model, dtype=self.settings["dtype"], generation_config="vllm")
        began = time.monotonic()
        requests = self.requests(json.loads(file.read_text()))
        done = plain.generate([one[1] for one in requests], [one[2] for one in requests], use_tqdm=False)
        tokens = sum(len(sample.token_ids) for one in done for sample in one.outputs)
        file.write_text(json.dumps(tokens / (time.monotonic() - began)))
        self.engine.reset_prefix_cache()


def main(argv: list[str] | None = None) -> None:
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["sft"]:
        print(json.dumps(sft(words[1:])))
    elif words[:1] == ["generate"]:
        print(json.dumps(generate(words[1:])))
    else:
        arguments = parser(__doc__ or "", "python -m benchmarks.instruments model 0.5b --like TINY --out MODEL")
        arguments.add_argument("what", choices=("model", "sft", "generate"))
        arguments.add_argument("size", help="0.5b, 1.5b, 3b or 7b")
        arguments.add_argument("--like", type=Path, required=True, help="model folder whose tokenizer it gets")
        arguments.add_argument("--out", type=Path, required=True, help="the model folder to write")
        given = arguments.parse_args(words)
        print(json.dumps(make_model(given.size, given.like, given.out)))


if __name__ == "__main__":
    run(main)
