"""Rows of verl's parquet, built column by column from notes and golds, and written a row group at a time.

builder = rows.Builder("mimic_drg", prompt, cohort, budget.fitted(cohort.texts, prompt, fit))
rows.write_files(folder, builder, {"test": chosen})
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from data_prep import parquet, prompts
from data_prep.writing import budget

ROW_GROUP = 10_000
WRITERS = 2  # files written at once: memory grows with them


class Cohort(NamedTuple):
    """The cases in the order of the notes, as columns; `at` is the place of a case's note among the texts."""

    hadm_id: np.ndarray
    subject_id: np.ndarray
    label: np.ndarray
    at: np.ndarray
    texts: pa.Array
    gold: Callable[[Any], str]  # of a label

    def counts(self, chosen: np.ndarray) -> dict[str, int]:
        """How many of the chosen rows have each gold, the most frequent first."""
        labels, counts = np.unique(self.label[chosen], return_counts=True)
        cases = {self.gold(label): count for label, count in zip(labels.tolist(), counts.tolist(), strict=True)}
        return dict(sorted(cases.items(), key=lambda case: (-case[1], case[0])))


class Builder:
    """Makes the rows of a task. Every chat is put together once: a note is in several files."""

    def __init__(
        self,
        source: str,
        prompt: prompts.Prompt,
        cases: Cohort,
        texts: budget.Texts,
        want: pa.Schema = parquet.RL,
        more: Mapping[str, pa.Array] | None = None,  # further columns of extra_info, a value per case
    ) -> None:
        self.source, self.cases, self.texts, self.want, self.more = source, cases, texts, want, more or {}
        before, after, nothing = (pa.scalar(part, pa.large_string()) for part in (*prompt.user.split(prompts.NOTE), ""))
        users = pc.binary_join_element_wise(before, texts.notes.cast(pa.large_string()), after, nothing)
        system = [prompt.system] if prompt.system else []
        self.roles = pa.array(["system", "user"][-len(system) - 1 :])
        self.said = pa.concat_arrays([pa.array(system, pa.large_string()), users])  # the system's text, then users'

    def table(self, split: str, chosen: np.ndarray) -> pa.Table:
        """The rows of these cases; extra_info.note is the note as the prompt has it, where the schema wants it."""
        rows, cases = len(chosen), self.cases
        at = pa.array(cases.at[chosen])
        info = list(self.want.field("extra_info").type)
        values = {
            "index": chosen, "split": pa.repeat(split, rows), "hadm_id": cases.hadm_id[chosen],
            "subject_id": cases.subject_id[chosen], "prompt_tokens": self.texts.tokens.take(at),
            "note_truncated": self.texts.cut.take(at),
        }  # fmt: skip
        if any(field.name == "note" for field in info):
            values["note"] = self.texts.notes.take(at).cast(pa.string())
        values |= {name: column.take(pa.array(chosen)) for name, column in self.more.items()}
        golds = [cases.gold(label) for label in cases.label[chosen].tolist()]
        answers = [pa.repeat("rule", rows), pa.array(golds, pa.string())]
        return pa.table(
            [
                pa.repeat(self.source, rows),
                self.chats(cases.at[chosen]),
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


def write_files(folder: Path, builder: Builder, files: Mapping[str, np.ndarray]) -> None:
    """Write FOLDER/NAME.parquet of each name's rows, the largest first; the name says which split they are of."""

    def write(name: str) -> str:
        split = next((split for split in parquet.HELD_OUT if name.startswith(split)), "train")
        groups = (files[name][start : start + ROW_GROUP] for start in range(0, len(files[name]), ROW_GROUP))
        parquet.write_parts((builder.table(split, rows) for rows in groups), folder / f"{name}.parquet", builder.want)
        return name

    everything = sum(map(len, files.values()))
    with ThreadPoolExecutor(WRITERS) as pool, tqdm(total=everything, unit=" rows", desc="parquet") as bar:
        largest_first = sorted(files, key=lambda name: -len(files[name]))
        for written in as_completed([pool.submit(write, name) for name in largest_first]):
            bar.update(len(files[written.result()]))
