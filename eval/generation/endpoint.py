"""Completions of an OpenAI-compatible server, in the place of our own vLLM.

    source = Endpoint(args, args.prefill)  # a sentence when notes would leave this machine
    for part in source.complete(cases, settings): ...     # as every source of eval.generation.sources

A vLLM server is told every sampling parameter; others know only OpenAI's, and `known` drops the rest, so that run.json
never names a parameter that was not sent. common.llm_server says how faults are met; no error repeats what a prompt
says.
"""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import aclosing
from itertools import accumulate, pairwise
from typing import Any

import pyarrow as pa

from common.commands import UserError
from common.llm_server import Client, Fault, Server, check_endpoint, read_models
from eval.generation.engines import Sample, answered, request_seed
from eval.generation.sources import Source

STANDARD = ("n", "temperature", "top_p", "max_tokens", "presence_penalty", "frequency_penalty", "stop")
TIMEOUT = 600.0  # seconds for one answer
PART = 16  # prompts: what a server has answered costs money, so little may be lost


class Endpoint(Source):
    """A server that others run. A case that it fails on ends everything.

    A `tolerant` one says in `failed` why it failed, and gives the other cases back as they are answered.
    """

    dtype = "the server's"

    def __init__(
        self, given: Any, prefill: str = "", price: Sequence[float] | None = None, tolerant: bool = False
    ) -> None:
        """What a command was told by --endpoint, --model and the flags beside them; the price is that of a million
        tokens of prompts, and of completions."""
        limits = {"timeout": TIMEOUT, "max_wait": 3 * TIMEOUT, "retries": 0, "attempts": 1 + given.retries}
        url, model, more = given.endpoint, given.model, {"key_env": given.api_key_env, "proxies": True}
        self.server = Server(url, model, given.concurrency, **limits, **more)
        check_endpoint(self.server, given.sending_notes_is_allowed)
        mark = f"{'local' if self.server.local else url} {model}"  # nobody but the server knows the model's files
        self.model = {"name": model, "endpoint": url, "fingerprint": hashlib.sha256(mark.encode()).hexdigest()}
        self.prefill, self.price, self.tolerant = prefill, price, tolerant
        self.used: Counter[str] = Counter()
        self.failed: list[str] = []
        self.is_vllm = asyncio.run(self._look())
        if prefill and not self.is_vllm:
            raise UserError(f"{url} is no vLLM server and cannot go on from a prefill; say --prefill ''")

    def known(self, sampling: dict[str, Any]) -> dict[str, Any]:
        return sampling if self.is_vllm else {name: sampling[name] for name in STANDARD}

    def usage(self) -> dict[str, Any]:
        tokens = (self.used["prompt_tokens"], self.used["completion_tokens"])
        cost = sum(price * count / 1e6 for price, count in zip(self.price or (), tokens, strict=False))
        return dict(self.used) | ({"cost": cost} if self.price else {})

    def complete(self, cases: pa.Table, settings: dict[str, Any]) -> Generator[pa.Table, None, None]:
        parts = self._parts(cases, settings)

        async def following() -> pa.Table | None:
            return await anext(parts, None)

        with asyncio.Runner() as runner:  # which gives up what has not come when the caller has enough
            while (part := runner.run(following())) is not None:
                yield part

    async def _parts(self, cases: pa.Table, settings: dict[str, Any]) -> AsyncIterator[pa.Table]:
        slots = asyncio.Semaphore(self.server.concurrency)  # a case keeps its own until it is done: they end in order
        rows: list[int] = []
        samples: list[list[Sample]] = []
        async with aclosing(Client(self.server, self.used)) as client:

            async def one(row: int, case: dict[str, Any]) -> tuple[int, list[Sample]]:
                async with slots:
                    return row, await self._ask(client, case, settings["sampling"], settings["seed"])

            asked = [asyncio.create_task(one(*at)) for at in enumerate(cases.select(["index", "prompt"]).to_pylist())]
            try:
                for answer in asyncio.as_completed(asked) if self.tolerant else asked:
                    try:
                        row, made = await answer
                    except UserError as error:
                        if not self.tolerant:
                            raise
                        self.failed.append(str(error))
                        continue
                    rows.append(row)
                    samples.append(made)
                    if len(rows) == PART:
                        yield answered(cases.take(rows), samples)
                        rows, samples = [], []
                if rows:
                    yield answered(cases.take(rows), samples)
            finally:
                for task in asked:
                    task.cancel()

    async def _ask(self, client: Client, case: dict[str, Any], sampling: dict[str, Any], seed: int) -> list[Sample]:
        """The samples of one case."""
        index, chat = case["index"], case["prompt"]
        body = {name: value for name, value in sampling.items() if value != []}
        if self.is_vllm:
            body["return_token_ids"] = True
            if self.prefill:
                chat = [*chat, {"role": "assistant", "content": self.prefill}]
                body |= {"add_generation_prompt": False, "continue_final_message": True}
        body |= {"model": self.server.model, "messages": chat}
        samples: list[Sample] = []
        while (missing := sampling["n"] - len(samples)) > 0:  # some servers give one choice whatever n says
            body |= {"n": missing, "seed": request_seed(seed, index) + len(samples)}
            answer = await client.ask(body, read_samples)
            if fault := answer.fault:
                said = f"answered case {index} with {fault}; mend that and run the command again"
                nothing = f"gave no answer to case {index} ({fault}); run the command again when it does"
                raise UserError(f"{self.server.base_url} {said if fault.status else nothing}, which goes on from here")
            new, tokens = answer.value
            self.used.update(tokens)
            samples += new
        return samples[: sampling["n"]]

    async def _look(self) -> bool:
        """Whether it is a vLLM server; a sentence when it cannot be reached or does not have the model."""
        async with aclosing(Client(self.server, self.used)) as client:
            owners, *_, fault = await client.ask(None, read_models)
        url, model = self.server.base_url, self.server.model
        if not fault:
            if owners and model not in owners:
                raise UserError(f"{url} does not serve {model}; say --model {' or '.join([*owners][:5])}")
            return "vllm" in owners.values()
        if fault.status in (403, 404):
            return False  # not every server lists its models
        if fault.status == 401:
            raise UserError(f"{url} does not take the key (HTTP 401); check --api-key-env")
        if fault.status:
            raise UserError(f"{url} answers with {fault}; check --endpoint")
        raise UserError(f"{url} cannot be reached ({fault}); start it or check --endpoint")


