"""The YAML of a training command: trl's keys and ours, a profile of the hardware, `--key value` on top.

    source, config = parse(argv, Source, SFTConfig, __doc__)

common.settings says how YAML and flags are read. `--hardware NAME` lays sft/hardware/NAME.yaml over the YAML.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from common.commands import UserError, existing
from common.settings import filled, flags, layers, load, refuse, setting

HARDWARE = Path(__file__).resolve().parent.parent / "hardware"


@dataclass
class Common:
    """Keys that SFT and DPO share."""

    model: str = setting("folder or hub name of the model to start from")
    data: str | None = setting("folder of the prepared data; ${data} stands for it", None)
    name: str | None = setting("of this configuration; ${name} stands for it", None)
    hardware: str | None = setting("file of sft/hardware to lay over the YAML", None)
    prefill: str = setting("text that every answer starts with; it is not trained on", "")
    fresh: bool = setting("start over a finished or unfinished run", False)
    global_batch: int = setting("examples a step on all GPUs; 0: what gradient_accumulation_steps makes of them", 0)
    lora_rank: int = setting("train adapters of this rank; 0 trains all parameters", 0)
    lora_alpha: int = setting("scale of the adapters", 32)
    lora_dropout: float = setting("dropout of the adapters", 0.0)


@dataclass
class Source(Common):
    """What SFT is taught."""

    cases: str = setting("parquet with prompt and completion, or cases to join with traces", "")
    sample: str | None = setting("which cases; ${sample} stands for it", None)
    traces: str | None = setting("parquet of reasoning traces", None)
    style: str = setting("what is written: a style of sft.traces, or outcome for the answer alone", "cot_first")
    only_accepted: bool = setting("leave out traces whose answer is not the gold", True)
    titles: bool = setting("add the 28 questions that list the MS-DRG titles", False)
    requests: bool = setting("add the requests of sft.traces, answered by the traces", False)


def parse(argv: list[str] | None, source: type, config: type, doc: str) -> tuple[Any, Any]:
    """Both dataclasses, from --config and the flags; trl reads the values of its own keys."""
    from trl import TrlParser

    parser = TrlParser(config, add_help=False)
    path, said = flags(source, argv, doc, parser)
    known = source.__dataclass_fields__ | config.__dataclass_fields__
    below = layers(path, known)
    hardware = said.get("hardware") or next((s["hardware"] for s in reversed(below) if s.get("hardware")), None)
    if hardware:
        there = ", ".join(sorted(file.stem for file in HARDWARE.glob("*.yaml")))
        file = existing(HARDWARE / f"{hardware}.yaml", "the hardware file", f"there is {there}")
        profile = load(file)
        below.append(OmegaConf.masked_copy(profile, [key for key in profile if key in known]))  # SFT and DPO share it
    ours, trls = filled(source, below, said, path)
    parser.set_defaults(**trls)
    parser.error = lambda message: refuse(f"{path}: {message}")
    try:
        return ours, *parser.parse_args_into_dataclasses([], look_for_args_file=False)
    except ValueError as error:  # trl's, and transformers' of values that do not fit each other
        raise UserError(f"{' '.join(str(error).split())}; see --help") from error
