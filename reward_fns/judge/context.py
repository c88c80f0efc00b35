"""Does the longest prompt fit the judge? Asked before a run starts: one that does not stops it, hours later perhaps.

    check_context(notes, codes, 1024, base_url=…, model=…)   # ValueError with both numbers

The longest note of a sample is put together with the entry, symptoms and guideline of the code that has most of them,
and with a reasoning of the most tokens that a completion may have. The server counts: vLLM says max_model_len in
/v1/models and counts tokens at /tokenize; where it does not count, three characters are taken for a token, and a server
that names no limit is not asked.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping
from contextlib import aclosing, suppress
from typing import Any

from common.llm_server import Client, Fault
from reward_fns.judge import grading
from reward_fns.judge.prompt import chat, read_prompt

LETTERS = 3  # of a token, at least, where nobody counts


def check_context(
    notes: Iterable[str], codes: Iterable[str], most: int, files: Mapping[str, Any], settings: grading.Settings
) -> None:
    """Raise ValueError when a prompt on one of these notes and codes, with `most` tokens of reasoning, is too long."""
    tokens, limit = asyncio.run(_counted(_longest(notes, codes, files), settings))
    needed = tokens + most + grading.request(settings, [])["max_tokens"]
    if limit and needed > limit:
        raise ValueError(
            f"a prompt for the judge takes up to {needed:,} tokens ({tokens:,} and a reasoning of {most:,}), and the "
            f"server at {settings.base_url} was started with a max_model_len of {limit:,}; start it with "
            f"--max-model-len {needed} or more, as `bash recipes/judge.sh MODEL` does where memory allows"
        )


def _longest(notes: Iterable[str], codes: Iterable[str], files: Mapping[str, Any]) -> list[dict[str, str]]:
    prompt, note = read_prompt(files.get("prompt")), max(notes, key=len)
    kinds = {name: files.get(name) for name in ("guidelines", "symptoms")}
    chats = (chat(prompt, note, "", code, **kinds) for code in set(codes))
    return max(chats, key=lambda each: len(each[1]["content"]))


async def _counted(asked: list[dict[str, str]], settings: grading.Settings) -> tuple[int, int]:
    """The tokens of this prompt and the most that the server takes; 0 and 0 where it does not say."""
    async with aclosing(Client(settings)) as client:
        listed = (await _said(client, None)).get("data") or ()
        limit = next((each.get("max_model_len") for each in listed if each.get("id") == settings.model), None)
        if not limit:
            return 0, 0
        body = {"model": settings.model, "messages": asked}
        counting = f"{settings.base_url.rstrip('/').removesuffix('/v1')}/tokenize"
        counted = (await _said(client, body, counting)).get("count")
    return counted or sum(len(message["content"]) for message in asked) // LETTERS, limit


async def _said(client: Client, body: Mapping[str, Any] | None, *to: str) -> dict[str, Any]:
    """What the server answers; nothing where it does not."""
    with suppress(Fault, ValueError):
        found = json.loads(await client.send(body, *to))
        return found if isinstance(found, dict) else {}
    return {}
