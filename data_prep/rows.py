"""Rows of verl's parquet, built column by column from notes and golds; the note is cut where a tokenizer is given."""

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from data_prep import budget, prompts, schema


class Cases(NamedTuple):
    """Some cases of one split, as columns of equal length."""

    index: Sequence[int]
    hadm_id: Sequence[int]
    subject_id: Sequence[int]
    note: pa.Array
    gold: Sequence[str] | pa.Array


def table(
    source: str, split: str, cases: Cases, prompt: prompts.Prompt, fit: budget.Fit | None, want: pa.Schema = schema.RL
) -> pa.Table:
    """RL rows of a split; extra_info.note is the note as the prompt has it, where the wanted schema has that field."""
    rows, note = len(cases.index), cases.note
    tokens, cut = pa.nulls(rows, pa.int64()), pa.repeat(False, rows)
    if fit:
        fitted = fit.notes(prompt, note.to_pylist())
        note, tokens, cut = (pa.array([one[i] for one in fitted]) for i in range(3))
    values = {
        "index": cases.index, "split": pa.repeat(split, rows), "hadm_id": cases.hadm_id,
        "subject_id": cases.subject_id, "prompt_tokens": tokens, "note_truncated": cut, "note": note,
    }  # fmt: skip
    info = list(want.field("extra_info").type)
    return pa.table(
        [
            pa.repeat(source, rows),
            chats(prompt, note),
            pa.repeat("medical_coding", rows),
            pa.StructArray.from_arrays(
                [pa.repeat("rule", rows), pa.array(cases.gold, pa.string())], ["style", "ground_truth"]
            ),
            pa.StructArray.from_arrays([pa.array(values[field.name], field.type) for field in info], fields=info),
        ],
        schema=want,
    )


def chats(prompt: prompts.Prompt, notes: pa.Array) -> pa.Array:
    """The chat of every note, as prompts.fill gives it."""
    before, after = prompt.user.split(prompts.NOTE)
    users = pc.binary_join_element_wise(before, notes.cast(pa.string()), after, "")
    rows = len(notes)
    roles, texts = (["system"] if prompt.system else []) + ["user"], []
    if prompt.system:
        texts.append(pa.repeat(prompt.system, rows))
    texts.append(users)
    each = len(roles)
    # message j of note i stands at i * each + j
    order = pa.array([j * rows + i for i in range(rows) for j in range(each)], pa.int64())
    contents = pa.concat_arrays(texts).take(order)
    messages = pa.StructArray.from_arrays([pa.array(roles * rows, pa.string()), contents], ["role", "content"])
    return pa.ListArray.from_arrays(pa.array(range(0, each * rows + 1, each), pa.int32()), messages)
