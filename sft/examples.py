"""Training examples for supervised fine-tuning: prompt and completion, both chat lists, so that trl masks the prompt.

A source is either a parquet that holds `prompt` and `completion`, or a table of cases (data_prep) whose reasoning and
answer come from a table of traces (data_prep.synthesize, sft.traces), joined by admission.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from commands import UserError, existing
from data_prep import schema

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

STYLES = ("cot_first", "answer_first", "differential")
BLOCKS = {"drg": "answer", "icd": "diagnosis"}


def completion(task: str, reasoning: str, answer: str) -> str:
    """A completion in the form that the prompt asks for and the reward checks."""
    block = BLOCKS[task]
    return f"<think>\n{reasoning}\n</think>\n<{block}>\n{answer}\n</{block}>"


def load(cases: str, traces: str | None = None, style: str = "cot_first", only_accepted: bool = True) -> "Dataset":
    """The examples of a source; bad sources are a sentence."""
    from datasets import Dataset

    if style not in STYLES:
        raise UserError(f"there is no trace style {style!r}; there is {', '.join(STYLES)}")
    path = existing(cases, "the table of cases", "run `python -m data_prep.drg`, which writes it")
    names = pq.read_schema(path).names if path.suffix == ".parquet" else []
    if "completion" in names:
        return _checked(Dataset.from_parquet(str(path)).select_columns(["prompt", "completion"]), cases)
    if traces is None:
        raise UserError(f"{cases} has no column completion; give it one or name a table of traces (traces: FILE)")
    table = schema.read(path)
    chosen = {
        row["hadm_id"]: (row["task"], row["reasoning"], row["answer"])
        for row in schema.read_traces(traces).to_pylist()
        if row["style"] == style and (row["accepted"] or not only_accepted)
    }
    rows = []
    for prompt, info in zip(table["prompt"].to_pylist(), table["extra_info"].to_pylist(), strict=True):
        if trace := chosen.get(info["hadm_id"]):
            rows.append({"prompt": prompt, "completion": [{"role": "assistant", "content": completion(*trace)}]})
    if not rows:
        raise UserError(f"no case of {cases} has a trace of style {style} in {traces}; they must be of the same cohort")
    return Dataset.from_list(rows)


def check_lengths(examples: "Dataset", tokenizer: "PreTrainedTokenizerBase", max_length: int, source: str) -> int:
    """The longest example in tokens; one that would lose a token of its completion is an error that names it."""
    texts = (
        tokenizer.apply_chat_template(prompt + answer, tokenize=False)
        for prompt, answer in zip(examples["prompt"], examples["completion"], strict=True)
    )
    lengths = [len(ids) for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]]
    long = [row for row, length in enumerate(lengths) if length > max_length]
    if long:
        raise UserError(
            f"{len(long)} of {len(lengths)} examples of {source} are longer than max_length {max_length} and would "
            f"lose the end of their completion (rows {_list(long)}; the longest has {max(lengths)} tokens); "
            "raise max_length or cut the notes in data preparation (--max-prompt-tokens)"
        )
    return max(lengths)


def _checked(examples: "Dataset", source: str) -> "Dataset":
    for column in ("prompt", "completion"):
        empty = [row for row, messages in enumerate(examples[column]) if not _says_something(messages)]
        if empty:
            raise UserError(f"{source}: rows {_list(empty)} have no {column}; remove or complete them")
    return examples


def _says_something(messages: Any) -> bool:
    return isinstance(messages, list) and bool(messages) and all(message.get("content") for message in messages)


def _list(rows: Sequence[int]) -> str:
    return ", ".join(map(str, rows[:5])) + (", …" if len(rows) > 5 else "")
