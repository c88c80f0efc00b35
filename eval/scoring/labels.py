"""Answers as numbers of labels, at every level of a task, and the files that say which labels and codes there are.

labelled = label(task.levels, predictions, golds, scope)
labelled.said[i, j, k]    # the label of sample j of case i at level k; INVALID where it says nothing valid
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.commands import UserError, existing
from eval.scoring.metrics import INVALID
from reward_fns.task import TASKS, Level, Scope, Task


@dataclass(frozen=True)
class Labelled:
    """What every sample says and what is right, at each level; an invalid answer has no label (metrics.INVALID)."""

    said: np.ndarray  # cases x samples x levels
    gold: np.ndarray  # cases x levels
    names: tuple[tuple[str, ...], ...]  # of the labels of each level
    in_file: tuple[np.ndarray, ...] = ()  # which of them are in the label file, where there is one


def label(levels: Sequence[Level], pred: list[list[str]], golds: list[str], scope: Scope) -> Labelled:
    """The labels of answers and golds."""
    answers, rights = {answer for row in pred for answer in row}, set(golds)
    said, gold, names, in_file = [], [], [], []
    for level in levels:
        labels = {answer: level.label(answer, scope) for answer in answers}
        right = {text: level.gold(text, scope) for text in rights}
        fixed = level.names or sorted({level.gold(code, scope) for code in scope.labels} or set(right.values()))
        # An answer outside the known labels is of the class `rest`, or without one (chapters) of its own.
        others = [level.rest] if level.rest else sorted(set(labels.values()) - {None, *fixed})
        known = [*fixed, *([] if level.names else others)]
        place = {name: i for i, name in enumerate(known)}
        rest = place.get(level.rest, INVALID)
        numbers = {answer: INVALID if name is None else place.get(name, rest) for answer, name in labels.items()}
        said.append([[numbers[answer] for answer in row] for row in pred])
        gold.append([place[right[text]] for text in golds])
        names.append(tuple(known))
        in_file += [np.arange(len(known)) < len(fixed)] * (level.names is None and bool(scope.labels))
    return Labelled(np.stack(said, axis=2), np.stack(gold, axis=1), tuple(names), tuple(in_file))


def scope_of(task: Task, folder: Path, settings: Mapping[str, Any], given: Mapping[str, str | None]) -> Scope:
    """What scoring a folder needs: the files given (`labels`, options of the reward), or those beside its data."""
    if any(path and not (task.label_file if name == "labels" else name in task.files) for name, path in given.items()):
        others = ", ".join(other.source for other in TASKS.values() if other.label_file)
        raise UserError(f"{folder} holds {task.source}, and --labels and --extra-codes are for {others}")
    beside = Path(settings["data"]["name"]).parent
    files = {}
    for option, name in task.files.items():
        if path := given.get(option):
            files[option] = str(existing(path, "the file of codes", f"check --{option.replace('_', '-')}"))
        elif (beside / name).is_file():
            files[option] = str(beside / name)
    labels = _read(task, given.get("labels") or beside / task.label_file) if task.label_file else ()
    try:
        task.module().check_options(**files)
    except ValueError as error:
        raise UserError(str(error)) from error
    return Scope(settings["prefill"], labels, files)


def check_golds(task: Task, golds: list[str], scope: Scope) -> None:
    """Every gold is in the label file, where there is one."""
    finest = task.levels[task.finest]
    missing = next((gold for gold in golds if scope.labels and finest.gold(gold, scope) not in scope.known), None)
    if missing is not None:
        raise UserError(
            f"the gold {finest.gold(missing, scope)} is not among the {len(scope.labels)} codes of the label file; "
            "give --labels of the same data"
        )


def _read(task: Task, path: str | Path) -> tuple[str, ...]:
    """The labels of a file at the finest level, as golds are written."""
    level = task.levels[task.finest]
    remedy = f"give --labels the {task.label_file} that `python -m data_prep.{task.key}` wrote"
    text = existing(path, "the label file", remedy).read_bytes()
    try:
        codes = json.loads(text)[level.key]
        found = tuple(sorted({level.gold(code, Scope()) for code in codes if code != level.rest}))
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no label file; {remedy}") from error
    except ValueError as error:
        raise UserError(f"{path} holds {error}; {remedy}") from error
    if not found:
        raise UserError(f"{path} is empty; {remedy}")
    return found
