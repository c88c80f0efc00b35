"""What a model is asked in order to get a reasoning: the case, the answer that it must reach, and a style.

    requests.chat(task, "differential", prompt, gold)            # prompt: the chat of a row of data_prep
    requests.chat(task, "oracle", prompt, gold, facts(gold))     # facts = requests.facts(task, symptoms, guidelines)

sft.traces sends these requests, and sft.train (`requests: true`) teaches them to models too small to follow them
unasked. The texts are data_prep/prompts/trace_*.txt.
"""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from common.commands import UserError, existing
from data_prep import prompts
from data_prep.prompts import control_tokens
from reward_fns.task import Task

FOLDER = Path(prompts.__file__).parent
Chat = list[dict[str, str]]


class Example(NamedTuple):
    """One row to learn."""

    prompt: Chat
    completion: str


@lru_cache
def text(name: str, folder: Path | None = None) -> str:
    """A text of data_prep/prompts/trace_NAME.txt, or of a task's own folder."""
    return ((folder or FOLDER) / f"trace_{name}.txt").read_text(encoding="utf-8").strip()


def chat(task: Task, style: str, prompt: Chat, gold: str, facts: str = "") -> Chat:
    """The request for a reasoning that reaches `gold`; the case is what the user of `prompt` says."""
    slots = {
        "{style}": text(f"{task.key}_{style}", task.prompts),
        "{facts}": facts,
        "{gold}": gold,
        "{case}": control_tokens.plain(case(prompt)),
    }
    request = text(task.key, task.prompts)
    for slot, value in slots.items():  # the case last: nothing in it is taken for a slot
        request = request.replace(slot, value)
    return [{"role": "user", "content": request}]


def case(prompt: Chat) -> str:
    """What the last user message of a chat says."""
    return next(message["content"] for message in reversed(prompt) if message["role"] == "user")


def facts(task: Task, symptoms: str | None, guidelines: str | None) -> Callable[[str], str]:
    """What the writer is told of a gold beside the case, where the task has something to tell; files are the user's."""
    for path in filter(None, (symptoms, guidelines)):
        existing(path, "the file", "leave symptoms and guidelines out to do without")

    def told(gold: str) -> str:
        try:
            return task.facts(gold, symptoms, guidelines) if task.facts else ""
        except ValueError as error:
            raise UserError(str(error)) from error

    return told


def hashes(task: Task, style: str) -> dict[str, str]:
    """SHA-256 of the texts of a request, by file name."""
    texts = {f"trace_{name}.txt": text(name, task.prompts) for name in (task.key, f"{task.key}_{style}")}
    return {name: hashlib.sha256(said.encode()).hexdigest() for name, said in texts.items()}
