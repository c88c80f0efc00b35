"""The YAML of a training command: trl's keys and ours, a profile of the hardware, `--key value` on top.

    source, config = parse(argv, Source, SFTConfig, __doc__)

The YAML lies over its `base` as layered_yaml.py says. `--hardware NAME` lays sft/hardware/NAME.yaml over both, and
`--key value` has the last word.
"""

import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from common import settings as layered_yaml
from common.commands import UserError, existing

HARDWARE = Path(__file__).resolve().parent.parent / "hardware"
REMEDY = "name one after --config"


@dataclass
class Common:
    """Keys that SFT and DPO share."""

    model: str = field(metadata={"help": "folder or hub name of the model to start from"})
    data: str | None = field(default=None, metadata={"help": "folder of the prepared data; ${data} stands for it"})
    name: str | None = field(default=None, metadata={"help": "of this configuration; ${name} stands for it"})
    hardware: str | None = field(default=None, metadata={"help": "file of sft/hardware to lay over the YAML"})
    prefill: str = field(default="", metadata={"help": "text that every answer starts with; it is not trained on"})
    fresh: bool = field(default=False, metadata={"help": "start over a finished or unfinished run"})
    lora_rank: int = field(default=0, metadata={"help": "train adapters of this rank; 0 trains all parameters"})
    lora_alpha: int = field(default=32, metadata={"help": "scale of the adapters"})
    lora_dropout: float = field(default=0.0, metadata={"help": "dropout of the adapters"})


def read(path: Path, known: Iterable[str], chosen: dict[str, str] | None = None) -> Any:
    """The settings of a YAML over its base, the hardware file and `chosen` on top, as layered_yaml.read gives them."""
    chosen = chosen or {}
    layers = layered_yaml.layers(path)
    hardware = chosen.get("hardware") or next((s["hardware"] for s in reversed(layers) if s.get("hardware")), None)
    if hardware:
        names = ", ".join(sorted(file.stem for file in HARDWARE.glob("*.yaml")))
        below = layered_yaml.load(existing(HARDWARE / f"{hardware}.yaml", "the hardware file", f"there is {names}"))
        layers.append({key: value for key, value in below.items() if key in known})  # SFT and DPO share the file
    return layered_yaml.merged(layers, path, known, chosen)


def parse(argv: list[str] | None, source: type, config: type, doc: str) -> tuple[Any, Any]:
    """Both dataclasses, from --config and the flags."""
    from omegaconf import OmegaConf
    from trl import TrlParser

    words = [part for word in (sys.argv[1:] if argv is None else argv) for part in _halves(str(word))]
    parser = TrlParser((source, config), description=doc)
    parser.error = _refuse  # a sentence in place of 150 lines of usage
    if "--config" not in words:
        return _parsed(parser, words)
    at = words.index("--config") + 1
    path = existing(words[at] if at < len(words) else "", "the configuration", REMEDY)
    known = [field.name for kind in (source, config) for field in fields(kind)]
    settings = layered_yaml.resolved(read(path, known, _texts(words, source)), path)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(OmegaConf.to_yaml(OmegaConf.create(settings)))
        file.flush()
        words[at] = file.name
        return _parsed(parser, words)


def _halves(word: str) -> list[str]:
    """`--key=value` as two words, as the rest of the line has them."""
    return word.split("=", 1) if word.startswith("--") and "=" in word else [word]


def _texts(words: list[str], source: type) -> dict[str, str]:
    """Flags that other keys may refer to (${name}) or that choose a file."""
    texts = {f"--{field.name}" for field in fields(source) if field.type in (str, str | None)}
    return {word[2:]: value for word, value in pairwise(words) if word in texts}


def _parsed(parser: Any, words: list[str]) -> tuple[Any, Any]:
    try:
        return parser.parse_args_and_config(words)
    except ValueError as error:  # trl's, and transformers' of values that do not fit each other
        raise UserError(f"{' '.join(str(error).split())}; see --help") from error


def _refuse(message: str) -> NoReturn:
    raise UserError(f"{message}; see --help")
