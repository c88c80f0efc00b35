"""ICD-10-CM codes as the rewards and metrics see them: validity, category, chapter and prefix overlap.

    from reward_fns.icd import icd10
    icd10.normalise(" i21.4 "), icd10.category("I214"), icd10.chapter("I214")  # "I214", "I21", "9"

A code exists when it is a category ("I21") or anything below one in simple-icd-10-cm, billable or not. Reading that
package takes seconds, so what is needed of it is kept in the user's cache folder (XDG_CACHE_HOME), by its version, and
read at the first use. `extra` adds codes of other years: see read_codes.
"""

import json
import os
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from itertools import groupby, islice
from pathlib import Path
from typing import Any, NamedTuple

NONE: frozenset[str] = frozenset()

_LONGEST = 7  # characters of a code without its dot

SHAPE = "[A-Z](?:[0-9][0-9A-Z]|[A-Z][0-9])[0-9A-Z]{0,4}"  # also C7A.00, Z3A.01, QA0.01
_WHOLE = re.compile(SHAPE).fullmatch


class Table(NamedTuple):
    """Every code without its dot, sorted, and the chapter ("1" to "22") in which each run of categories starts."""

    codes: frozenset[str]
    ordered: tuple[str, ...]
    starts: tuple[str, ...]
    chapters: tuple[str, ...]


def normalise(code: str) -> str:
    """Upper case, without dots and white space; what is not ASCII is no code and keeps its case."""
    if not code.isalnum():
        code = "".join(code.replace(".", " ").split(None, _LONGEST + 1))  # more pieces are no code and stay apart
    return code.upper() if code.isascii() else code


def looks_like_code(code: str) -> bool:
    """Whether a normalised text has the shape of an ICD-10-CM code, existing or not."""
    return _WHOLE(code) is not None


def exists(code: str, extra: frozenset[str] = NONE) -> bool:
    """Whether a text is a category or a code below one, in any spelling that normalise understands."""
    code = normalise(code)
    return code in table().codes or code in extra


def category(code: str) -> str:
    """The three-character category of a code."""
    return normalise(code)[:3]


def chapter(code: str, extra: frozenset[str] = NONE) -> str | None:
    """The chapter, "1" to "22", of a code that exists, else None."""
    if not exists(code, extra):
        return None
    known = table()
    at = bisect_right(known.starts, category(code))
    return known.chapters[at - 1] if at else None


def overlap(one: str, other: str) -> int:
    """The length of the common prefix of two normalised codes."""
    for at, (mine, its) in enumerate(zip(one, other, strict=False)):
        if mine != its:
            return at
    return min(len(one), len(other))


def nearest(code: str, n: int = 3) -> list[str]:
    """Codes that share the longest prefix with a text, the shortest first, for error messages."""
    wanted, ordered = normalise(str(code))[:_LONGEST], table().ordered
    for length in range(len(wanted), 0, -1):
        at = bisect_left(ordered, wanted[:length])
        near = [near for near in islice(ordered, at, at + 500) if near.startswith(wanted[:length])]
        if near:
            return sorted(near, key=len)[:n]
    return []


@lru_cache(maxsize=8)
def read_codes(path: str | None) -> frozenset[str]:
    """The codes in a file, if one is given: the first word of every line, with or without dot."""
    if not path:
        return NONE
    # as a text: a number would be taken for an open file, and closed
    with open(str(path), encoding="utf-8", errors="replace") as file:
        words = [line.replace(",", " ").split(None, 1)[:1] for line in file]
    codes = frozenset(normalise(word[0]) for word in words if word)
    wrong = next((code for code in sorted(codes) if not looks_like_code(code)), None)
    if wrong is not None:
        raise ValueError(f"{path}: {wrong!r} does not have the shape of an ICD-10-CM code; give one code a line")
    return codes


@lru_cache(maxsize=1)
def table() -> Table:
    """Every code and chapter, from the cache or else from simple-icd-10-cm."""
    codes, starts = kept("icd10cm", _from_package)
    return Table(frozenset(codes), tuple(codes), tuple(starts), tuple(starts.values()))


def kept(stem: str, make: Callable[[], Any]) -> Any:
    """What `make` takes seconds to make of simple-icd-10-cm: it is kept as JSON, by the package's version."""
    from importlib.metadata import version

    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "medcode-rl"
    path = folder / f"{stem}-{version('simple-icd-10-cm')}.json"
    with suppress(OSError, ValueError):  # not there yet, unreadable or damaged
        return json.loads(path.read_text(encoding="ascii"))
    made = make()
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(made), encoding="ascii")
        os.replace(beside, path)
    except OSError:  # a folder that cannot be written costs seconds in every process, nothing else
        with suppress(OSError):
            beside.unlink()
    return made


def _from_package() -> tuple[list[str], dict[str, str]]:
    """The codes, and the categories with which a chapter starts."""
    import simple_icd_10_cm as cm

    codes: set[str] = set()
    chapters: dict[str, str] = {}  # of every category
    for item in cm.get_all_codes():  # every chapter and, after it, all that stands below it
        if cm.is_chapter(item):
            chapter = item
        elif cm.is_category(item) or cm.is_subcategory(item):
            codes.add(item.replace(".", ""))
            chapters[item[:3]] = chapter
    runs = groupby(sorted(chapters), chapters.get)
    return sorted(codes), {next(categories): chapter for chapter, categories in runs}
