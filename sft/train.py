"""Supervised fine-tuning with trl, from one YAML: loss on the completion only, nothing cut without a word.

    accelerate launch -m sft.train --config recipes/drg_sapphire/sft/cold.yaml
    python -m sft.train --config recipes/drg_sapphire/sft/tiny.yaml --num_train_epochs 2

Keys of the YAML are those of trl's SFTConfig and of `Source` below; `--key value` overrides one. A run that was
killed goes on from its last checkpoint when it is started again; a finished one is refused unless --fresh true.
"""

import difflib
import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from commands import UserError, command_line, commit, existing, run, sha256, versions, whole_file
from sft.examples import check_lengths, load

if TYPE_CHECKING:
    from trl import SFTConfig

DONE = "run.json"  # written last: a folder that has it holds a finished model


@dataclass
class Source:
    """What is trained on what."""

    model: str = field(metadata={"help": "folder or hub name of the model to start from"})
    cases: str = field(metadata={"help": "parquet with prompt and completion, or cases to join with traces"})
    traces: str | None = field(default=None, metadata={"help": "parquet of reasoning traces"})
    style: str = field(default="cot_first", metadata={"help": "which traces: cot_first, answer_first or differential"})
    only_accepted: bool = field(default=True, metadata={"help": "leave out traces whose answer is not the gold"})
    fresh: bool = field(default=False, metadata={"help": "start over a finished or unfinished run"})


def parse(argv: list[str] | None) -> tuple[Source, "SFTConfig"]:
    """Read the YAML, with ${oc.env:NAME,default} for places, and the flags that override it."""
    from omegaconf import OmegaConf
    from trl import SFTConfig, TrlParser

    words = list(sys.argv[1:] if argv is None else argv)
    parser = TrlParser((Source, SFTConfig), description=__doc__)
    parser.error = _refuse  # a sentence in place of 150 lines of usage
    if "--config" not in words:
        return _parsed(parser, words)
    index = words.index("--config") + 1
    path = existing(words[index] if index < len(words) else "", "the configuration", "name one after --config")
    settings = OmegaConf.load(path)
    known = [field.name for kind in (Source, SFTConfig) for field in fields(kind)]
    for key in settings:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            raise UserError(f"{path}: there is no key {key}" + (f", did you mean {near[0]}?" if near else ""))
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as resolved:
        resolved.write(OmegaConf.to_yaml(settings, resolve=True))
        resolved.flush()
        words[index] = resolved.name
        return _parsed(parser, words)


def _parsed(parser: Any, words: list[str]) -> tuple[Source, "SFTConfig"]:
    try:
        return parser.parse_args_and_config(words)
    except ValueError as error:  # trl's, and transformers' of values that do not fit each other
        raise UserError(f"{' '.join(str(error).split())}; see --help") from error


def _refuse(message: str) -> NoReturn:
    raise UserError(f"{message}; see --help")


def train(source: Source, config: "SFTConfig") -> None:
    """Train, and leave in config.output_dir a folder that vLLM and verl load as it is."""
    from transformers.trainer_utils import get_last_checkpoint

    out = Path(config.output_dir)
    if source.fresh and out.exists():
        shutil.rmtree(out)
    if (out / DONE).exists():
        raise UserError(f"{out} holds a finished run; choose another --output_dir or start over with --fresh true")
    tokenizer = _tokenizer(source.model)
    examples = load(source.cases, source.traces, source.style, source.only_accepted)
    longest = check_lengths(examples, tokenizer, config.max_length or sys.maxsize, source.cases)
    _say(config, f"{len(examples)} examples, the longest of {longest} tokens")
    trainer = _trainer(source, config, tokenizer, examples)
    result = trainer.train(resume_from_checkpoint=get_last_checkpoint(str(out)) if out.exists() else None)
    trainer.save_model(str(out))
    if trainer.is_world_process_zero():
        _finish(out, source, config, trainer.state.log_history, result.metrics)
        _say(config, f"loss {result.metrics['train_loss']:.4f}, model in {out}")


def _tokenizer(model: str) -> Any:
    from transformers import AutoTokenizer

    remedy = "make one with `python -m data_prep.tiny_model` or set MODEL_PATH"
    if model.count("/") != 1 or model.startswith((".", "/")):  # otherwise it may be a name on the hub
        existing(model, "the model folder", remedy)
    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError) as error:
        raise UserError(f"the model folder {model} has no usable tokenizer; {remedy}") from error
    if not tokenizer.chat_template:
        raise UserError(f"the tokenizer of {model} has no chat template; take the one of an instruct model")
    return tokenizer


def _trainer(source: Source, config: "SFTConfig", tokenizer: Any, examples: Any) -> Any:
    import torch
    from transformers import AutoModelForCausalLM
    from trl import SFTTrainer

    dtype = torch.bfloat16 if config.bf16 else torch.float32
    model = AutoModelForCausalLM.from_pretrained(source.model, dtype=dtype)
    return SFTTrainer(model, args=config, train_dataset=examples, processing_class=tokenizer)


def _finish(out: Path, source: Source, config: "SFTConfig", history: list[dict], metrics: dict[str, Any]) -> None:
    for checkpoint in out.glob("checkpoint-*"):  # the model in the folder is what they led to
        shutil.rmtree(checkpoint)
    with whole_file(out / "metrics.jsonl") as file:
        rows = ({"step": row["step"], "data": row} for row in history)
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    inputs = {path: sha256(path) for path in filter(None, (source.cases, source.traces))}
    with whole_file(out / DONE) as file:
        record = {
            "command": command_line("sft.train", None),
            "commit": commit(),
            "versions": versions(),
            "source": vars(source),
            "data": inputs,
            "metrics": metrics,
            "config": config.to_dict(),
        }
        file.write_text(json.dumps(record, indent=2, default=str) + "\n")


def _say(config: "SFTConfig", text: str) -> None:
    if config.process_index == 0:
        print(text, file=sys.stderr, flush=True)


def main(argv: list[str] | None = None) -> None:
    os.environ.setdefault("WANDB_MODE", "offline")  # nothing leaves the machine unless the user says so
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # on a CPU, spinning threads stall each other on busy cores
    train(*parse(argv))


if __name__ == "__main__":
    run(main)