def read_samples(answer: bytes) -> tuple[list[Sample], dict[str, int]]:
    """The samples of an answer, and the tokens that it is charged with."""
    try:
        content = json.loads(answer)
        choices, usage = content["choices"], content.get("usage") or {}
        if not choices:
            raise LookupError
        tokens = {name: usage.get(name, 0) for name in ("prompt_tokens", "completion_tokens") if usage}
        texts = [_text(choice["message"]) for choice in choices]
        counts = [len(choice.get("token_ids") or ()) for choice in choices]
        reasons = [choice.get("finish_reason") or "stop" for choice in choices]
        if not any(counts):
            counts = _shared(tokens.get("completion_tokens", 0), [len(text) for text in texts])
        return list(zip(texts, counts, reasons, strict=True)), tokens
    except (ValueError, LookupError, TypeError, AttributeError):
        raise Fault("no completion", 200, rejected=True) from None


def _text(message: dict[str, Any]) -> str:
    """What the model wrote; a reasoning that the server took out of it is put back in its tags."""
    reasoning = message.get("reasoning") or message.get("reasoning_content")
    text = message.get("content") or ""
    return f"<think>\n{reasoning.strip()}\n</think>\n{text.strip()}" if reasoning else text


def _shared(tokens: int, lengths: list[int]) -> list[int]:
    """Tokens of a whole answer among its samples, by the length of their texts: the sum is exact, a share is not."""
    ends = [round(tokens * end / (sum(lengths) or 1)) for end in accumulate(lengths)]
    ends[-1] = tokens
    return [end - start for start, end in pairwise([0, *ends])]
