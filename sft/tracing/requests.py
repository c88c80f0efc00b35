"""What a model is asked in order to get a reasoning: the case, the answer that it must reach, and a style.

    requests.chat("drg", "differential", prompt, gold)      # prompt: the chat of a row of data_prep
    requests.chat("icd", "oracle", prompt, gold, facts(gold))       # facts = requests.Facts(symptoms, guidelines)

sft.traces sends these requests, and sft.train (`requests: true`) teaches them to models too small to follow them
unasked. The texts are data_prep/prompts/trace_*.txt.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

from common.commands import UserError, existing
from data_prep import prompts
from reward_fns.icd import guidance, tabular

FOLDER = Path(prompts.__file__).parent
STYLES = {"drg": ("cot_first", "answer_first", "differential"), "icd": ("oracle",)}
MOST = 6000  # characters of the code set's entry, and of a guideline
Chat = list[dict[str, str]]


@lru_cache
def text(name: str) -> str:
    """A text of data_prep/prompts/trace_NAME.txt."""
    return (FOLDER / f"trace_{name}.txt").read_text(encoding="utf-8").strip()


def chat(task: str, style: str, prompt: Chat, gold: str, facts: str = "") -> Chat:
    """The request for a reasoning that reaches `gold`; the case is what the user of `prompt` says."""
    slots = {"{style}": text(f"{task}_{style}"), "{facts}": facts, "{gold}": gold, "{case}": case(prompt)}
    request = text(task)
    for slot, value in slots.items():  # the case last: nothing in it is taken for a slot
        request = request.replace(slot, value)
    return [{"role": "user", "content": request}]


def case(prompt: Chat) -> str:
    """What the last user message of a chat says."""
    return next(message["content"] for message in reversed(prompt) if message["role"] == "user")


class Facts:
    """What an oracle is told of a code: title, inclusion terms, excludes notes and instructions from the tabular list.

    A user's files add what the condition looks like (CSV: code, description) and the guideline of the chapter.
    """

    def __init__(self, symptoms: str | None = None, guidelines: str | None = None) -> None:
        self.symptoms, self.guidelines = symptoms, guidelines
        for path, read in ((symptoms, guidance.read_symptoms), (guidelines, guidance.read_guidelines)):
            try:
                if path:
                    read(str(existing(path, "the file", "leave symptoms and guidelines out to do without")))
            except ValueError as error:
                raise UserError(str(error)) from error

    def __call__(self, code: str) -> str:
        """The facts of one code as text."""
        parts = {
            "From the code set": tabular.describe(code, MOST),
            "Typical findings": guidance.symptoms(code, self.symptoms),
            "Guideline of the chapter": guidance.guideline(code, self.guidelines)[:MOST],
        }
        return "\n\n".join(f"{name}:\n{text}" for name, text in parts.items() if text)


def hashes(task: str, style: str) -> dict[str, str]:
    """SHA-256 of the texts of a request, by file name."""
    return {f"trace_{name}.txt": hashlib.sha256(text(name).encode()).hexdigest() for name in (task, f"{task}_{style}")}
