"""The best checkpoint by validation, kept beside the newest ones.

    trainer.v1.medcode.keep_best: val-core/mimic_drg/acc/mean@1      # a metric of verl's validation; more is better

`checkpoints/best` then holds global_step_N as it was saved, hard links where the disk has them, and best.json with
step, metric and value. verl and the launcher remove old checkpoints by their names, so this one stays.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.files import whole_folder

FOLDER, NAME = "best", "best.json"


def read(checkpoints: Path) -> dict[str, Any]:
    """step, metric and value of the best checkpoint; nothing where none is kept."""
    file = checkpoints / FOLDER / NAME
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def is_better(checkpoints: Path, metric: str, found: Mapping[str, float]) -> bool:
    """Whether a validation is better than that of the checkpoint that is kept; an unknown metric is a ValueError."""
    if metric not in found:
        there = ", ".join(sorted(name for name in found if name.startswith("val-core")))
        raise ValueError(f"trainer.v1.medcode.keep_best: validation has no metric {metric!r}; there is {there}")
    before = read(checkpoints)
    return before.get("metric") != metric or found[metric] > before["value"]


def keep(checkpoints: Path, step: int, metric: str, value: float) -> None:
    """Keep the checkpoint of a step in the place of the one that was best before."""
    name = f"global_step_{step}"
    with whole_folder(checkpoints / FOLDER) as made:
        shutil.copytree(checkpoints / name, made / name, copy_function=_link)
        (made / NAME).write_text(json.dumps({"step": step, "metric": metric, "value": value}) + "\n", encoding="utf-8")


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a disk without hard links
        shutil.copy2(source, target)
