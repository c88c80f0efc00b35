"""Prepared data as the report shows it: what data_prep.describe counts, and what every filter dropped.

for view in data_views(Path("data")): print(view.folder, view.facts)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from data_prep.describe import describe
from data_prep.validate import prepared, read_manifest
from eval.page import drawing as draw
from eval.page.figure import Figure

LENGTHS = ("median", "p95", "max")


@dataclass(frozen=True)
class DataView:
    """One prepared folder: facts, tables (title, heads, rows) and figures."""

    folder: str
    facts: list[tuple[str, str]]
    tables: list[tuple[str, list[str], list[list[Any]]]]
    figures: list[Figure]


def data_views(folder: Path | None) -> list[DataView]:
    """The prepared folders in a data folder; a single file is only where notes come from."""
    return [_view(each) for each in prepared(folder)] if folder and folder.is_dir() else []


def _view(folder: Path) -> DataView:
    found, manifest = describe(folder), read_manifest(folder)
    facts = [
        ("task", found["task"]),
        ("releases", ", ".join(f"{name} {release}" for name, release in found["releases"].items())),
        ("split", found["split"]),
        ("prompt budget", f"{found['max_prompt_tokens']:,} tokens" if found["max_prompt_tokens"] else "none"),
        ("command", manifest.get("command", "not recorded")),
    ]
    files = found["files"]
    dropped = [[step[name] for name in ("name", "before", "after", "reason")] for step in manifest["filters"]]
    filters = ("What every filter dropped, and why", ["filter", "before", "after", "dropped"], dropped)
    return DataView(str(folder), facts, [_files(files), filters], [_labels(found["task"], files)])


def _files(files: dict[str, Any]) -> tuple[str, list[str], list[list[Any]]]:
    rows = [
        {"file": name, "rows": one["rows"], "patients": one["patients"]}
        | {f"words, {key}": round(one["note_words"][key]) for key in LENGTHS}
        | {f"prompt tokens, {key}": one["prompt_tokens"] and round(one["prompt_tokens"][key]) for key in LENGTHS}
        | {"cut, %": round(100 * one["truncated"], 1), "labels": one["labels"]}
        | {"most frequent, %": round(100 * one["most_frequent"], 1), "label new, %": round(100 * one["unseen"], 1)}
        for name, one in files.items()
    ]
    return "Files: lengths, labels, truncation", list(rows[0]), [list(row.values()) for row in rows]


def _labels(task: str, files: dict[str, Any]) -> Figure:
    """The label distribution of the largest training file and of the test file."""
    train = max((name for name in files if not name.startswith(("test", "val"))), key=lambda name: files[name]["rows"])
    names: Sequence[str] = [train, *(name for name in files if name.startswith("test.") or name == "test")]
    counts = {name: files[name]["label_counts"] for name in names}
    caption = "Cases of the most frequent label, of the next, and so on; both axes are logarithmic."
    return Figure(f"labels-{task}", "Label distribution", caption, partial(draw.ranks, counts=counts))
