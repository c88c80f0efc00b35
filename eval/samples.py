"""The completions of a folder of generations, scored with the rule of training.

samples = score_folder(Path("runs/test"))
samples.numbers["acc"]  # N cases x n samples, in the order of the cases' index
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from commands import UserError, existing, whole_file
from eval import parts
from eval.metrics import INVALID, Array
from reward_fns import drg, ms_drg

TASK = "mimic_drg"
LEVELS = ("drg", "base", "status")
PER_SAMPLE = "per_sample.parquet"
CASE = ["index", "hadm_id", "subject_id", "ground_truth"]
# Per completion: 1 where the DRG, its base, its status and the format are right, and the training reward (strict).
SCORES = ("acc", "base", "status", "format", "reward")
_STORED = {name: np.dtype(np.int8) for name in (*SCORES[:4], "truncated")} | {
    "reward": np.dtype(np.float32),
    "n_tokens": np.dtype(np.int32),
}

_BASES = {base: i for i, base in enumerate(dict.fromkeys(entry.base for entry in ms_drg.DRGS))}
_LABELS = {entry.title: (i, _BASES[entry.base], entry.status) for i, entry in enumerate(ms_drg.DRGS)}
_NONE = (INVALID,) * len(LEVELS)


@dataclass(frozen=True)
class Samples:
    """Scored completions: numbers and predicted titles, none of the text."""

    folder: Path
    run: dict[str, Any]
    cases: pa.Table  # index, hadm_id, subject_id, ground_truth
    pred: list[list[str]]
    numbers: dict[str, Array]  # of SCORES, n_tokens and truncated: N x n
    said: Array  # N x n x LEVELS: what each sample votes for, INVALID where it has no valid answer
    gold: Array  # N x LEVELS

    @property
    def n(self) -> int:
        return self.said.shape[1]

    @property
    def patients(self) -> Array:
        return self.cases["subject_id"].to_numpy()


def score_folder(folder: Path) -> Samples:
    """Read, check and score a finished folder, one part at a time."""
    run = parts.read_run(folder)
    remedy = "run `python -m eval.generate` again with the same settings, which fills in what is missing"
    if not run["finished"]:
        raise UserError(f"{folder} is not finished or still being written; {remedy}")
    found = len(parts.done(folder, run["settings"]))
    if found != run["prompts"]:
        raise UserError(f"{folder} has {found} of {run['prompts']} cases, a part is missing; {remedy}")
    tables, pred = [], []
    numbers: dict[str, list] = {name: [] for name in _STORED}
    for path, table in parts.read(folder, run["settings"]):
        _check(path, table, run["settings"]["sampling"]["n"])
        tables.append(table.select(CASE))
        for scored in _scored(path, table, run["settings"]["prefill"]):
            pred.append([sample["pred"] for sample in scored])
            for name in SCORES:
                numbers[name].append([_number(sample, name) for sample in scored])
        numbers["n_tokens"] += table["n_tokens"].to_pylist()
        numbers["truncated"] += [[reason == "length" for reason in row] for row in table["finish_reason"].to_pylist()]
    cases = pa.concat_tables(tables).replace_schema_metadata(None)
    order = np.argsort(cases["index"].to_numpy())
    return _samples(
        folder,
        run,
        cases.take(order),
        [pred[i] for i in order],
        {name: np.array(rows, dtype=float)[order] for name, rows in numbers.items()},
    )


def _check(path: Path, table: pa.Table, n: int) -> None:
    for row in table.to_pylist():
        case = f"{path}: case {row['index']}"
        if row["data_source"] != TASK:
            raise UserError(f"{case} is of {row['data_source']}, and eval.score knows {TASK}; give a DRG folder")
        if any(len(row[name] or ()) != n for name in ("completions", "n_tokens", "finish_reason")):
            raise UserError(f"{case} does not have {n} samples; {parts.REMEDY}")
        try:
            drg.check_gold(row["ground_truth"])
        except ValueError as error:
            raise UserError(f"{case}: {error}; prepare the data again") from error


def _scored(path: Path, table: pa.Table, prefill: str) -> Iterator[list[drg.Score]]:
    columns = (table[name].to_pylist() for name in ("index", "ground_truth", "completions"))
    for index, gold, completions in zip(*columns, strict=True):
        scored = [drg.compute_score(TASK, text, gold, accuracy="strict", prefill=prefill) for text in completions]
        if any(sample["reward_error"] for sample in scored):
            raise UserError(f"{path}: case {index} has a completion that the reward cannot score; report it")
        yield scored


def _number(sample: drg.Score, name: str) -> float:
    if name == "format":
        return float(sample["format"] == 0)
    return sample["score" if name == "reward" else name]


def write_samples(samples: Samples) -> None:
    """Write per_sample.parquet beside the generations: one row per case, with lists over its samples."""
    table = samples.cases.append_column("pred", pa.array(samples.pred, pa.list_(pa.string())))
    for name, values in samples.numbers.items():
        table = table.append_column(
            name, pa.array(list(values.astype(_STORED[name])), pa.list_(pa.from_numpy_dtype(_STORED[name])))
        )
    with whole_file(samples.folder / PER_SAMPLE) as made:
        pq.write_table(table, made)


def read_samples(folder: Path) -> Samples:
    """The same samples again, from per_sample.parquet: no completion is read or scored."""
    path = existing(folder / PER_SAMPLE, "the file", "run `python -m eval.score` on that folder")
    try:
        table = pq.read_table(path, partitioning=None)
        numbers = {name: np.array(table[name].to_pylist(), dtype=float) for name in _STORED}
        return _samples(folder, parts.read_run(folder), table.select(CASE), table["pred"].to_pylist(), numbers)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise UserError(f"{path} is damaged; run `python -m eval.score` on that folder again") from error


def _samples(folder: Path, run: dict, cases: pa.Table, pred: list[list[str]], numbers: dict[str, Array]) -> Samples:
    said = np.array([[_LABELS.get(title, _NONE) for title in row] for row in pred])
    gold = np.array([_LABELS[ms_drg.find(title).title] for title in cases["ground_truth"].to_pylist()])
    return Samples(folder, run, cases, pred, numbers, said, gold)
