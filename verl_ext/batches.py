"""What a batch of training completions says: means of the reward's components, statistics of groups, outcomes a prompt.

Pure functions over the rewards' dictionaries; verl_ext.trainer feeds them.
"""

from collections.abc import Iterable, Mapping, Sequence
from numbers import Number
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from common.files import whole_file

Info = Mapping[str, Any]  # what a reward function returned for one completion


class Group(NamedTuple):
    """The completions of one prompt in one step."""

    index: int | None
    hadm_id: int | None
    infos: list[Info]
    tokens: list[int]  # of every completion


def component_means(infos: Iterable[Info]) -> dict[str, float]:
    """The mean of every numeric component over the completions of a batch, and the share that answers at all."""
    values: dict[str, list[float]] = {}
    for info in infos:
        for name, value in info.items():
            if isinstance(value, Number):
                values.setdefault(name, []).append(float(value))
        if "pred" in info:
            values.setdefault("answered", []).append(float(bool(info["pred"])))
    return {f"reward/{name}/mean": sum(found) / len(found) for name, found in sorted(values.items())}


def group_statistics(groups: Sequence[Group]) -> dict[str, float]:
    """Shares of the groups whose rewards are all equal, which teach nothing, and of those all right or all wrong."""
    if not groups:
        return {}
    rewards = [[info["score"] for info in group.infos] for group in groups]
    right = [[info.get("acc", 0.0) for info in group.infos] for group in groups]
    return {
        "groups/zero_variance": sum(len(set(scores)) == 1 for scores in rewards) / len(groups),
        "groups/all_right": sum(all(accs) for accs in right) / len(groups),
        "groups/all_wrong": sum(not any(accs) for accs in right) / len(groups),
    }


def outcome_table(step: int, groups: Sequence[Group]) -> pa.Table:
    """A row a group: step, index, hadm_id, a list of lengths and one for every numeric component; no text."""
    infos = [info for group in groups for info in group.infos]
    names = sorted({name for info in infos for name in info if name != "pred"})
    numeric = [name for name in names if all(isinstance(info.get(name), Number) for info in infos)]
    whole, real = pa.int64(), pa.list_(pa.float64())
    known = [("step", whole), ("index", whole), ("hadm_id", whole), ("tokens", pa.list_(whole))]
    rows = [
        {"step": step, **group._asdict(), **{name: [float(info[name]) for info in group.infos] for name in numeric}}
        for group in groups
    ]
    return pa.Table.from_pylist(rows, pa.schema([*known, *((name, real) for name in numeric)]))


def write_outcomes(folder: Path, step: int, groups: Sequence[Group]) -> None:
    """One file a step in a parquet folder: a step that is trained again after a kill replaces its file."""
    with whole_file(file_of(folder, step)) as made:
        pq.write_table(outcome_table(step, groups), made)


def file_of(folder: Path, step: int) -> Path:
    """Where the outcomes of a step are."""
    return folder / f"step-{step:06}.parquet"
