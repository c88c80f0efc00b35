"""One YAML over another: a file says what differs from the `base` beside it, and flags have the last word.

    settings = read(path, known=("n", "temperature"), chosen={"n": "1"})
    resolved(settings, path)     # plain values, every ${…} filled in

${oc.env:NAME,default} names places, ${name} another key. A command with layers of its own (sft/settings.py has
hardware) adds them to `layers(path)` and calls `merged`.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from common.commands import UserError, existing


def read(path: Path, known: Iterable[str], chosen: dict[str, str] | None = None) -> Any:
    """The settings of a YAML over its base, with `chosen` on top, as an OmegaConf; unknown keys are a sentence."""
    return merged(layers(path), path, known, chosen)


def layers(path: Path) -> list[Any]:
    """The base, if the YAML names one, and the YAML itself; later layers change earlier ones."""
    settings = load(path)
    base = settings.pop("base", None)
    below = [load(existing(path.parent / str(base), "the base", f"{path} names it"))] if base else []
    return [*below, settings]


def load(path: Path) -> Any:
    """One file alone; a sentence when it is no YAML of keys."""
    from omegaconf import DictConfig, OmegaConf
    from yaml import YAMLError

    try:
        settings = OmegaConf.load(path)
    except (YAMLError, UnicodeDecodeError, IsADirectoryError) as error:
        raise UserError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(settings, DictConfig):
        raise UserError(f"{path} holds no keys; write `key: value` lines")
    return settings


def merged(given: list[Any], path: Path, known: Iterable[str], chosen: dict[str, str] | None = None) -> Any:
    """The given layers as one, with what is known of `chosen` on top; unknown keys of a layer are a sentence."""
    from omegaconf import OmegaConf

    known = list(known)
    for layer in given:
        _refuse_unknown(map(str, layer), known, path)
    return OmegaConf.merge(*given, {key: value for key, value in (chosen or {}).items() if key in known})


def resolved(settings: Any, path: Path) -> dict[str, Any]:
    """Plain values: every ${…} filled in."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.to_container(settings, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"{path}: {str(error).splitlines()[0]}") from error


def _refuse_unknown(keys: Iterable[str], known: list[str], path: Path) -> None:
    """A sentence for a key that nothing reads, with the nearest one."""
    for key in keys:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            raise UserError(f"{path}: there is no key {key}" + (f", did you mean {near[0]}?" if near else ""))
