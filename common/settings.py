"""The settings of a command: a dataclass declares each once, a YAML over its base fills it in, flags come on top.

    @dataclass
    class Settings:
        data: str = setting("RL parquet with the prompts")  # without a default it must be said
        n: int = setting("completions per prompt", 1, must=at_least(1))

    wanted = parse(Settings, argv, __doc__)

Each is a flag, --top-p or --top_p, and a key of the YAML after --config. `base: FILE` there names a YAML beside it that
it changes; ${oc.env:NAME,default} names places, ${name} another key. A class that extends another may give a setting
another default: the rest stays as declared.
"""

import difflib
from argparse import SUPPRESS, ArgumentDefaultsHelpFormatter, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Collection, Iterable
from dataclasses import field, fields
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from common.commands import UserError, existing, parser

Kind = TypeVar("Kind")
Rule = tuple[str, Callable[[Any], bool]]  # what a value must, in words, and whether it does


def setting(help: str, default: Any = MISSING, must: Rule | None = None, **flag: Any) -> Any:
    """A field of a dataclass of settings; `flag` goes to argparse."""
    return field(default=default, metadata={"must": must, "flag": {"help": help, **flag}})


def at_least(least: float) -> Rule:
    """The rule that a number is this or more."""
    return f"be at least {least}", lambda value: value >= least


def parse(kind: type[Kind], argv: list[str] | None, doc: str) -> Kind:
    """The settings of --config and of the flags; a mistake in either is a sentence."""
    path, said = flags(kind, argv, doc)
    return filled(kind, layers(path, kind.__dataclass_fields__), said, path)[0]


def flags(
    kind: type, argv: list[str] | None, doc: str, more: ArgumentParser | None = None, config: str = "YAML of these"
) -> tuple[Path | None, dict[str, Any]]:
    """The --config, and what all other flags say, which may be more than those of the dataclass."""
    p = parser(doc, parents=[more] if more else [])
    p.formatter_class, p.error = _Help, refuse
    p.add_argument("--config", default=SUPPRESS, help=config)
    for one in fields(kind):
        spelt = dict.fromkeys((_flag(one.name), f"--{one.name}"))
        default = SUPPRESS if one.default in (None, MISSING, "") else one.default
        alone = {"nargs": "?", "const": True} if one.type is bool else {}  # --fresh is --fresh true
        p.add_argument(*spelt, dest=one.name, default=default, **alone, **_declared(kind, one.name)["flag"])
    unsaid = object()  # in the place of every default: what is something else was said
    found = vars(p.parse_args(argv, Namespace(**dict.fromkeys(vars(p.parse_args([])), unsaid))))
    said = {name: value for name, value in found.items() if value is not unsaid}
    path = said.pop("config", None)
    return None if path is None else existing(path, "the configuration", "name one after --config"), said


def layers(path: Path | None, known: Collection[str]) -> list[DictConfig]:
    """The base, if the YAML names one, and the YAML itself; later layers change earlier ones."""
    if path is None:
        return []
    settings = load(path, [*known, "base"])
    base = settings.pop("base", None)
    below = [load(existing(path.parent / str(base), "the base", f"{path} names it"), known)] if base else []
    return [*below, settings]


def load(path: Path, known: Collection[str] | None = None) -> DictConfig:
    """One file alone; a sentence when it is no YAML of keys, or has others than those known."""
    existing(path, "the YAML", "name one that is there")
    try:
        settings = OmegaConf.load(path)
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError, IsADirectoryError) as error:
        raise UserError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(settings, DictConfig):
        raise UserError(f"{path} holds no keys; write `key: value` lines")
    if known is not None:
        refuse_unknown(settings, known, path)
    return settings


def refuse_unknown(keys: Iterable[Any], known: Collection[str], where: object) -> None:
    """A sentence for the first key that nothing reads."""
    for key in keys:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            raise UserError(f"{where}: there is no key {key}" + (f", did you mean {near[0]}?" if near else ""))


def filled(
    kind: type[Kind], below: list[DictConfig], said: dict[str, Any], path: Path | None
) -> tuple[Kind, dict[str, Any]]:
    """The dataclass of the layers and what was said over them, and the values of keys that are not its own."""

    def place(key: str) -> str:
        return _flag(key) if key in said or path is None else f"{path}: {key}"

    defaults = {one.name: one.default for one in fields(kind)}
    try:
        values = OmegaConf.to_container(OmegaConf.merge(defaults, *below, said), resolve=True)
        own = OmegaConf.merge(OmegaConf.structured(kind), {name: values.pop(name) for name in defaults})
        if missing := [_flag(name) for name in defaults if OmegaConf.is_missing(own, name)]:
            raise UserError(f"{', '.join(missing)} must be said, as a flag or in --config")
        wanted: Kind = OmegaConf.to_object(own)
    except OmegaConfBaseException as error:
        key = str(error.full_key).partition("[")[0]
        raise UserError(f"{place(key)}: {str(error).splitlines()[0]}; see --help") from error
    for name in defaults:
        words, holds = _declared(kind, name)["must"] or ("", lambda _: True)
        if (value := getattr(wanted, name)) is not None and not holds(value):
            raise UserError(f"{place(name)} must {words}, not {value}")
    return wanted, values


def refuse(message: str) -> NoReturn:
    """What an argument parser says of flags, as a sentence."""
    raise UserError(f"{message}; see --help")


class _Help(RawDescriptionHelpFormatter, ArgumentDefaultsHelpFormatter):
    """Text as it is written, and the defaults."""


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _declared(kind: type, name: str) -> Any:
    """What a setting was declared with: by the first class that has it."""
    declared = [base.__dataclass_fields__ for base in kind.__mro__ if hasattr(base, "__dataclass_fields__")]
    return next(of[name].metadata for of in reversed(declared) if name in of)
