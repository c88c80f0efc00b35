"""The declared schemas of our parquet files, checked whenever one is written or read.

parquet.write(rows, path)         # RL parquet: verl's columns
parquet.write_parts(tables, path, parquet.ICD)
parquet.read(path)
parquet.write(rows, path, parquet.TRACES)
parquet.read_traces(path)         # reasoning traces
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from common.commands import UserError, existing
from common.files import whole_file

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


def _filled(**columns: pa.DataType) -> pa.Schema:
    """Columns without nulls."""
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns.items()])


HELD_OUT = ("test", "val", "dev")  # what the names of files begin with that nobody trains on
INFO = {
    "index": pa.int64(),
    "split": pa.string(),
    "hadm_id": pa.int64(),
    "subject_id": pa.int64(),
    "prompt_tokens": pa.int64(),  # null where no tokenizer was given
    "note_truncated": pa.bool_(),
}


def rl(**more: pa.DataType) -> pa.Schema:
    """verl's columns; extra_info has our fields and those given."""
    return _filled(
        data_source=pa.string(),
        prompt=MESSAGES,
        ability=pa.string(),
        reward_model=pa.struct({"style": pa.string(), "ground_truth": pa.string()}),
        extra_info=pa.struct(INFO | more),
    )


RL = rl()
EVIDENCE = pa.list_(pa.struct(dict.fromkeys(("code", "text", "place"), pa.string())))
CODIESP = rl(case=pa.string(), evidence=EVIDENCE)
SFT = _filled(prompt=MESSAGES, completion=MESSAGES)
ICD = rl(note=pa.string())  # the note as the prompt has it, for the judge
# a reasoning without tags, the answer that it ends with, and whether that is the ground truth
TRACES = _filled(
    **dict.fromkeys(("hadm_id", "subject_id"), pa.int64()),
    **dict.fromkeys(("task", "style", "ground_truth", "reasoning", "answer"), pa.string()),
    accepted=pa.bool_(),
)

# Columns whose values recur; for all others, notes above all, a dictionary and statistics only take time.
RECURRING = [
    "data_source", "prompt.list.element.role", "ability", "reward_model.style", "reward_model.ground_truth",
    "extra_info.split", "task", "style", "ground_truth", "answer",
]  # fmt: skip
FORMAT: dict[str, Any] = {
    "compression": "zstd", "version": "2.6", "use_dictionary": RECURRING, "write_statistics": RECURRING,
}  # fmt: skip
Rows = pa.Table | Iterable[Mapping[str, Any]]


def write(rows: Rows, path: str | Path, schema: pa.Schema = RL) -> None:
    """Write rows; one that does not fit the schema raises ValueError and leaves no file."""
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
    with whole_file(path) as made:
        pq.write_table(_checked(table, path, schema).combine_chunks(), made, row_group_size=10_000, **FORMAT)


def write_parts(parts: Iterator[pa.Table], path: str | Path, schema: pa.Schema) -> None:
    """Write tables of this schema one after the other, each as a row group, without holding them all."""
    with whole_file(path) as made, pq.ParquetWriter(made, schema, **FORMAT) as writer:
        for part in parts:
            writer.write_table(_checked(part, path, schema), row_group_size=max(1, part.num_rows))


def read(path: str | Path) -> pa.Table:
    """Read an RL parquet; columns beside the declared ones are kept, missing or mistyped ones are a UserError."""
    return _read(path, RL, "run `python -m data_prep.drg`, which writes it")


def golds(rows: pa.Table | str | Path) -> list[str]:
    """The ground truths of RL rows, row by row."""
    table = rows if isinstance(rows, pa.Table) else read(rows)
    return pc.struct_field(table["reward_model"], "ground_truth").to_pylist()


def infos(rows: pa.Table, name: str) -> list[Any]:
    """One value of extra_info, row by row."""
    return pc.struct_field(rows["extra_info"], name).to_pylist()


def read_traces(path: str | Path) -> pa.Table:
    """Read reasoning traces."""
    return _read(path, TRACES, "run `python -m data_prep.synthesize` or `python -m sft.traces`, which write it")


def _checked(table: pa.Table, path: str | Path, schema: pa.Schema) -> pa.Table:
    """The declared columns in their order and types; nulls where none may be raise ValueError."""
    table = table.select(schema.names).cast(schema)
    for field in schema:
        if not field.nullable and table[field.name].null_count:
            raise ValueError(f"column {field.name} of {path} holds nulls")
    return table


def load(path: str | Path, what: str, remedy: str) -> pa.Table:
    """A parquet file of any columns; a sentence where there is none."""
    existing(path, what, remedy)
    try:
        return pq.read_table(path, partitioning=None)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} is no parquet file ({str(error).splitlines()[0]}); {remedy}") from error


def _read(path: str | Path, schema: pa.Schema, remedy: str) -> pa.Table:
    table = load(path, "the data file", remedy)
    for field in schema:
        if field.name not in table.column_names:
            raise UserError(f"{path} lacks the column {field.name}; {remedy}")
        missing = _missing(table.schema.field(field.name).type, field.type)
        if missing is not None:
            raise UserError(f"{path}: the column {field.name} {missing}; {remedy}")
    return table


def _missing(found: pa.DataType, want: pa.DataType) -> str | None:
    """How a type falls short; further struct fields are allowed (mimic_icd rows carry the note), absent ones not."""
    if pa.types.is_null(found) or found == want:
        return None
    if pa.types.is_struct(want) and pa.types.is_struct(found):
        types = {found.field(i).name: found.field(i).type for i in range(found.num_fields)}
        fields = [want.field(i) for i in range(want.num_fields)]
        absent = [field.name for field in fields if field.name not in types]
        if absent:
            return f"lacks {', '.join(absent)}"
        faults = [(field.name, _missing(types[field.name], field.type)) for field in fields]
        return next((f"has {name}, which {fault}" for name, fault in faults if fault), None)
    if pa.types.is_list(want) and (pa.types.is_list(found) or pa.types.is_large_list(found)):
        return _missing(found.value_type, want.value_type)
    alike = (pa.types.is_integer, lambda t: pa.types.is_string(t) or pa.types.is_large_string(t))
    return None if any(same(found) and same(want) for same in alike) else f"is {found}, not {want}"
