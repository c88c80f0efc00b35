"""Ask a server with OpenAI's API: so many requests at once, patient with faults, never twice for the same at a time.

    server = Server("http://localhost:8001/v1", "judge", max_wait=600)
    answer = await of(server).ask(body, read)     # answer.value is what `read` made of it, or answer.fault says why not

A refused or broken connection, a time-out, an HTTP error and an answer that `read` refuses are faults. After a fault a
request is sent again, with pauses that double, until nobody was answered for `max_wait` seconds; one that the server
rejects (HTTP 3xx and 4xx, which waiting does not mend) is given up after `retries` more attempts. Equal requests on
their way share one answer. Redirects are not followed, and no request to this machine goes through a proxy. No fault
and no line of the log quotes what was asked or answered. The network's packages are imported by the first request.
"""

import asyncio
import hashlib
import ipaddress
import json
import logging
import math
import os
import random
import re
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from common.commands import UserError

if TYPE_CHECKING:
    import openai

CHAT = "/chat/completions"
PASSING = (408, 409, 425, 429)  # of the rejections, those that waiting mends
HINTS = {400: "a prompt longer than the server's context?", 401: "the key?", 403: "the key?", 404: "the model's name?"}
LONGEST_PAUSE, LONGEST_ORDERED = 8.0, 60.0  # seconds: of ours, and of those that a server may ask for
CACHE: OrderedDict[str, Any] = OrderedDict()  # answers, the oldest first; shared by the event loops of a process

_cache_lock = Lock()
_log = logging.getLogger(__name__)
_random = random.Random()  # of its own: a retry must not move the seeds of a run


@dataclass(frozen=True)
class Server:
    """Where a server is and how it is asked. Times are seconds; the limits hold for one event loop."""

    base_url: str
    model: str
    concurrency: int = 32  # requests at once
    timeout: float = 120.0  # for one answer
    max_wait: float = 600.0
    backoff: float = 0.5  # the first pause
    retries: int = 3  # of a request that is rejected
    attempts: float = math.inf  # of any request
    cache_size: int = 0  # answers that are remembered
    key_env: str = "OPENAI_API_KEY"  # a key comes from the environment, for settings are kept
    proxies: bool = False  # of the environment, for other machines

    @property
    def local(self) -> bool:
        """Whether it is on this machine, by its address alone."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False


def check_endpoint(server: Server, allowed: bool) -> None:
    """A sentence when --endpoint is no URL or lacks its key, or when notes would leave this machine unasked."""
    url = server.base_url
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise UserError(f"--endpoint {url} is no URL; give one like http://localhost:8000/v1")
    if not server.local and not allowed:
        raise UserError(
            f"--endpoint {url} is not on this machine and would be sent clinical notes; if your data agreement "
            "allows that, add --sending-notes-is-allowed"
        )
    if not server.local and not os.environ.get(server.key_env):
        raise UserError(f"--endpoint {url} needs a key and ${server.key_env} is empty; export it or say --api-key-env")


class Fault(Exception):
    """Nothing of use came back; without a status, nothing at all."""

    def __init__(self, why: str, status: int | None = None, rejected: bool = False, pause: float = 0.0) -> None:
        super().__init__(why)
        self.status, self.rejected, self.pause = status, rejected, pause


class Answer(NamedTuple):
    """A value, or the fault that did not pass; how often it was asked for again; the seconds that faults took."""

    value: Any
    retries: int = 0
    waited: float = 0.0
    fault: Fault | None = None


class Client:
    """A server as one event loop asks it."""

    def __init__(self, server: Server, used: Counter[str] | None = None) -> None:
        self.server = server
        self.used = Counter() if used is None else used  # requests that were answered, and those that failed of them
        self._down_since: float | None = None  # the first fault after the last answer
        self._slots, self._door = asyncio.Semaphore(server.concurrency), asyncio.Lock()
        self._openai: openai.AsyncOpenAI | None = None
        self._asking: dict[str, asyncio.Task[Answer]] = {}

    async def ask(self, body: Mapping[str, Any] | None, read: Callable[[bytes], Any], to: str = CHAT) -> Answer:
        """What `read` makes of the answer: known already, being asked for already, or from the server."""
        key = hashlib.sha256(json.dumps([self.server.base_url, to, body]).encode()).hexdigest()
        known = CACHE.get(key) if self.server.cache_size else None
        if known is not None:
            return Answer(known)
        task = self._asking.get(key)
        if task is not None:  # whoever asked first counts the retries
            return (await asyncio.shield(task))._replace(retries=0)
        task = self._asking[key] = asyncio.create_task(self._ask(body, read, to))
        task.add_done_callback(lambda _: self._asking.pop(key, None))
        answer = await asyncio.shield(task)
        if answer.fault is None and self.server.cache_size:
            with _cache_lock:
                CACHE[key] = answer.value
                while len(CACHE) > self.server.cache_size:
                    CACHE.popitem(last=False)
        return answer

    async def _ask(self, body: Mapping[str, Any] | None, read: Callable[[bytes], Any], to: str) -> Answer:
        began, failed_at, retries, fault = time.monotonic(), 0.0, 0, None
        while True:
            try:
                async with self._slots:
                    if fault and self._silent(now := time.monotonic()):
                        return Answer(None, retries - 1, now - failed_at, fault)  # not sent again
                    value = read(await self.send(body, to))
                self._answered()
                return Answer(value, retries, time.monotonic() - failed_at if fault else 0.0)
            except Fault as met:
                fault, now = met, time.monotonic()
            if not fault.rejected:
                self._failed(fault, now)
            if not failed_at:  # what was under way when the others met their first fault waits as long as they
                failed_at = self._down_since if self._down_since and began < self._down_since else now
            left = self.server.max_wait - (now - failed_at)
            most = min(self.server.attempts, 1 + self.server.retries if fault.rejected else math.inf)
            if left <= 0 or self._silent(now) or retries + 1 >= most:
                return Answer(None, retries, now - failed_at, fault)
            pause = min(self.server.backoff * 2 ** min(retries, 16), LONGEST_PAUSE) * _random.uniform(0.5, 1.0)
            retries += 1
            await asyncio.sleep(min(max(pause, fault.pause), left))

    async def send(self, body: Mapping[str, Any] | None, to: str = CHAT) -> bytes:
        """The answer to one attempt, or a Fault; without a body the list of models is asked for.

        `to` is a path below the server's URL, or a URL of the same server.
        """
        import openai

        try:
            self._openai = self._openai or _connected(self.server)
            async with self._door:  # one by one: in step, the first of a batch would leave when the last is written
                await asyncio.sleep(0)
            async with asyncio.timeout(self.server.timeout):
                if body is None:
                    answer = await self._openai.get("/models", cast_to=bytes)
                else:
                    answer = await self._openai.post(to, cast_to=bytes, body=body)
        except openai.APIStatusError as error:
            self.used.update(requests=1, failed=1)
            raise _http_fault(error) from None
        except TimeoutError:
            raise Fault(f"no answer within {self.server.timeout:g} s") from None
        except Exception as error:  # the transport's, too, which openai lets through
            raise Fault(_cause(error)) from None
        self.used["requests"] += 1
        return answer

    def _silent(self, now: float) -> bool:
        """Whether nobody has been answered for max_wait seconds."""
        return self._down_since is not None and now - self._down_since >= self.server.max_wait

    def _failed(self, fault: Fault, now: float) -> None:
        if self._down_since is None:  # one sentence an outage, not one for every request of a batch
            self._down_since = now
            if self.server.attempts > 1:
                _log.warning("%s: %s; asking again for up to %g s", self.server.base_url, fault, self.server.max_wait)

    def _answered(self) -> None:
        if self._down_since is not None:
            down = time.monotonic() - self._down_since
            _log.warning("%s: it answers again, %.0f s after a fault", self.server.base_url, down)
            self._down_since = None

    async def aclose(self) -> None:
        """Give up what is asked for, and close the connections."""
        for task in self._asking.values():
            task.cancel()
        if self._openai is not None:
            await self._openai.close()
            self._openai = None


_clients: dict[asyncio.AbstractEventLoop, dict[Server, Client]] = {}


def of(server: Server) -> Client:
    """The running event loop's client of a server."""
    for ended in [loop for loop in list(_clients) if loop.is_closed()]:
        _clients.pop(ended, None)
    clients = _clients.setdefault(asyncio.get_running_loop(), {})
    return clients.get(server) or clients.setdefault(server, Client(server))


