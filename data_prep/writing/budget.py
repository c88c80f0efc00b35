"""Cut a note, from its end, so that the whole templated prompt fits a tokenizer's budget; never the instructions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from tqdm import tqdm

from common.commands import UserError
from data_prep import prompts

AT_ONCE = 1000  # notes that the tokenizer is given


class Fitted(NamedTuple):
    """A note as it goes into the prompt, the tokens of that prompt (None: not counted), and whether it was cut."""

    note: str
    tokens: int | None
    truncated: bool


class Texts(NamedTuple):
    """The same of all notes, as columns."""

    notes: pa.Array
    tokens: pa.Array
    cut: pa.Array


class Fit:
    """A tokenizer with a chat template, and the most tokens that a prompt may have."""

    def __init__(self, tokenizer: Any, most: int) -> None:
        self.tokenizer, self.most = tokenizer, most

    def notes(self, prompt: prompts.Prompt, notes: Sequence[str]) -> list[Fitted]:
        """Fit every note; the few that are too long are cut and measured again."""
        counts = self.count([prompts.fill(prompt, note) for note in notes])
        pairs = zip(notes, counts, strict=True)
        return [Fitted(note, n, False) if n <= self.most else self.cut(prompt, note, n) for note, n in pairs]

    def cut(self, prompt: prompts.Prompt, note: str, tokens: int) -> Fitted:
        """Cut at token borders of the note until the prompt fits (once, as a rule: a cut can change the last token)."""
        places = self.tokenizer(note, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        keep = len(places)
        while tokens > self.most:
            keep -= tokens - self.most
            if keep <= 0:
                raise UserError(f"the prompt without any note is longer than --max-prompt-tokens {self.most}; raise it")
            shorter = note[: places[keep - 1][1]].rstrip()
            tokens = self.count([prompts.fill(prompt, shorter)])[0]
        return Fitted(shorter, tokens, True)

    def count(self, chats: Sequence[list[dict[str, str]]]) -> list[int]:
        """Tokens of whole chats, with the header of the answer that the model is to write."""
        texts = [self.tokenizer.apply_chat_template(c, add_generation_prompt=True, tokenize=False) for c in chats]
        return [len(ids) for ids in self.tokenizer(texts, add_special_tokens=False)["input_ids"]]


def fitted(notes: pa.Array, prompt: prompts.Prompt, fit: Fit | None) -> Texts:
    """Every note, cut where the budget of the tokenizer demands it; without one, as it is and not counted."""
    if fit is None:
        return Texts(notes, pa.nulls(len(notes), pa.int64()), pa.repeat(False, len(notes)))
    found: list[Fitted] = []
    with tqdm(total=len(notes), unit=" notes", desc="tokenizer") as bar:
        for start in range(0, len(notes), AT_ONCE):
            found += fit.notes(prompt, notes[start : start + AT_ONCE].to_pylist())
            bar.update(len(found) - bar.n)
    said, tokens, cut = zip(*found, strict=True)
    return Texts(pa.array(said, notes.type), pa.array(tokens, pa.int64()), pa.array(cut))


def load(model: str | None, most: int) -> Fit | None:
    """The tokenizer of a model folder or hub name; None where none was asked for."""
    if model is None:
        return None
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError) as error:
        kind = "folder has no tokenizer" if Path(model).is_dir() else "is neither a folder nor a model on the hub"
        raise UserError(f"--tokenizer {model}: {kind} ({str(error).splitlines()[0]})") from error
    if not tokenizer.chat_template:
        raise UserError(f"the tokenizer of {model} has no chat template; use that of an instruct model")
    return Fit(tokenizer, most)
