"""The YAML of a training command: trl's keys and ours, a base that several files share, `--key value` on top.

    source, config = parse(argv, Source, SFTConfig, __doc__)

`base: FILE` (beside the YAML) holds what a paper keeps fixed; the YAML says what differs. `--hardware NAME` lays
sft/hardware/NAME.yaml over both, and `--key value` has the last word. ${oc.env:NAME,default} names places, ${name}
another key.
"""

import difflib
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from commands import UserError, existing

HARDWARE = Path(__file__).parent / "hardware"
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
    """The settings of a YAML over its base, with `chosen` on top, as an OmegaConf; unknown keys are a sentence."""
    from omegaconf import OmegaConf

    chosen = chosen or {}
    settings = _load(path)
    layers = [settings]
    if base := settings.pop("base", None):
        below = path.parent / str(base)
        layers.insert(0, _load(existing(below, "the base", f"{path} names it")))
    hardware = chosen.get("hardware") or next((s["hardware"] for s in reversed(layers) if s.get("hardware")), None)
    if hardware:
        names = ", ".join(sorted(file.stem for file in HARDWARE.glob("*.yaml")))
        below = _load(existing(HARDWARE / f"{hardware}.yaml", "the hardware file", f"there is {names}"))
        layers.append({key: value for key, value in below.items() if key in known})  # SFT and DPO share the file
    for layer in layers:
        refuse_unknown(map(str, layer), known, path)
    return OmegaConf.merge(*layers, {key: value for key, value in chosen.items() if key in known})


def refuse_unknown(keys: Iterable[str], known: Iterable[str], path: Path) -> None:
    """A sentence for a key that nothing reads, with the nearest one."""
    known = list(known)
    for key in keys:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            raise UserError(f"{path}: there is no key {key}" + (f", did you mean {near[0]}?" if near else ""))


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
    settings = resolved(read(path, known, _texts(words, source)), path)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(OmegaConf.to_yaml(OmegaConf.create(settings)))
        file.flush()
        words[at] = file.name
        return _parsed(parser, words)


def resolved(settings: Any, path: Path) -> dict[str, Any]:
    """Plain values: every ${…} filled in."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.to_container(settings, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"{path}: {str(error).splitlines()[0]}") from error


def _load(path: Path) -> Any:
    from omegaconf import DictConfig, OmegaConf
    from yaml import YAMLError

    try:
        settings = OmegaConf.load(path)
    except (YAMLError, UnicodeDecodeError, IsADirectoryError) as error:
        raise UserError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(settings, DictConfig):
        raise UserError(f"{path} holds no keys; write `key: value` lines")
    return settings


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
