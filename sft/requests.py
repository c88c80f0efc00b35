"""What a model is asked in order to get a reasoning: the case, the answer that it must reach, and a style.

    requests.chat("drg", "differential", prompt, gold)      # prompt: the chat of a row of data_prep
    requests.chat("icd", "oracle", prompt, gold, facts)     # facts: sft.oracle

sft.traces sends these requests, and sft.train (`requests: true`) teaches them to models too small to follow them
unasked. The texts are data_prep/prompts/trace_*.txt.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

from data_prep import prompts

FOLDER = Path(prompts.__file__).parent
STYLES = {"drg": ("cot_first", "answer_first", "differential"), "icd": ("oracle",)}
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


def hashes(task: str, style: str) -> dict[str, str]:
    """SHA-256 of the texts of a request, by file name."""
    return {f"trace_{name}.txt": hashlib.sha256(text(name).encode()).hexdigest() for name in (task, f"{task}_{style}")}
