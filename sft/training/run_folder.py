"""The folder of a training: started, resumed from its last checkpoint, and left as a model that loads."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common import record
from common.commands import UserError
from common.files import sha256, whole_file
from common.memory import keep_what_is_freed
from common.record import command_line
from sft.training import progress, start
from sft.training.settings import Common

ADAPTER = "adapter"


def environment() -> None:
    """Before trl is imported: nothing leaves the machine unless the user says so."""
    for name, value in (
        ("WANDB_MODE", "offline"),
        ("HF_HUB_DISABLE_TELEMETRY", "1"),
        ("OMP_WAIT_POLICY", "PASSIVE"),  # on a CPU, spinning threads stall each other on busy cores
    ):
        os.environ[name] = os.environ.get(name) or value  # one that is set to nothing says nothing


def begin(source: Common, config: Any) -> Path:
    """The folder, emptied where asked; one that is finished is refused, and so is an uneven `global_batch`."""
    start.share(source, config)
    if config.device.type == "cpu":
        keep_what_is_freed()
    out = Path(config.output_dir)
    with config.main_process_first(local=False):
        if source.fresh and out.exists() and config.process_index == 0:
            shutil.rmtree(out)
        if (out / record.NAME).exists():  # written last: the folder holds a finished model
            raise UserError(f"{out} holds a finished run; choose another --output_dir or start over with --fresh true")
    return out


def train(
    trainer: Any, out: Path, source: Common, module: str, inputs: list[str | None],
    last: Callable[[], None] = lambda: None, base: Callable[[], Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Train from the start or the last checkpoint; save the model and what made it. The metrics of the training.

    `last` is called before the model is saved; `base` loads in whole what adapters were trained on.
    """
    from transformers.trainer_utils import get_last_checkpoint

    made = record.made(command_line(module, None))
    progress.take_over(trainer)
    result = trainer.train(resume_from_checkpoint=get_last_checkpoint(str(out)) if out.exists() else None)
    if getattr(trainer, "is_fsdp_enabled", False):  # checkpoints stay in shards; the model in the end is one
        trainer.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
    last()
    trainer.save_model(str(out / ADAPTER if source.lora_rank else out))
    trainer.accelerator.wait_for_everyone()
    if trainer.is_world_process_zero():
        if source.lora_rank:
            _merge(base or (lambda: start.weights(source, True, whole=True)), out, trainer.processing_class)
        _finish(out, source, trainer, result.metrics, made, inputs)
    return result.metrics


def say(config: Any, text: str) -> None:
    """One line on stderr, from one process."""
    if config.process_index == 0:
        print(text, file=sys.stderr, flush=True)


def _merge(load: Callable[[], Any], out: Path, tokenizer: Any) -> None:
    """The adapters added to the weights that they were trained on: vLLM and verl load the folder as any other."""
    from peft import PeftModel

    base = load()  # in float32: half precision would round the adapters away
    start.make_room(base, tokenizer)  # what new tokens mean is in the adapter
    PeftModel.from_pretrained(base, out / ADAPTER).merge_and_unload().save_pretrained(out)
    tokenizer.save_pretrained(out)


def _finish(
    out: Path, source: Common, trainer: Any, metrics: dict[str, Any], made: dict[str, Any], inputs: list[str | None]
) -> None:
    for checkpoint in out.glob("checkpoint-*"):  # the model in the folder is what they led to
        shutil.rmtree(checkpoint)
    with whole_file(out / "metrics.jsonl") as file:
        rows = ({"step": row["step"], "data": row} for row in trainer.state.log_history)
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {path: sha256(path) for path in inputs if path}
    record.write(out, **made, source=asdict(source), data=data, metrics=metrics, config=trainer.args.to_dict())
