"""Prepared data as the report shows it: what data_prep.describe counts, and what every filter dropped.

for view in data_views(Path("data")): print(view.folder, view.found["files"])
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from data_prep.describe import describe
from data_prep.validate import prepared, read_manifest
from eval.page import drawing as draw
from eval.page.figure import Figure


@dataclass(frozen=True)
class DataView:
    """One prepared folder: what describe finds in it, its manifest, and its labels as a figure."""

    folder: Path
    found: Mapping[str, Any]
    manifest: Mapping[str, Any]
    labels: Figure


def data_views(folder: Path | None) -> list[DataView]:
    """The prepared folders in a data folder; a single file is only where notes come from."""
    if not folder or not folder.is_dir():
        return []
    found = [(each, describe(each), read_manifest(each)) for each in prepared(folder)]
    return [DataView(each, said, manifest, _labels(said["task"], said["files"])) for each, said, manifest in found]


def _labels(task: str, files: dict[str, Any]) -> Figure:
    """The label distribution of the largest training file and of the test file."""
    train = max((name for name in files if not name.startswith(("test", "val"))), key=lambda name: files[name]["rows"])
    names: Sequence[str] = [train, *(name for name in files if name.startswith("test.") or name == "test")]
    counts = {name: files[name]["label_counts"] for name in names}
    caption = "Cases of the most frequent label, of the next, and so on; both axes are logarithmic."
    return Figure(f"labels-{task}", "Label distribution", caption, partial(draw.ranks, counts=counts))
