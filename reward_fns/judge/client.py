"""Ask a judge server for grades: at most so many requests at once, patient with faults, never twice for the same text.

    client = judge_client.of(Settings(base_url="http://localhost:8001/v1", model="judge"))
    verdict = await client.grade(messages)     # verdict.grade is 1 to 5, or None after a fault that did not pass

Any server with OpenAI's chat completions will do. Whatever is not a grade from 1 to 5 is a fault: a refused or broken
connection, a time-out, an HTTP error, an answer of another form. A request that met a fault is sent again after a pause
that doubles; nobody gives up before `max_wait` seconds without an answer. Only what waiting cannot mend, a request that
the server rejects (HTTP 4xx), is given up after `retries` more attempts.
"""

import asyncio
import hashlib
import json
import logging
import random
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import aiohttp

GRADES = ("1", "2", "3", "4", "5")
# How servers are told that nothing but a grade may be written.
STRUCTURES: dict[str, dict[str, Any]] = {
    "choice": {"structured_outputs": {"choice": list(GRADES)}},  # vLLM
    "guided_choice": {"guided_choice": list(GRADES)},  # vLLM before 0.11
    "json_schema": {  # OpenAI, SGLang, llama.cpp, …
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "grade",
                "strict": True,
                "schema": {
                    "type": "object",
                    "properties": {"grade": {"type": "integer", "enum": [int(grade) for grade in GRADES]}},
                    "required": ["grade"],
                    "additionalProperties": False,
                },
            },
        }
    },
}

_LONGEST_PAUSE = 30.0
_REJECTED = range(400, 500)
_PASSING = {408, 409, 425, 429}  # of these, the ones that waiting mends
_log = logging.getLogger(__name__)
_random = random.Random()  # of its own: a retry must not move the seeds of a run


@dataclass(frozen=True)
class Settings:
    """Where the judge is and how it is asked. Times are seconds; the limits hold for one process."""

    base_url: str
    model: str
    concurrency: int = 32
    timeout: float = 120.0
    max_wait: float = 600.0
    backoff: float = 0.5
    retries: int = 3
    cache_size: int = 65_536
    structured_output: str = "choice"
    extra_body: str = "{}"  # more fields of the request, as JSON
    api_key: str = field(default="", repr=False)


class Verdict(NamedTuple):
    """A grade or None; how often the request was sent again; the seconds from its first fault to its end."""

    grade: int | None
    retries: int = 0
    waited: float = 0.0


class Fault(Exception):
    """No grade came back; the message says why, and never quotes prompt or answer."""

    def __init__(self, why: str, rejected: bool = False) -> None:
        super().__init__(why)
        self.rejected = rejected


def request_body(settings: Settings, messages: list[dict[str, str]]) -> dict[str, Any]:
    """The request for one grade."""
    fixed = {"model": settings.model, "messages": messages, "temperature": 0, "max_tokens": 32}
    return {**fixed, **STRUCTURES[settings.structured_output], **json.loads(settings.extra_body)}


def headers(settings: Settings) -> dict[str, str]:
    return {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}


def read_grade(body: bytes) -> int:
    """The grade in a response, or a Fault: nothing is guessed from an answer of another form."""
    try:
        text = json.loads(body)["choices"][0]["message"]["content"].strip()
        if text not in GRADES:
            text = str(json.loads(text)["grade"])
        return int(GRADES[GRADES.index(text)])
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise Fault("the answer is no grade from 1 to 5") from None


def http_fault(status: int) -> Fault:
    rejected = status in _REJECTED and status not in _PASSING
    hint = {
        400: " (a prompt longer than the server's context?)",
        401: " (JUDGE_API_KEY?)",
        403: " (JUDGE_API_KEY?)",
        404: " (the model's name?)",
    }
    return Fault(f"HTTP status {status}{hint.get(status, '')}", rejected)


