"""A server of the tests that gives p(+) as vLLM does: OpenAI's completions of token ids, one allowed token, its log.

    async with serving(Grader()) as server: server.judge.requests

What it says follows from the ids alone, so that every place of a note has a share of its own; `share` is the same rule.
It has every fault that the judge server of the tests has.
"""

import asyncio
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.support.judge_server import Judge

MALFORMED = {
    "no logs": {"logprobs": None},
    "another token": {"logprobs": {"tokens": ["token_id:1"], "token_logprobs": [-0.1]}},
    "more than sure": {"logprobs": {"tokens": None, "token_logprobs": [0.5]}},
    "nothing": {"logprobs": {"tokens": None, "token_logprobs": [None]}},
    "not a number": {"logprobs": {"tokens": None, "token_logprobs": [math.nan]}},
    "two": {"logprobs": {"tokens": None, "token_logprobs": [-1.0, -1.0]}},
}


def share(ids: Sequence[int], token: int) -> float:
    """A probability between 0.05 and 0.45 that nothing but the ids and the token decide."""
    digest = hashlib.sha256(json.dumps([*ids, token]).encode()).digest()
    return 0.05 + 0.4 * digest[0] / 255


@dataclass
class Grader(Judge):
    """A process reward model behind HTTP."""

    surely: bool = False  # the log of what is allowed alone, as processed_logprobs has it

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return web.json_response({"error": "key"}, status=401)
        fault = self.always or self.fault_of(body) or (self.faults.pop(0) if self.faults else "")
        if fault and fault not in MALFORMED:
            self.failed += 1
            return await self._fail(fault, request)
        await asyncio.sleep(self.delay)
        self.answered += not fault
        self.failed += bool(fault)
        (token,) = body["allowed_token_ids"]
        choices = [self._choice(at, ids, token) | MALFORMED.get(fault, {}) for at, ids in enumerate(body["prompt"])]
        for choice in choices:
            if choice["logprobs"] and choice["logprobs"]["tokens"] is None:
                choice["logprobs"] = choice["logprobs"] | {"tokens": [f"token_id:{token}"]}
        return web.json_response({"choices": choices[::-1]})  # in any order: each has its index

    def _choice(self, at: int, ids: Sequence[int], token: int) -> dict[str, Any]:
        log = 0.0 if self.surely else math.log(share(ids, token))
        return {"index": at, "text": "", "logprobs": {"tokens": [f"token_id:{token}"], "token_logprobs": [log]}}
