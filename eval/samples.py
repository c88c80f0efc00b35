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

from commands import UserError, whole_file
from eval import parts
from eval.metrics import INVALID, Array
from reward_fns import drg, ms_drg

TASK = "mimic_drg"
LEVELS = ("drg", "base", "status")
# Per completion: 1 where the DRG, its base, its status and the format are right, and the training reward (strict).
SCORES = ("acc", "base", "status", "format", "reward")

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
    numbers: dict[str, Array]  # SCORES, n_tokens and truncated: N x n
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
    numbers: dict[str, list] = {name: [] for name in (*SCORES, "n_tokens", "truncated")}
    for path, table in parts.read(folder, run["settings"]):
        _check(path, table, run["settings"]["sampling"]["n"])
        tables.append(table.select(["index", "hadm_id", "subject_id", "ground_truth"]))
        for scored in _scored(path, table, run["settings"]["prefill"]):
            pred.append([sample["pred"] for sample in scored])
            for name in SCORES:
                numbers[name].append([_number(sample, name) for sample in scored])
        numbers["n_tokens"] += table["n_tokens"].to_pylist()
        numbers["truncated"] += [[reason == "length" for reason in row] for row in table["finish_reason"].to_pylist()]
    cases = pa.concat_tables(tables).replace_schema_metadata(None)
    order = np.argsort(cases["index"].to_numpy())
    cases, pred = cases.take(order), [pred[i] for i in order]
    return Samples(
        folder,
        run,
        cases,
        pred,
        {name: np.array(rows, dtype=float)[order] for name, rows in numbers.items()},
        np.array([[_LABELS.get(title, _NONE) for title in row] for row in pred]),
        np.array([_LABELS[ms_drg.find(title).title] for title in cases["ground_truth"].to_pylist()]),
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


def write_samples(samples: Samples, path: Path) -> None:
    """One row per case, with lists over its samples."""
    lists = {name: list(samples.numbers[name].astype(np.int8)) for name in ("acc", "base", "status", "format")}
    table = samples.cases.append_column("pred", pa.array(samples.pred, pa.list_(pa.string())))
    for name, rows in lists.items():
        table = table.append_column(name, pa.array(rows, pa.list_(pa.int8())))
    tokens = list(samples.numbers["n_tokens"].astype(np.int32))
    with whole_file(path) as made:
        pq.write_table(table.append_column("n_tokens", pa.array(tokens, pa.list_(pa.int32()))), made)
