"""Training examples for supervised fine-tuning: prompt and completion, both chat lists.

A source is either a parquet that holds `prompt` and `completion`, or a table of cases (data_prep) whose reasoning and
answer come from a table of traces (data_prep.synthesize, sft.traces), joined by admission and gold. The style `outcome`
needs no traces: its completions are the answer alone (DeepICD-R1, Table 4), with a dash for a reasoning, as the reward
takes an empty think block for a wrong format.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from common.commands import UserError, existing
from data_prep import parquet
from reward_fns.task import TASKS
from sft import titles
from sft.tracing import requests
from sft.tracing.requests import Example
from sft.training.settings import Source
from sft.training.tokens import named

if TYPE_CHECKING:
    from datasets import Dataset

OUTCOME, NO_REASONING = "outcome", "-"


def styles() -> list[str]:
    """Every style of reasoning of every task, and the answer alone."""
    return [*(style for task in TASKS.values() for style in task.styles), OUTCOME]


def load(source: Source) -> "Dataset":
    """The examples of a source; bad sources are a sentence."""
    if source.style not in styles():
        raise UserError(f"there is no trace style {source.style!r}; there is {', '.join(styles())}")
    path = existing(source.cases, "the table of cases", "run `python -m data_prep.drg` or `data_prep.icd`")
    if _is_written(path):
        from datasets import Dataset

        written = Dataset.from_parquet(str(path)).select_columns(["prompt", "completion"])
        return checked(written, ("prompt", "completion"), source.cases)
    rows = _outcomes(path) if source.style == OUTCOME else _reasoned(path, source)
    return _dataset(rows + (titles.questions() if source.titles else []))


def inputs(source: Source) -> list[str]:
    """The files that `load` reads: a table of traces only where the completions come from it."""
    alone = source.traces is None or source.style == OUTCOME or _is_written(Path(source.cases))
    return [source.cases] if alone else [source.cases, source.traces]


def _is_written(path: Path) -> bool:
    return path.suffix == ".parquet" and "completion" in pq.read_schema(path).names


def by_case(traces: str, style: str, only_accepted: bool = True) -> dict[tuple[int, str], dict[str, Any]]:
    """The trace of every admission and gold; an admission with two MS-DRGs is two cases."""
    return {
        (row["hadm_id"], row["ground_truth"]): row
        for row in parquet.read_traces(traces).to_pylist()
        if row["style"] == style and (row["accepted"] or not only_accepted)
    }


def checked(rows: "Dataset", columns: tuple[str, ...], path: str) -> "Dataset":
    """The rows, each of whose chats says something; a row that lacks one is named."""
    for column in columns:
        if column not in rows.column_names:
            raise UserError(f"{path} has no column {column}; it needs {', '.join(columns)}")
        empty = [row for row, messages in enumerate(rows[column]) if not _says_something(messages)]
        if empty:
            raise UserError(f"{path}: rows {named(empty)} have no {column}; remove or complete them")
    return rows


def _says_something(messages: Any) -> bool:
    return isinstance(messages, list) and bool(messages) and all(message.get("content") for message in messages)


def _outcomes(path: Path) -> list[Example]:
    table = parquet.read(path)
    columns = (table["data_source"].to_pylist(), table["prompt"].to_pylist(), parquet.golds(table))
    return [
        Example(prompt, TASKS.of_source(of, path).completion(NO_REASONING, gold))
        for of, prompt, gold in zip(*columns, strict=True)
    ]


def _reasoned(path: Path, source: Source) -> list[Example]:
    if source.traces is None:
        raise UserError(f"{path} has no column completion; give it one or name a table of traces (traces: FILE)")
    table = parquet.read(path)
    chosen = by_case(source.traces, source.style, source.only_accepted)
    rows = []
    columns = (table["prompt"].to_pylist(), parquet.golds(table), parquet.infos(table, "hadm_id"))
    for prompt, gold, hadm_id in zip(*columns, strict=True):
        if trace := chosen.get((hadm_id, gold)):
            task = TASKS[trace["task"]]
            written = task.completion(trace["reasoning"], trace["answer"])
            rows.append(Example(prompt, written))
            if source.requests:  # the answer that was reached, right or not, is the one to explain
                rows.append(Example(requests.chat(task, source.style, prompt, trace["answer"]), written))
    if not rows:
        raise UserError(
            f"no case of {path} has a trace of style {source.style} in {source.traces}; "
            "they must be of the same cohort, and accepted unless only_accepted is false"
        )
    return rows


def _dataset(rows: list[Example]) -> "Dataset":
    from datasets import Dataset
    from datasets.table import InMemoryTable

    answers = [[{"role": "assistant", "content": row.completion}] for row in rows]
    columns = {
        "prompt": pa.array([row.prompt for row in rows], parquet.MESSAGES),
        "completion": pa.array(answers, parquet.MESSAGES),
    }
    return Dataset(InMemoryTable(pa.table(columns)))
