"""p(+) at every position of a note, from a vLLM server; and whether there is one, asked before a run starts.

    answer = await grade(Settings(base_url, model), dialogue, positions)     # answer.value, or answer.fault
    python -m reward_fns.clinical_note.server [--base-url URL] [--model FOLDER]

A position is the prompt that ends where its label begins, and "+" the only token that may follow: vLLM says its
log-probability in the whole vocabulary. The last position is asked for first, alone: it leaves the note in the server's
prefix cache, and all others are a part of it. Ids are sent, for a text could not name the label tokens: the tokenizer
and prm.json come from the model's folder. PRM_URL and PRM_MODEL are the command's defaults.
"""

import asyncio
import json
import math
import os
from collections.abc import Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from common.commands import UserError, parser, run
from common.llm_server import Answer, Client, Fault, Server, of, read_models
from reward_fns.clinical_note.notes import RIGHT, WRONG, Position, positions
from reward_fns.clinical_note.tokens import Encoded, Markers, encode, trained
from reward_fns.served import CACHED

TO = "/completions"
SURE = 1e-3  # more than rounding adds to 1


@dataclass(frozen=True)
class Settings(Server):
    """Where the process reward model is and how it is asked."""

    cache_size: int = CACHED
    key_env: str = "JUDGE_API_KEY"
    folder: str | None = None  # of tokenizer and prm.json, where the server's name for the model is another


async def grade(settings: Settings, dialogue: str, graded: Sequence[Position]) -> Answer:
    """p(+) at every position, by the running event loop's client."""
    tokenizer, markers = loaded(settings.folder or settings.model)
    encoded, ask = encode(tokenizer, markers, dialogue, graded), of(settings).ask
    right = tokenizer.convert_tokens_to_ids(markers.label(RIGHT))
    whole = await ask(request(settings, encoded, encoded.slots[-1:], right), partial(read, right, 1), TO)
    if whole.fault or len(encoded.slots) == 1:
        return whole
    slots = encoded.slots[:-1]
    rest = await ask(request(settings, encoded, slots, right), partial(read, right, len(slots)), TO)
    value = None if rest.fault else [*rest.value, *whole.value]
    return Answer(value, whole.retries + rest.retries, whole.waited + rest.waited, rest.fault)


@cache
def loaded(folder: str) -> tuple[Any, Markers]:
    """The tokenizer and the label tokens of a process reward model; a UserError where they are not there."""
    markers = trained(folder)
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder), markers


def request(settings: Settings, encoded: Encoded, slots: Sequence[int], token: int) -> dict[str, Any]:
    """The body of a request: how probable is this token at these places?"""
    return {
        "model": settings.model,
        "prompt": [encoded.ids[:slot] for slot in slots],
        "max_tokens": 1,
        "temperature": 0,
        "logprobs": 0,
        "allowed_token_ids": [token],
        "return_tokens_as_token_ids": True,
    }


def read(token: int, count: int, answer: bytes) -> list[float]:
    """The probabilities in an answer, or a Fault: nothing is guessed from one of another form."""
    try:
        choices = sorted(json.loads(answer)["choices"], key=lambda choice: choice["index"])
        said = [(choice["logprobs"]["tokens"], choice["logprobs"]["token_logprobs"]) for choice in choices]
        if len(said) != count or any(names != [f"token_id:{token}"] or len(logs) != 1 for names, logs in said):
            raise ValueError
        found = [math.exp(logs[0]) for _, logs in said]
        if not all(0 <= share <= 1 + SURE for share in found):
            raise ValueError
        return found
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError):
        raise Fault("the answer is no log-probability of the label at every position", 200) from None


async def why_not(settings: Settings) -> str:
    """Why p(+) cannot be expected from the server, in a sentence, or ""; it is asked twice."""
    server, model = f"the server at {settings.base_url.rstrip('/')}", repr(settings.model)
    tokenizer, markers = loaded(settings.folder or settings.model)
    encoded = encode(tokenizer, markers, "[doctor] hello", positions(()))
    async with aclosing(Client(settings)) as client:
        with suppress(Fault):  # not every server lists its models
            names = list(read_models(await client.send(None)))
            if names and settings.model not in names:
                return f"{server} has no model {model}; it has {', '.join(names[:5])}; set PRM_MODEL"
        try:
            shares = 0.0
            for label in (RIGHT, WRONG):
                token = tokenizer.convert_tokens_to_ids(markers.label(label))
                asked = request(settings, encoded, encoded.slots[-1:], token)
                shares += read(token, 1, await client.send(asked, TO))[0]
        except Fault as fault:
            if not fault.status:
                start = "start one with `bash recipes/judge.sh --prm MODEL`, or set PRM_URL to yours"
                return f"no server answers at {settings.base_url} ({fault}); {start}"
            if fault.status in (401, 403):
                return f"{server} refuses the key (HTTP {fault.status}); set JUDGE_API_KEY"
            return f"{server} gives no log-probabilities of given tokens ({fault}); ask a vLLM server"
    if shares > 1 + SURE:  # each is 1 where what is not allowed was left out before
        return (
            f"{server} says how probable a token is among those allowed; start vLLM with --logprobs-mode raw_logprobs"
        )
    return ""


def main(argv: list[str] | None = None) -> None:
    p = parser(__doc__, "python -m reward_fns.clinical_note.server --base-url http://localhost:8001/v1 --model PRM")
    p.add_argument("--base-url", default=os.environ.get("PRM_URL", "http://localhost:8001/v1"), help="default $PRM_URL")
    p.add_argument("--model", default=os.environ.get("PRM_MODEL"), help="folder that sft.prm wrote; default $PRM_MODEL")
    p.add_argument(
        "--timeout", type=float, default=Settings.timeout, help="seconds for an answer (default %(default)g)"
    )
    given = p.parse_args(argv)
    if not given.model:
        raise UserError("say which process reward model is asked: --model FOLDER, or set PRM_MODEL")
    if why := asyncio.run(why_not(Settings(given.base_url, given.model, timeout=given.timeout))):
        raise UserError(why)
    print(f"{given.model} at {given.base_url} grades")


if __name__ == "__main__":
    run(main)
