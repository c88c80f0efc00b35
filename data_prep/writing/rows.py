"""Rows of verl's parquet, built column by column from notes and golds, and written a row group at a time.

builder = rows.Builder("mimic_drg", prompt, budget.fitted(notes, prompt, fit))
rows.write_files(folder, builder, {"test": ("test", cases)})
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from data_prep import parquet, prompts
from data_prep.writing import budget

ROW_GROUP = 10_000
WRITERS = 2  # files written at once: memory grows with them


class Cases(NamedTuple):
    """Some cases of one split, as columns of equal length; `at` is the place of a case's note among the texts."""

    index: np.ndarray
    hadm_id: np.ndarray
    subject_id: np.ndarray
    at: np.ndarray
    gold: Sequence[str]

    def slice(self, start: int, rows: int) -> "Cases":
        return Cases(*(column[start : start + rows] for column in self))


class Builder:
    """Makes the rows of a task. Every chat is put together once: a note is in several files."""

    def __init__(self, source: str, prompt: prompts.Prompt, texts: budget.Texts, want: pa.Schema = parquet.RL) -> None:
        self.source, self.texts, self.want = source, texts, want
        before, after, nothing = (pa.scalar(part, pa.large_string()) for part in (*prompt.user.split(prompts.NOTE), ""))
        users = pc.binary_join_element_wise(before, texts.notes.cast(pa.large_string()), after, nothing)
        system = [prompt.system] if prompt.system else []
        self.roles = pa.array(["system", "user"][-len(system) - 1 :])
        self.said = pa.concat_arrays([pa.array(system, pa.large_string()), users])  # the system's text, then users'

    def table(self, split: str, cases: Cases) -> pa.Table:
        """The rows of these cases; extra_info.note is the note as the prompt has it, where the schema wants it."""
        rows, at = len(cases.index), pa.array(cases.at)
        info = list(self.want.field("extra_info").type)
        values = {
            "index": cases.index, "split": pa.repeat(split, rows), "hadm_id": cases.hadm_id,
            "subject_id": cases.subject_id, "prompt_tokens": self.texts.tokens.take(at),
            "note_truncated": self.texts.cut.take(at),
        }  # fmt: skip
        if any(field.name == "note" for field in info):
            values["note"] = self.texts.notes.take(at).cast(pa.string())
        answers = [pa.repeat("rule", rows), pa.array(cases.gold, pa.string())]
        return pa.table(
            [
                pa.repeat(self.source, rows),
                self.chats(cases.at),
                pa.repeat("medical_coding", rows),
                pa.StructArray.from_arrays(answers, ["style", "ground_truth"]),
                pa.StructArray.from_arrays([pa.array(values[field.name], field.type) for field in info], fields=info),
            ],
            schema=self.want,
        )

    def chats(self, at: np.ndarray) -> pa.Array:
        """The chat of every note, as prompts.fill gives it."""
        each = len(self.roles)
        order = np.zeros((len(at), each), np.int64)
        order[:, -1] = at + each - 1
        contents = self.said.take(pa.array(order.ravel())).cast(pa.string())
        roles = self.roles.take(pa.array(np.tile(np.arange(each), len(at))))
        messages = pa.StructArray.from_arrays([roles, contents], ["role", "content"])
        return pa.ListArray.from_arrays(pa.array(np.arange(len(at) + 1, dtype=np.int32) * each), messages)


def write_files(folder: Path, builder: Builder, files: Mapping[str, tuple[str, Cases]]) -> None:
    """Write FOLDER/NAME.parquet of each name's split and cases, the largest first."""
    rows = {name: len(cases.index) for name, (_, cases) in files.items()}

    def groups(split: str, cases: Cases) -> Iterator[pa.Table]:
        for start in range(0, len(cases.index), ROW_GROUP):
            yield builder.table(split, cases.slice(start, ROW_GROUP))

    def write(name: str) -> str:
        parquet.write_parts(groups(*files[name]), folder / f"{name}.parquet", builder.want)
        return name

    with ThreadPoolExecutor(WRITERS) as pool, tqdm(total=sum(rows.values()), unit=" rows", desc="parquet") as bar:
        for written in as_completed([pool.submit(write, name) for name in sorted(files, key=lambda name: -rows[name])]):
            bar.update(rows[written.result()])