class Client:
    """One judge for one event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.down_since: float | None = None  # the first fault after the last answer
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._session: aiohttp.ClientSession | None = None
        self._asking: dict[str, asyncio.Task[Verdict]] = {}
        self._said: set[str] = set()

    async def grade(self, messages: list[dict[str, str]]) -> Verdict:
        """The grade of these messages: known already, being asked for already, or from the server."""
        body = request_body(self.settings, messages)
        data = json.dumps(body).encode()
        key = hashlib.sha256(self.settings.base_url.encode() + b"\n" + data).hexdigest()
        known = CACHE.get(key)
        if known is not None:
            return Verdict(known)
        task = self._asking.get(key)
        if task is not None:  # whoever asked first counts the retries
            return (await asyncio.shield(task))._replace(retries=0)
        task = self._asking[key] = asyncio.create_task(self._ask(data))
        task.add_done_callback(lambda _: self._asking.pop(key, None))
        verdict = await asyncio.shield(task)
        if verdict.grade is not None:
            CACHE.put(key, verdict.grade, self.settings.cache_size)
        return verdict

    async def _ask(self, data: bytes) -> Verdict:
        retries, failed_at = 0, None
        while True:
            try:
                async with self._slots:
                    if failed_at is not None and self._silent():
                        return Verdict(None, retries - 1, time.monotonic() - failed_at)  # not sent again
                    grade = await self._send(data)
                self._answered()
                return Verdict(grade, retries, time.monotonic() - failed_at if failed_at else 0.0)
            except Fault as fault:
                now = time.monotonic()
                failed_at = failed_at or now
                self._failed(fault, now)
                left = self.settings.max_wait - (now - failed_at)
                if left <= 0 or self._silent() or (fault.rejected and retries >= self.settings.retries):
                    self._say("gave_up", f"no grade: {fault}")
                    return Verdict(None, retries, now - failed_at)
                pause = min(self.settings.backoff * 2 ** min(retries, 16), _LONGEST_PAUSE) * _random.uniform(0.5, 1.0)
                retries += 1
                await asyncio.sleep(min(pause, left))

    async def _send(self, data: bytes) -> int:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),  # the slots are the limit
                timeout=aiohttp.ClientTimeout(total=self.settings.timeout),
                headers={"Content-Type": "application/json", **headers(self.settings)},
            )
        try:
            url = f"{self.settings.base_url.rstrip('/')}/chat/completions"
            async with self._session.post(url, data=data) as response:
                if response.status != 200:
                    raise http_fault(response.status)
                return read_grade(await response.read())
        except TimeoutError:
            raise Fault(f"no answer within {self.settings.timeout:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Fault(type(error).__name__) from None

    def _silent(self) -> bool:
        """Whether nobody has been answered for max_wait seconds."""
        return self.down_since is not None and time.monotonic() - self.down_since >= self.settings.max_wait

    def _failed(self, fault: Fault, now: float) -> None:
        if not fault.rejected and self.down_since is None:
            self.down_since = now
            self._say("failed", f"{fault}; asking again for up to {self.settings.max_wait:g} s")

    def _answered(self) -> None:
        if self.down_since is not None:
            self._said.clear()
            self._say("answers", f"it answers again, {time.monotonic() - self.down_since:.0f} s after a fault")
            self.down_since = None

    def _say(self, what: str, sentence: str) -> None:
        """Log a sentence once until the next recovery, not once for every completion of a batch."""
        if what not in self._said:
            self._said.add(what)
            _log.warning("judge %s: %s", self.settings.base_url, sentence)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


class Cache:
    """Grades by the hash of what was asked; the oldest go first. Shared by the event loops of a process."""

    def __init__(self) -> None:
        self._grades: OrderedDict[str, int] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._grades)

    def get(self, key: str) -> int | None:
        return self._grades.get(key)

    def put(self, key: str, grade: int, most: int) -> None:
        with self._lock:
            self._grades[key] = grade
            while len(self._grades) > most:
                self._grades.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._grades.clear()


CACHE = Cache()
_clients: dict[asyncio.AbstractEventLoop, dict[Settings, Client]] = {}


def of(settings: Settings) -> Client:
    """The running event loop's client for these settings."""
    loop = asyncio.get_running_loop()
    if loop not in _clients:
        for ended in [other for other in _clients if other.is_closed()]:
            del _clients[ended]
    clients = _clients.setdefault(loop, {})
    if settings not in clients:
        clients[settings] = Client(settings)
    return clients[settings]


async def close() -> None:
    """Close the connections of the running event loop."""
    for client in _clients.pop(asyncio.get_running_loop(), {}).values():
        await client.close()
