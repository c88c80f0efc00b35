"""The client of OpenAI-compatible servers: what it does after answers that the judge's and evaluation's tests lack."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from common.llm_server import Answer, Client, Server, read_models

PROMPT = {"model": "m", "messages": [{"role": "user", "content": "hypothetical words of a note"}]}
GOOD = (200, {}, {"said": "yes"})
Reply = tuple[int, dict[str, str], object] | bytes


@asynccontextmanager
async def scripted(*replies: Reply) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that gives these replies, the last one for ever; its URL, and the request lines it saw."""
    seen: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = [line.split(":")[1] for line in head.split("\r\n") if line.startswith("content-length")]
        await reader.readexactly(int(length[0]) if length else 0)
        reply = replies[min(len(seen), len(replies) - 1)]
        seen.append(head.split("\r\n")[0])
        if not isinstance(reply, bytes):
            status, headers, body = reply
            lines = [f"HTTP/1.1 {status} x", "Content-Type: application/json", "Connection: close"]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            text = json.dumps(body)
            reply = "\r\n".join([*lines, f"Content-Length: {len(text)}", "", text]).encode()
        writer.write(reply)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", seen


def ask(*replies: Reply, read: Callable[[bytes], object] = json.loads, **how: object) -> tuple[Answer, list[str]]:
    """The answer to a prompt after these replies, and the request lines that led to it."""

    async def asked() -> tuple[Answer, list[str]]:
        async with scripted(*replies) as (url, seen):
            client = Client(Server(url, "m", **{"backoff": 0.01, "max_wait": 5.0, **how}))
            try:
                return await client.ask(None if read is read_models else PROMPT, read), seen
            finally:
                await client.aclose()

    return asyncio.run(asked())


def test_an_answer_is_read_once() -> None:
    assert ask(GOOD) == (Answer({"said": "yes"}), ["post /v1/chat/completions http/1.1"])


def test_a_server_that_says_when_to_come_back_is_left_alone_until_then() -> None:
    answer, seen = ask((429, {"Retry-After": "1"}, {}), GOOD)
    assert answer.value and answer.retries == 1 and answer.waited >= 1 and len(seen) == 2
    answer, _ = ask((503, {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}, {}), GOOD)
    assert answer.value and answer.waited < 1


def test_a_redirect_is_not_followed_and_not_waited_for() -> None:
    answer, seen = ask((307, {"Location": "http://127.0.0.1:9/v1"}, {}), retries=1)
    assert answer.fault and answer.fault.status == 307 and answer.fault.rejected and len(seen) == 2


@pytest.mark.parametrize("raw", [b"SSH-2.0-OpenSSH\r\n", b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf"])
def test_what_is_no_answer_is_a_fault_that_may_pass(raw: bytes) -> None:
    answer, seen = ask(raw, GOOD)
    assert answer.value and answer.retries == 1 and len(seen) == 2
    answer, _ = ask(raw, attempts=2)
    assert answer.fault and str(answer.fault) and answer.fault.status is None and answer.retries == 1


def test_no_fault_and_no_line_of_the_log_quotes_a_prompt(caplog: pytest.LogCaptureFixture) -> None:
    words = PROMPT["messages"][0]["content"]
    caplog.set_level(logging.INFO)
    for status in (400, 500):
        answer, _ = ask((status, {}, {"error": {"message": words, "code": words, "param": "messages"}}), attempts=2)
        assert str(answer.fault) == f"HTTP {status} (messages)"
    assert caplog.records and not any(words in record.getMessage() for record in caplog.records)


def test_what_is_asked_once_logs_no_promise_to_ask_again(caplog: pytest.LogCaptureFixture) -> None:
    assert ask((500, {}, {}), attempts=1)[0].fault
    assert not [record for record in caplog.records if record.name == "common.llm_server"]


def test_no_proxy_sees_what_is_sent_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert ask(GOOD, proxies=True)[0].value


def test_models_are_listed_with_their_owners_and_another_answer_is_not_asked_for_again() -> None:
    models = {"data": [{"id": "a", "owned_by": "vllm"}, {"id": "b"}]}
    answer, seen = ask((200, {}, models), read=read_models)
    assert answer.value == {"a": "vllm", "b": "None"} and seen == ["get /v1/models http/1.1"]
    answer, seen = ask((200, {}, ["a"]), read=read_models, retries=0)
    assert answer.fault and answer.fault.rejected and len(seen) == 1


def test_requests_that_are_given_up_are_sent_no_more() -> None:
    async def scenario() -> None:
        async with scripted((500, {}, {})) as (url, seen):
            client = Client(Server(url, "m", backoff=0.01))
            asked = asyncio.create_task(client.ask(PROMPT, json.loads))
            while len(seen) < 2:
                await asyncio.sleep(0.01)
            await client.aclose()
            with pytest.raises(asyncio.CancelledError):
                await asked
            before = len(seen)
            await asyncio.sleep(0.2)
            assert len(seen) == before

    asyncio.run(scenario())
