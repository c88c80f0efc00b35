"""From chat to token ids, as evaluation does it: the prompt up to the prefill, then what is trained, with its end."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from common.commands import UserError

if TYPE_CHECKING:
    from datasets import Dataset

BATCH = 1000
IGNORED = -100


class Encoder(NamedTuple):
    """A tokenizer and the text that every answer starts with: the prompt ends with it, and no loss is on it."""

    tokenizer: Any
    prefill: str = ""

    def prompts(self, chats: Sequence[list[dict[str, str]]]) -> list[list[int]]:
        """The ids that vLLM is given for these chats."""
        from jinja2 import TemplateError

        try:
            texts = self.tokenizer.apply_chat_template(list(chats), tokenize=False, add_generation_prompt=True)
        except TemplateError as error:
            raise UserError(f"the chat template refuses a prompt: {error}; prepare the data without it") from error
        return self._ids([text + self.prefill for text in texts])

    def completions(self, chats: Sequence[list[dict[str, str]]]) -> list[list[int]]:
        """The ids that the model shall write after the prompt, and the token that ends them."""
        texts = [chat[0]["content"] for chat in chats]
        other = [text for text in texts if not text.startswith(self.prefill)]
        if other:
            raise UserError(
                f"{len(other)} of {len(texts)} completions do not start with the prefill {self.prefill!r}, which "
                "every answer starts with when the model is used"
            )
        texts = [text.removeprefix(self.prefill) for text in texts]
        return [[*ids, self.tokenizer.eos_token_id] for ids in self._ids(texts)]

    def _ids(self, texts: list[str]) -> list[list[int]]:
        return self.tokenizer(texts, add_special_tokens=False)["input_ids"]


def examples(rows: "Dataset", encoder: Encoder) -> "Dataset":
    """input_ids and labels of every row: the labels are the completion's tokens and its end, nothing else."""

    def encode(batch: dict[str, list]) -> dict[str, list]:
        prompts, answers = encoder.prompts(batch["prompt"]), encoder.completions(batch["completion"])
        pairs = list(zip(prompts, answers, strict=True))
        return {
            "input_ids": [prompt + answer for prompt, answer in pairs],
            "labels": [[IGNORED] * len(prompt) + answer for prompt, answer in pairs],
        }

    return _mapped(rows, encode, ("input_ids", "labels"))


def pairs(rows: "Dataset", encoder: Encoder) -> "Dataset":
    """prompt_ids, chosen_ids and rejected_ids, the columns that trl's DPO collates."""

    def encode(batch: dict[str, list]) -> dict[str, list]:
        answers = {f"{side}_ids": encoder.completions(batch[side]) for side in ("chosen", "rejected")}
        return {"prompt_ids": encoder.prompts(batch["prompt"]), **answers}

    return _mapped(rows, encode, ("prompt_ids", "chosen_ids", "rejected_ids"))


def lengths(rows: "Dataset", *columns: str) -> Any:
    """How many ids every row has in these columns together."""
    import pyarrow.compute as pc

    return sum(pc.list_value_length(rows.data.column(name)).to_numpy() for name in columns)


def check_lengths(lengths: Iterable[int], longest: int | None, limit: int | None, source: str) -> int:
    """The longest example; one that would lose a token is named, as trl would cut it without a word.

    `longest` is max_length, `limit` what the model was built for.
    """
    lengths = list(map(int, lengths))
    long = [row for row, length in enumerate(lengths) if longest is not None and length > longest]
    if long:
        raise UserError(
            f"{len(long)} of {len(lengths)} examples of {source} are longer than max_length {longest} and would "
            f"lose the end of their completion (rows {named(long)}; the longest has {max(lengths)} tokens); "
            "raise max_length or cut the notes in data preparation (--max-prompt-tokens)"
        )
    if limit is not None and max(lengths) > limit:
        raise UserError(
            f"the longest example of {source} has {max(lengths)} tokens and the model takes {limit} "
            "(max_position_embeddings); cut the notes in data preparation (--max-prompt-tokens)"
        )
    return max(lengths)


def named(rows: Sequence[int]) -> str:
    """The first few row numbers."""
    return ", ".join(map(str, rows[:5])) + (", …" if len(rows) > 5 else "")


def _mapped(rows: "Dataset", encode: Any, columns: tuple[str, ...]) -> "Dataset":
    from datasets import Features, List, Value

    features = Features({name: List(Value("int32")) for name in columns})
    return rows.map(
        encode, batched=True, batch_size=BATCH, remove_columns=rows.column_names, features=features,
        keep_in_memory=True, desc="tokens",
    )  # fmt: skip
