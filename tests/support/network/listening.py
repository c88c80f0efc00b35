"""What the processes below this one listen on while a block runs, and what a neighbour on the network gets there."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.support.network.neighbour import neighbour

EVERY = 0.5  # seconds
# Ray's gRPC servers, in its daemons, its driver and every worker, listen on all addresses: a token guards them. So does
# the store by which torch's processes find each other, in the worker that trains and in vLLM's: it holds addresses.
EVERYWHERE = re.compile(r"ray::|VLLM::|.*/(gcs_server|raylet)\b|.*python\S* ")


@dataclass
class Heard:
    """Pairs of address and process, and the file that a message of the neighbour would make, were it obeyed."""

    obeyed: Path
    sockets: set[tuple[str, str]] = field(default_factory=set)

    def check(self, *titles: str) -> None:
        """Only loopback, but for the documented few; processes of these titles were among those that listen."""
        for title in titles:
            assert any(title in heard for _, heard in self.sockets), (title, sorted(self.sockets))
        open_to_all = [
            (address, title)
            for address, title in self.sockets
            if not address.startswith("127.") and not (address == "::" and EVERYWHERE.match(title))
        ]
        assert not open_to_all, sorted(open_to_all)
        assert not self.obeyed.exists(), "a message from the network was unpickled"


@contextmanager
def listening(heard: Heard) -> Iterator[None]:
    """Look around while the block runs; a socket that two looks in a row see counts, and is sent a pickle."""
    over = threading.Event()

    def look() -> None:
        before: set[tuple[int, int]] = set()
        with neighbour(heard.obeyed) as send:
            while not over.wait(EVERY):
                now = set()
                for process in psutil.Process().children(recursive=True):
                    with suppress(psutil.Error):
                        for socket in process.net_connections("tcp"):
                            if socket.status == psutil.CONN_LISTEN:
                                now.add((process.pid, socket.laddr.port))
                                if (process.pid, socket.laddr.port) in before:
                                    heard.sockets.add((socket.laddr.ip, _title(process)))
                for _, port in now - before:
                    send(port)
                before = now

    looker = threading.Thread(target=look)
    looker.start()
    try:
        yield
    finally:
        over.set()
        looker.join()


def _title(process: psutil.Process) -> str:
    words = process.cmdline()
    return words[0].split(".")[0] if words and "::" in words[0] else " ".join(words[:4]) or process.name()
