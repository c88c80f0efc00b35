"""The official entry of an ICD-10-CM code: its title and notes and those of all that stands above it, offline.

    from reward_fns.icd import tabular
    print(tabular.describe("I214"))

Reading simple-icd-10-cm takes seconds, so what is needed of it is kept in the user's cache folder, as in
reward_fns.icd.icd10, and read at the first use. Excludes notes, code-first and use-additional-code instructions bind
every code below the place where they stand; that is why the ancestors' belong to a code's entry.
"""

from functools import lru_cache

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
    name = dotted(known) if known else ""
    while name:
        name, entry = _table()[name]
        lines.append(entry)
    text = "\n".join(lines)
    return text if len(text) <= most else text[: most - 4].rsplit(" ", 1)[0] + " […]"


def title(code: str) -> str:
    """The official title of a code, or of the nearest that stands above it in this list; "" without any."""
    known = nearest_known(code)
    return _table()[dotted(known)][1].partition("\n")[0].partition(": ")[2] if known else ""


def terms(code: str) -> list[str]:
    """The official title of a code of this list and its other names."""
    entry = _table()[dotted(code)][1].split("\n")
    named = next((line.partition(": ")[2] for line in entry if line.startswith("  Also named: ")), "")
    return [entry[0].partition(": ")[2], *filter(None, named.split("; "))]


def below(code: str) -> list[str]:
    """The codes right below one."""
    return [name.replace(".", "") for name in _children().get(dotted(code), ())]


@lru_cache(maxsize=1)
def _children() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, (above, _) in _table().items():
        found.setdefault(above, []).append(name)
    return found


def dotted(code: str) -> str:
    """The code as the tabular list writes it."""
    return f"{code[:3]}.{code[3:]}" if len(code) > 3 else code


@lru_cache(maxsize=1)
def _table() -> dict[str, tuple[str, str]]:
    """Name ("I21.4", "I21", "block I20-I25", "Chapter 9") -> the name above it and the entry."""
    return icd10.kept("icd10cm-entries", _from_package)


def _from_package() -> dict[str, tuple[str, str]]:
    import simple_icd_10_cm as cm

    table: dict[str, tuple[str, str]] = {}

    def add(item: str, name: str, above: str) -> None:
        block = name.startswith("block")  # a block of one category shares its name
        lines = [f"{name.removeprefix('block ')}: {cm.get_description(item, prioritize_blocks=block)}"]
        for label, field in LABELS.items():
            said = getattr(cm, f"get_{field}")(item, prioritize_blocks=block)
            rows = [row.strip(" ,") for row in (said.split("\n") if isinstance(said, str) else said)]
            if any(rows):
                lines.append(f"  {label}: {'; '.join(filter(None, rows)).replace(':;', ':')}")
        table[name] = above, "\n".join(lines)
        for child in cm.get_children(item, prioritize_blocks=block):
            add(child, child if above else f"block {child}", name)

    for chapter in filter(cm.is_chapter, cm.get_all_codes()):
        add(chapter, f"Chapter {chapter}", "")
    return table
