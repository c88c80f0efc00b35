"""A judge server of the tests: real HTTP, OpenAI's form, and every fault that a server can have.

    python -m tests.support.judge_server --port 8001 [--delay 0.5] [--grade 4] [--faults 503:3,text:2]

It can also be started inside a test (`async with serving(...)`), which then sees the requests. The grade is a fixed one
or follows from the request, so that equal requests get equal grades.
"""

import argparse
import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

from aiohttp import web

MODEL = "judge"
GARBAGE = {
    "text": "I would say that it deserves a 5.",
    "six": "6",
    "zero": "0",
    "float": "4.5",
    "several": "5 5",
    "empty": "",
    "json": '{"grade": 9}',
    "bool": '{"grade": true}',
    "list": "[5]",
    "null": None,
}


@dataclass
class Judge:
    """What the server does next, and what it has seen."""

    delay: float = 0.0
    grade: int | None = None
    faults: list[str] = field(default_factory=list)  # of the next requests for a grade, one each
    always: str = ""  # a fault for every request
    obeys: bool = True  # keeps to structured output
    model: str = MODEL
    key: str = ""
    context: int | None = None  # max_model_len
    requests: list[dict[str, Any]] = field(default_factory=list)
    answered: int = 0
    failed: int = 0
    open: int = 0
    most_open: int = 0
    fault_of: Callable[[dict[str, Any]], str] = lambda body: ""
    grade_of: Callable[[dict[str, Any]], int | None] = lambda body: None

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            return await self._answer(request, body)
        finally:
            self.open -= 1

    async def _answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return web.json_response({"error": "key"}, status=401)
        if body["model"] != self.model:
            return web.json_response({"error": "no such model"}, status=404)
        real = len(body["messages"]) > 1  # and not the question whether anybody is there
        fault = self.always or (self.fault_of(body) if real else "")
        if real and self.faults:
            fault = fault or self.faults.pop(0)
        if fault:
            self.failed += 1
            return await self._fail(fault, request)
        await asyncio.sleep(self.delay)
        self.answered += 1
        digest = hashlib.sha256(json.dumps(body["messages"]).encode()).digest()
        grade = str(self.grade or (self.grade_of(body) if real else None) or 1 + digest[0] % 5)
        if "response_format" in body:
            grade = json.dumps({"grade": int(grade)})
        return reply(grade if self.obeys else "hello")

    async def _fail(self, fault: str, request: web.Request) -> web.StreamResponse:
        if fault.isdigit():
            return web.json_response({"error": "as ordered"}, status=int(fault))
        if fault == "slow":
            await asyncio.sleep(30)
        elif fault in ("drop", "cut"):
            if fault == "cut":  # half an answer, then nothing
                response = web.StreamResponse(headers={"Content-Length": "1000"})
                await response.prepare(request)
                await response.write(b'{"choices": [{"message"')
            if request.transport is not None:
                request.transport.abort()
        elif fault == "html":
            return web.Response(text="<html>Welcome to the proxy: 5</html>", content_type="text/html")
        return reply(GARBAGE.get(fault, fault))

    async def complete(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": "no completions here"}, status=404)

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": self.model, "max_model_len": self.context}]})

    async def tokenize(self, request: web.Request) -> web.Response:
        words = sum(len(message["content"].split()) for message in (await request.json())["messages"])
        return web.json_response({"count": words, "max_model_len": self.context})


def reply(content: str | None) -> web.Response:
    return web.json_response({"choices": [{"index": 0, "message": {"role": "assistant", "content": content}}]})


@dataclass
class Server:
    """A judge at a port, which can be stopped and started again."""

    judge: Judge
    port: int = 0
    runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.judge.chat)
        app.router.add_post("/v1/completions", self.judge.complete)
        app.router.add_get("/v1/models", self.judge.models)
        app.router.add_post("/tokenize", self.judge.tokenize)
        self.runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0.05)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", self.port, reuse_address=True, backlog=1024)
        await site.start()
        self.port = self.runner.addresses[0][1]

    async def stop(self) -> None:
        """At once, whatever is being answered."""
        if self.runner is not None:
            if self.runner.server is not None:
                for connection in list(self.runner.server.connections):
                    if connection.transport is not None:
                        connection.transport.abort()
            await self.runner.cleanup()
            self.runner = None


@asynccontextmanager
async def serving(judge: Judge | None = None) -> AsyncIterator[Server]:
    server = Server(judge or Judge())
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@contextmanager
def in_a_thread(judge: Judge) -> Iterator[Server]:
    """The same beside a test that is not asynchronous itself, or that runs a command."""
    loop, server = asyncio.new_event_loop(), Server(judge)
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(10)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _serve(given: argparse.Namespace) -> None:
    faults = [name for part in given.faults.split(",") if part for name in _repeat(part)]
    server = Server(Judge(given.delay, given.grade, faults, given.always), given.port)
    await server.start()
    print(f"serving at {server.url}", flush=True)
    await asyncio.Event().wait()


def _repeat(part: str) -> list[str]:
    name, _, times = part.partition(":")
    return [name] * int(times or 1)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--delay", type=float, default=0.0)
    arguments.add_argument("--grade", type=int, choices=range(1, 6))
    arguments.add_argument("--faults", default="", help="FAULT:TIMES,…: what the first requests meet")
    arguments.add_argument("--always", default="", help="a fault for every request")
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(arguments.parse_args()))


if __name__ == "__main__":
    main()
