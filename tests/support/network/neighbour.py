"""A second machine on the network: a namespace of its own, from which crafted pickles are sent to this machine's ports.

with neighbour(file) as send:
    send(port)    # whoever unpickles what arrives there makes the file

Without the right to make a namespace (root) nothing is sent, and the table of sockets has to do.
"""

import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.commands import ROOT

PICKLED = b"\xc1\xfe\xed"  # by which TransferQueue tells a pickle from msgpack


class Bomb:
    """Pickled, it makes a file where it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return open, (str(self.file), "w")  # type: ignore[return-value]


def attack(address: str, port: int, file: Path) -> None:
    """Send the pickle as TransferQueue's clients do, and bare."""
    import zmq

    bomb = pickle.dumps(Bomb(file))
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 200)  # milliseconds for a port that takes no connection
        dealer.connect(f"tcp://{address}:{port}")
        dealer.send_multipart([PICKLED, bomb])
        with suppress(OSError), socket.create_connection((address, port), timeout=1) as bare:
            bare.sendall(bomb)


@contextmanager
def neighbour(file: Path) -> Iterator[Callable[[int], None]]:
    """What sends the pickle to a port of this machine, from a namespace that ends with the block."""
    number = threading.get_native_id() % 16384  # of a network of four addresses
    name, here, there = f"mc{number}", *(f"198.18.{number >> 6}.{(number & 63) * 4 + end}" for end in (1, 2))
    try:
        _ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError):
        yield lambda port: None
        return
    try:
        _ip("link", "add", name, "type", "veth", "peer", "name", "out", "netns", name)
        _ip("address", "add", f"{here}/30", "dev", name)
        _ip("link", "set", name, "up")
        _ip("-n", name, "address", "add", f"{there}/30", "dev", "out")
        _ip("-n", name, "link", "set", "out", "up")
        words = ["ip", "netns", "exec", name, sys.executable, "-m", __name__, here, str(file)]
        with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, text=True) as attacker:
            assert attacker.stdin is not None
            send = attacker.stdin
            yield lambda port: print(port, file=send, flush=True)
            send.close()
    finally:
        _ip("netns", "del", name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


if __name__ == "__main__":
    for line in sys.stdin:
        attack(sys.argv[1], int(line), Path(sys.argv[2]))
