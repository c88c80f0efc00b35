"""Chat prompts in, completions out: an OpenAI-compatible server in the place of our own vLLM.

    endpoint = Endpoint(url, model, allowed=False)  # a sentence when notes would leave this machine
    with endpoint.asking(cases, sampling, seed, concurrency=32) as answers:
        part = answered(cases, [answer.result() for answer in answers])

Cases and what becomes of them are as in eval.generation.engines. A vLLM server is told every sampling parameter; others
know only OpenAI's, and `known` drops the rest, so that run.json never names a parameter that was not sent. Requests
that fail for a passing reason (no connection, 408, 409, 429, 5xx) are sent again with growing pauses. No error repeats
what a prompt says.
"""

import hashlib
import ipaddress
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import accumulate, pairwise
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from common.commands import UserError
from eval.generation.engines import request_seed

STANDARD = ("n", "temperature", "top_p", "max_tokens", "presence_penalty", "frequency_penalty", "stop")
TIMEOUT = 600.0  # seconds for one answer

Sample = tuple[str, int, str]  # text, number of tokens, reason of the end


def is_local(url: str) -> bool:
    """Whether a server is on this machine, by its address alone."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Endpoint:
    """A server and what was asked of it so far."""

    def __init__(
        self,
        url: str,
        model: str,
        allowed: bool = False,
        key_env: str = "OPENAI_API_KEY",
        retries: int = 10,
        prefill: str = "",
    ) -> None:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise UserError(f"--endpoint {url} is no URL; give one like http://localhost:8000/v1")
        self.local = is_local(url)
        if not self.local and not allowed:
            raise UserError(
                f"--endpoint {url} is not on this machine and would be sent clinical notes; if your data agreement "
                "allows that, add --sending-notes-is-allowed"
            )
        import httpx
        from openai import OpenAI

        key = os.environ.get(key_env)
        if not key and not self.local:
            raise UserError(f"--endpoint {url} needs a key and ${key_env} is empty; export it or say --api-key-env")
        self.url, self.model, self.prefill = url, model, prefill
        self.used: Counter[str] = Counter()
        self.lock = Lock()
        http = httpx.Client(
            timeout=TIMEOUT,
            follow_redirects=False,  # notes go nowhere but to the address that was given,
            trust_env=not self.local,  # and a local one is reached without a proxy
            limits=httpx.Limits(max_connections=None),
            event_hooks={"response": [self._count]},
        )
        self.client = OpenAI(
            base_url=url, api_key=key or "none", max_retries=retries, timeout=TIMEOUT, http_client=http
        )
        self.is_vllm = self._look()
        if prefill and not self.is_vllm:
            raise UserError(f"{url} is no vLLM server and cannot go on from a prefill; say --prefill ''")

    def known(self, sampling: dict[str, Any]) -> dict[str, Any]:
        """The parameters that this server is told."""
        return sampling if self.is_vllm else {name: sampling[name] for name in STANDARD}

    def fingerprint(self) -> str:
        """What stands for the model's files: nobody but the server knows them."""
        return hashlib.sha256(f"{'local' if self.local else self.url} {self.model}".encode()).hexdigest()

    @contextmanager
    def asking(
        self, cases: pa.Table, sampling: dict[str, Any], seed: int, concurrency: int
    ) -> Iterator[list[Future[list[Sample]]]]:
        """The samples to come, in the order of the cases; what has not come when the block ends is given up."""
        workers = ThreadPoolExecutor(concurrency)
        try:
            rows = cases.select(["index", "prompt"]).to_pylist()
            yield [workers.submit(self._ask, row["index"], row["prompt"], sampling, seed) for row in rows]
        finally:
            workers.shutdown(wait=False, cancel_futures=True)
            self.client.close()  # ends the requests under way, and with them their threads

    def _ask(self, index: int, chat: list[dict], sampling: dict[str, Any], seed: int) -> list[Sample]:
        """The samples of one case."""
        body = {name: value for name, value in sampling.items() if name in STANDARD and value != []}
        extra = {name: value for name, value in sampling.items() if name not in STANDARD}
        if self.is_vllm:
            extra["return_token_ids"] = True
            if self.prefill:
                chat = [*chat, {"role": "assistant", "content": self.prefill}]
                extra |= {"add_generation_prompt": False, "continue_final_message": True}
        samples: list[Sample] = []
        n = body.pop("n")
        while len(samples) < n:  # some servers give one choice whatever n says
            new = self._request(
                index,
                model=self.model,
                messages=chat,
                n=n - len(samples),
                seed=request_seed(seed, index) + len(samples),
                extra_body=extra,
                **body,
            )
            samples += new
        return samples[:n]

    def _request(self, index: int, **body: Any) -> list[Sample]:
        import openai

        try:
            answer = self.client.chat.completions.create(**body)
        except openai.APIStatusError as error:
            code = ", ".join(str(part) for part in (error.code, error.param) if part)
            raise UserError(
                f"{self.url} answered case {index} with HTTP {error.status_code}{f' ({code})' if code else ''}; mend "
                "that and run the command again, which goes on from here"
            ) from error
        except openai.OpenAIError as error:
            raise UserError(
                f"{self.url} gave no answer to case {index} ({type(error).__name__}); run the command again when it "
                "does, which goes on from here"
            ) from error
        if not answer.choices:
            raise UserError(f"{self.url} answered case {index} without a completion; check --endpoint and --model")
        with self.lock:
            if answer.usage:
                self.used["prompt_tokens"] += answer.usage.prompt_tokens
                self.used["completion_tokens"] += answer.usage.completion_tokens
        texts = [_text(choice.message) for choice in answer.choices]
        counts = [len((choice.model_extra or {}).get("token_ids") or ()) for choice in answer.choices]
        if not any(counts) and answer.usage:
            counts = _shared(answer.usage.completion_tokens, [len(text) for text in texts])
        reasons = [choice.finish_reason or "stop" for choice in answer.choices]
        return list(zip(texts, counts, reasons, strict=True))

    def _look(self) -> bool:
        """Whether it is a vLLM server; a sentence when it cannot be reached or does not have the model."""
        import openai

        try:
            models = list(self.client.models.list())
        except (openai.NotFoundError, openai.PermissionDeniedError):
            return False  # not every server lists its models
        except openai.AuthenticationError as error:
            raise UserError(
                f"{self.url} does not take the key (HTTP {error.status_code}); check --api-key-env"
            ) from error
        except openai.APIStatusError as error:
            raise UserError(f"{self.url} answers with HTTP {error.status_code}; check --endpoint") from error
        except (openai.OpenAIError, ValueError, TypeError, AttributeError) as error:
            raise UserError(
                f"{self.url} cannot be reached ({type(error).__name__}); start it or check --endpoint"
            ) from error
        names = [model.id for model in models]
        if names and self.model not in names:
            raise UserError(f"{self.url} does not serve {self.model}; say --model {' or '.join(names[:5])}")
        return any(model.owned_by == "vllm" for model in models)

    def _count(self, response: Any) -> None:
        with self.lock:
            self.used["requests"] += 1
            self.used["failed"] += response.status_code >= 400


def answered(cases: pa.Table, samples: list[list[Sample]]) -> pa.Table:
    """The cases with their samples in the place of the prompts."""
    texts, counts, reasons = ([[sample[i] for sample in row] for row in samples] for i in range(3))
    return (
        cases.drop_columns(["prompt"])
        .append_column("completions", pa.array(texts, pa.list_(pa.string())))
        .append_column("n_tokens", pa.array(counts, pa.list_(pa.int32())))
        .append_column("finish_reason", pa.array(reasons, pa.list_(pa.string())))
    )


def _text(message: Any) -> str:
    """What the model wrote; a reasoning that the server took out of it is put back in its tags."""
    more = message.model_extra or {}
    reasoning = more.get("reasoning") or more.get("reasoning_content")
    text = message.content or ""
    return f"<think>\n{reasoning.strip()}\n</think>\n{text.strip()}" if reasoning else text


def _shared(tokens: int, lengths: list[int]) -> list[int]:
    """Tokens of a whole answer among its samples, by the length of their texts: the sum is exact, a share is not."""
    ends = [round(tokens * end / (sum(lengths) or 1)) for end in accumulate(lengths)]
    ends[-1] = tokens
    return [end - start for start, end in pairwise([0, *ends])]
