"""The addresses that the processes below this one listen on, while a block runs."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

EVERY = 0.5  # seconds
# Ray's gRPC servers, in its daemons, its driver and every worker, listen on all addresses: a token guards them. So does
# the store by which torch's processes find each other, in the worker that trains (ray::WorkerDict).
RAY = re.compile(r"ray::|VLLM::|.*/(gcs_server|raylet)\b|.*python\S* ")


@contextmanager
def listening() -> Iterator[set[tuple[str, str]]]:
    """Pairs of address and the title of the process, seen in two looks in a row: a port tried for a moment is none."""
    heard: set[tuple[str, str]] = set()
    over = threading.Event()

    def look() -> None:
        before: set[tuple[int, int]] = set()
        while not over.wait(EVERY):
            now = set()
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    words = process.cmdline()
                    title = (
                        words[0].split(".")[0] if words and "::" in words[0] else " ".join(words[:4]) or process.name()
                    )
                    for socket in process.net_connections("tcp"):
                        if socket.status == psutil.CONN_LISTEN:
                            now.add((process.pid, socket.laddr.port))
                            if (process.pid, socket.laddr.port) in before:
                                heard.add((socket.laddr.ip, title))
            before = now

    looker = threading.Thread(target=look)
    looker.start()
    try:
        yield heard
    finally:
        over.set()
        looker.join()


def is_known(address: str, title: str) -> bool:
    """Whether it is one of the documented few sockets that are open on every address."""
    return address == "::" and RAY.match(title) is not None
