"""The official entry of an ICD-10-CM code: its title and notes and those of all that stands above it, offline.

    from reward_fns.icd import tabular
    print(tabular.describe("I214"))

Reading simple-icd-10-cm takes seconds, so what is needed of it is kept in the user's cache folder, as in
reward_fns.icd.icd10, and read at the first use. Excludes notes, code-first and use-additional-code instructions bind
every code below the place where they stand; that is why the ancestors' belong to a code's entry.
"""

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from reward_fns.icd import icd10

LABELS = {  # what the tabular list calls a note, and what simple-icd-10-cm does
    "Includes": "includes",
    "Also named": "inclusion_term",
    "Note": "notes",
    "Excludes1 (not coded here)": "excludes1",
    "Excludes2 (not part of this, may be present as well)": "excludes2",
    "Code first": "code_first",
    "Use additional code": "use_additional_code",
    "Code also": "code_also",
}


class Entry(NamedTuple):
    """One line of the tabular list with the notes that stand at it."""

    name: str  # "I21.4", "I21", "I20-I25" or "Chapter 9"
    title: str
    notes: tuple[tuple[str, tuple[str, ...]], ...]  # label, lines


def entries(code: str) -> list[Entry]:
    """The entry of a code and of its ancestors, the chapter last; [] for a code that is not in the list."""
    found, name = [], dotted(icd10.normalise(code))
    known = _table()
    while name in known:
        above, text = known[name].split("\t", 1)
        title, notes = json.loads(text)
        found.append(Entry(name.removeprefix("block "), title, tuple((label, tuple(rows)) for label, rows in notes)))
        name = above
    return found


def nearest_known(code: str) -> str | None:
    """The code itself when it is in the list, else the longest beginning of it that is: its category, at least."""
    code = icd10.normalise(code)
    return next((code[:end] for end in range(len(code), 2, -1) if dotted(code[:end]) in _table()), None)


@lru_cache(maxsize=4096)
def describe(code: str, most: int = 6000) -> str:
    """The official entry as text of at most so many characters; the code's own notes come first and are cut last.

    A code of another year's list has no entry of its own: it gets its nearest ancestor's, and a sentence that says so.
    """
    code = icd10.normalise(code)
    known = nearest_known(code)
    lines = []
    if known != code:
        where = f"the notes below are those of {dotted(known)}" if known else "nothing stands above it either"
        lines.append(f"{dotted(code)}: this release of the tabular list has no entry for the code; {where}.")
    for entry in entries(known) if known else ():
        lines.append(f"{entry.name}: {entry.title}")
        lines += [f"  {label}: {'; '.join(rows).replace(':;', ':')}" for label, rows in entry.notes]
    text = "\n".join(lines)
    return text if len(text) <= most else text[: most - 4].rsplit(" ", 1)[0] + " […]"


def dotted(code: str) -> str:
    """The code as the tabular list writes it."""
    return f"{code[:3]}.{code[3:]}" if len(code) > 3 else code


@lru_cache(maxsize=1)
def _table() -> dict[str, str]:
    """Name -> the name above it, a tab, title and notes as JSON; a name that block and category share is the latter."""
    return dict(line.split("\t", 1) for line in icd10.kept("icd10cm-notes", _from_package, _whole).splitlines())


def _whole(text: str) -> str:
    """The text without its last line, which says how many lines there are."""
    body, _, count = text.rpartition("\n")
    if body.count("\n") + 1 != int(count):
        raise ValueError("the cached table of notes is damaged")
    return body


def _from_package() -> str:
    lines = list(_lines())
    return "\n".join([*lines, str(len(lines))])


def _lines() -> Iterator[str]:
    import simple_icd_10_cm as cm

    def line(name: str, above: str, item: str, block: bool = False) -> str:
        notes = []
        for label, field in LABELS.items():
            said = getattr(cm, f"get_{field}")(item, prioritize_blocks=block)
            rows = [row.strip(" ,") for row in (said.split("\n") if isinstance(said, str) else said)]
            if any(rows):
                notes.append((label, [row for row in rows if row]))
        title = cm.get_description(item, prioritize_blocks=block)
        return f"{name}\t{above}\t{json.dumps([title, notes], ensure_ascii=True)}"

    def below(item: str, above: str) -> Iterator[str]:
        yield line(item, above, item)
        for child in cm.get_children(item):
            yield from below(child, item)

    for chapter in (item for item in cm.get_all_codes() if cm.is_chapter(item)):
        yield line(f"Chapter {chapter}", "", chapter)
        for block in cm.get_children(chapter):
            yield line(f"block {block}", f"Chapter {chapter}", block, block=True)
            for category in cm.get_children(block, prioritize_blocks=True):
                yield line(category, f"block {block}", category)
                for child in cm.get_children(category):
                    yield from below(child, category)
