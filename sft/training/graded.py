"""Graded notes as training examples for a process reward model: token ids, and the labels that a loss is about."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from common.commands import UserError
from data_prep.clinical import graded
from reward_fns.clinical_note.notes import RIGHT, WRONG
from reward_fns.clinical_note.tokens import Encoded, Markers, encode
from sft.training.tokens import IGNORED

if TYPE_CHECKING:
    from datasets import Dataset

ALL, NOTES, LABELS_AND_KINDS, LABELS = LOSSES = ("all", "notes", "labels_and_kinds", "labels")


def examples(path: str, tokenizer: Any, markers: Markers, loss: str, shown: bool, end_only: bool) -> "Dataset":
    """input_ids and labels of every note of a file; the columns case and candidate say whose they are.

    `shown`: the labels stand in the input as well. `end_only`: nothing but the label of the whole note is graded.
    """
    import pyarrow as pa
    from datasets import Dataset
    from datasets.table import InMemoryTable
    from tqdm import tqdm

    right, wrong = tokenizer.convert_tokens_to_ids([markers.label(RIGHT), markers.label(WRONG)])
    columns: dict[str, list[Any]] = {name: [] for name in ("input_ids", "labels", "case")}
    for row in tqdm(graded.read(path), unit=" notes", desc="tokens"):
        if not all(position.label for position in row["positions"]):
            raise UserError(f"{path}: a note of case {row['case']} has positions without a label; train on another set")
        encoded = encode(tokenizer, markers, row["dialogue"], row["positions"], shown)
        said = [right if position.label == RIGHT else wrong for position in row["positions"]]
        columns["input_ids"].append([*encoded.ids, tokenizer.eos_token_id])
        columns["labels"].append(targets(encoded, said, loss, end_only, tokenizer.eos_token_id))
        columns["case"].append(row["case"])
    ids = pa.list_(pa.int32())
    arrays = {name: pa.array(values, pa.string() if name == "case" else ids) for name, values in columns.items()}
    return Dataset(InMemoryTable(pa.table(arrays)))


def targets(encoded: Encoded, said: Sequence[int], loss: str, end_only: bool, end: int) -> list[int]:
    """What the loss is about, in the place of every token: the ids, at a label the right one, or nothing."""
    wanted = [*encoded.ids, end]
    if loss == NOTES:
        wanted[: encoded.start] = [IGNORED] * encoded.start
    elif loss != ALL:
        kept = {slot - 1 for slot in encoded.slots} if loss == LABELS_AND_KINDS else ()
        wanted = [token if at in kept else IGNORED for at, token in enumerate(wanted)]
    for slot, label in zip(encoded.slots, said, strict=True):
        wanted[slot] = IGNORED if end_only and slot != encoded.slots[-1] else label
    return wanted


def check_lengths(rows: "Dataset", longest: int | None, limit: int | None, path: str) -> int:
    """The longest example; one that does not fit is named, as its end, where the labels are, would be lost."""
    import pyarrow.compute as pc

    lengths = pc.list_value_length(rows.data.column("input_ids")).to_pylist()
    most = max(lengths)
    for bound, name, remedy in (
        (longest, "max_length", "set max_length: null, which cuts nothing"),
        (limit, "the model's max_position_embeddings", "take a model with a longer context, or leave the case out"),
    ):
        if bound is not None and most > bound:
            case = rows[lengths.index(most)]["case"]
            raise UserError(f"{path}: a note of case {case} has {most} tokens, and {name} is {bound}; {remedy}")
    return most
