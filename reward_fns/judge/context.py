"""Does the longest prompt fit the judge? Asked before a run starts: one that does not stops it, hours later perhaps.

    check_context(notes, codes, 1024, base_url=…, model=…)   # ValueError with both numbers

The longest note of a sample is put together with the entry, symptoms and guideline of the code that has most of them,
and with a reasoning of the most tokens that a completion may have. The server counts: vLLM says max_model_len in
/v1/models and counts tokens at /tokenize; where it does not count, three characters are taken for a token, and a server
that names no limit is not asked.
"""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from reward_fns.judge import grading
from reward_fns.judge.prompt import chat, read_prompt

LETTERS = 3  # of a token, at least, where nobody counts


def check_context(
    notes: Iterable[str], codes: Iterable[str], most: int, files: Mapping[str, Any], settings: grading.Settings
) -> None:
    """Raise ValueError when a prompt on one of these notes and codes, with `most` tokens of reasoning, is too long."""
    server = settings.base_url.rstrip("/")
    listed = (_ask(settings, f"{server}/models") or {}).get("data") or ()
    limit = next((each.get("max_model_len") for each in listed if each.get("id") == settings.model), None)
    if not limit:
        return
    prompt, note = read_prompt(files.get("prompt")), max(notes, key=len)
    kinds = {name: files.get(name) for name in ("guidelines", "symptoms")}
    asked = max(
        (chat(prompt, note, "", code, **kinds) for code in set(codes)), key=lambda each: len(each[1]["content"])
    )
    body = {"model": settings.model, "messages": asked}
    counted = (_ask(settings, f"{server.removesuffix('/v1')}/tokenize", body) or {}).get("count")
    tokens = counted or sum(len(message["content"]) for message in asked) // LETTERS
    needed = tokens + most + grading.request(settings, asked)["max_tokens"]
    if needed > limit:
        raise ValueError(
            f"a prompt for the judge takes up to {needed:,} tokens ({tokens:,} and a reasoning of {most:,}), and the "
            f"server at {server} was started with a max_model_len of {limit:,}; start it with --max-model-len {needed} "
            "or more, as `bash recipes/judge.sh MODEL` does where memory allows"
        )


def _ask(settings: grading.Settings, url: str, body: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """The JSON that a server answers with; None without one."""
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get(settings.key_env):
        headers["Authorization"] = f"Bearer {key}"
    opener = build_opener(*[ProxyHandler({})] * settings.local)
    with suppress(OSError, ValueError):
        data = json.dumps(body).encode() if body else None
        with opener.open(Request(url, data, headers), timeout=settings.timeout) as answer:
            return json.load(answer)
    return None
