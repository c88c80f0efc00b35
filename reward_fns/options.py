"""Checks of options that the rewards share; each raises ValueError with a sentence. `whose` names the reward."""

import math
from collections.abc import Callable, Iterable
from difflib import get_close_matches


def check_names(names: Iterable[str], known: Iterable[str], whose: str) -> None:
    """Every option is known."""
    for name in names:
        if name not in known:
            raise ValueError(f"{name!r} is no option of {whose}; {_nearest(name, known)}")


def check_choice(name: str, value: object, known: Iterable[str], whose: str) -> None:
    """A value is one of those known."""
    if value not in tuple(known):
        raise ValueError(f"{name}={value!r} is unknown to {whose}; {_nearest(value, known)}")


def check_prefill(prefill: object) -> None:
    """The prefill is a text."""
    if not isinstance(prefill, str):
        raise ValueError(f'prefill={prefill!r} must be a text, for instance "<think>"')


def check_file(name: str, path: object, read: Callable[[str], object], what: str = "a file") -> None:
    """A path, where one is given, is that of a file that `read` takes."""
    if path is not None and not isinstance(path, str):
        raise ValueError(f"{name}={path!r} must be the path of {what}")
    try:
        if path:
            read(path)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ValueError(f"{name}={path!r} cannot be read: {why}") from error


def is_number(value: object) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def _nearest(value: object, known: Iterable[str]) -> str:
    near = get_close_matches(str(value), known, 1)
    return (f"did you mean {near[0]!r}? " if near else "") + f"Known: {', '.join(known)}"
