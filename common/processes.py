"""Processes that end with the one that started them, a place for their sockets, and nobody else's ear for their Ray."""

import ctypes
import fcntl
import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import psutil

from common.commands import UserError

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
# The kernel takes 107 characters for the name of a socket, and Ray's are as long as this below its folder.
SOCKET_ROOM = 107 - len("/mc-12345678/ray/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store")

PREFIX, LOCK = "mc-", ".lock"

LOOPBACK = "127.0.0.2"  # Ray takes 127.0.0.1 for "find out the machine's own address"


@cache
def alone() -> dict[str, str]:
    """Environment of a Ray of one machine that answers nobody else, beside `_node_ip_address=LOOPBACK`.

    It must be there before Ray is imported, which reads it once: so it is one for all that a process starts.

    What Ray and verl bind to the node's address is on loopback then. Ray's gRPC servers listen on every address
    whatever one says: they ask for a token that only the processes of this run know.
    """
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    # no port has such a number: these two would serve their metrics on every address, and go on without
    ports = dict.fromkeys(("AUTOSCALER_METRIC_PORT", "DASHBOARD_METRIC_PORT"), "-1")
    no_metrics = {"RAY_enable_metrics_collection": "0", **ports}
    return token | no_metrics | {"GLOO_SOCKET_IFNAME": "lo"}


def die_with_parent(by: int = signal.SIGKILL) -> None:
    """For a child, as it starts: end when the parent is killed, so that nothing outlives the command."""
    _prctl(PR_SET_PDEATHSIG, by)


def adopt_orphans() -> None:
    """Make processes below this one, whose parents end, children of this one (Linux)."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def descendants() -> list[psutil.Process]:
    """Every process below this one."""
    return psutil.Process().children(recursive=True)


def end(processes: Iterable[psutil.Process], grace: float = 5.0) -> None:
    """End these: ask, wait, then kill."""
    left = list(processes)
    for attempt in (signal.SIGTERM, signal.SIGKILL):
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)  # a stopped process cannot follow a request
                process.send_signal(attempt)
        left = psutil.wait_procs(left, timeout=grace)[1]


def end_descendants(grace: float = 5.0) -> None:
    """End every process below this one, those included that start while others end."""
    for _ in range(3):
        if below := descendants():
            end(below, grace)


@contextmanager
def scratch_folder() -> Iterator[str]:
    """A folder for sockets and scratch files that is nobody else's, short enough for the name of a socket."""
    place = os.environ.get("TMPDIR") or tempfile.gettempdir()
    if len(place) > SOCKET_ROOM:
        place = "/tmp"
    try:
        folder = tempfile.mkdtemp(prefix=PREFIX, dir=place)
    except OSError as error:
        raise UserError(f"the temporary folder {place} cannot be used ({error.strerror}); set TMPDIR") from error
    with open(Path(folder) / f"{LOCK}.made", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as long as this process lives
        os.rename(lock.name, Path(folder) / LOCK)  # only now do others look at it
        _clear_left_behind(Path(place))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _clear_left_behind(place: Path) -> None:
    """Remove the folders of commands that were killed."""
    for lock in place.glob(f"{PREFIX}*/{LOCK}"):
        with suppress(OSError), open(lock, "r+") as held:  # somebody else's may not be opened
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)
