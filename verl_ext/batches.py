"""What a batch of training completions says: means of the reward's components, statistics of groups, outcomes a prompt.

Pure functions over the rewards' dictionaries; verl_ext.trainer feeds them.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from numbers import Number
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

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
    names = sorted({name for group in groups for info in group.infos for name in info if name != "pred"})
    numeric = [
        name for name in names if all(isinstance(info.get(name), Number) for group in groups for info in group.infos)
    ]
    return pa.table(
        {
            "step": pa.array([step] * len(groups), pa.int64()),
            "index": pa.array([group.index for group in groups], pa.int64()),
            "hadm_id": pa.array([group.hadm_id for group in groups], pa.int64()),
            "tokens": pa.array([group.tokens for group in groups], pa.list_(pa.int64())),
            **{
                name: pa.array(
                    [[float(info[name]) for info in group.infos] for group in groups], pa.list_(pa.float64())
                )
                for name in numeric
            },
        }
    )


def write_outcomes(folder: Path, step: int, groups: Sequence[Group]) -> None:
    """One file a step in a parquet folder: a step that is trained again after a kill replaces its file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"step-{step:06}.parquet"
    beside = file.with_suffix(".part")  # readers of a parquet folder would take it for data if it ended in .parquet
    pq.write_table(outcome_table(step, groups), beside)
    os.replace(beside, file)