async def close() -> None:
    """Close the connections of the running event loop."""
    for client in _clients.pop(asyncio.get_running_loop(), {}).values():
        await client.aclose()


def read_models(answer: bytes) -> dict[str, str]:
    """The models of a server, and whose they are."""
    try:
        return {str(model["id"]): str(model.get("owned_by")) for model in json.loads(answer)["data"]}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Fault("a list of models that cannot be read", 200, rejected=True) from None


def _connected(server: Server) -> "openai.AsyncOpenAI":
    import openai

    http = openai.DefaultAioHttpClient(  # for many requests at once the default one needs twice the time of a CPU
        follow_redirects=False,
        trust_env=server.proxies and not server.local,
        verify=server.base_url.startswith("https"),
        limits=type(openai.DEFAULT_CONNECTION_LIMITS)(max_connections=server.concurrency),
    )
    key = os.environ.get(server.key_env) or "none"
    return openai.AsyncOpenAI(base_url=server.base_url, api_key=key, max_retries=0, timeout=None, http_client=http)


def _http_fault(error: "openai.APIStatusError") -> Fault:
    status, after = error.status_code, error.response.headers.get("retry-after", "")
    named = [str(part) for part in (error.code, error.param) if part and str(part) != str(status)]
    names = ", ".join(name for name in named if re.fullmatch(r"[\w.\[\]-]{1,60}", name))  # and nothing of a prompt
    hint = names or HINTS.get(status)
    pause = min(float(after), LONGEST_ORDERED) if after.isdecimal() else 0.0
    return Fault(f"HTTP {status}{f' ({hint})' if hint else ''}", status, status < 500 and status not in PASSING, pause)


def _cause(error: BaseException) -> str:
    """What lies at the bottom of an error: openai's own say no more than that there is one."""
    while error.__cause__ is not None:
        error = error.__cause__
    return getattr(error, "strerror", None) or type(error).__name__
