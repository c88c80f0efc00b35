"""A Ray of several nodes on this machine, as `ray start` makes one by hand: each on a loopback address of its own.

with ray_nodes(folder, count=2) as nodes:
    run_process("bash", "recipes/launch.sh", …, **nodes.environment)
"""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

HOSTS = ("127.0.0.3", "127.0.0.4")


@dataclass
class Nodes:
    """The address of the head, and the process of `ray start --block` on each node."""

    address: str
    home: Path  # of whoever started it; the token is there
    started: dict[str, subprocess.Popen]

    @property
    def environment(self) -> dict[str, str]:
        """Of a launch that joins: nothing says whether a token is asked for."""
        return {"RAY_ADDRESS": self.address, "HOME": str(self.home)}

    def processes(self, host: str) -> dict[str, psutil.Process]:
        """What runs on a node, by title."""
        found = {}
        for process in psutil.Process(self.started[host].pid).children(recursive=True):
            try:
                title = (process.cmdline() or [""])[0]
                found[title.partition(".")[0] if "::" in title else process.name()] = process
            except psutil.NoSuchProcess:
                continue
        return found


def start(words: list[str], home: Path, place: Path, **more: str) -> subprocess.Popen:
    """`ray start` in a folder where nothing of the repository is, and in nobody's environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTHONPATH", "WANDB_"))}
    shared = {"GLOO_SOCKET_IFNAME": "lo", "RAY_worker_niceness": "0"}  # or workers get what everybody else leaves
    env = {**kept, **shared, "HOME": str(home), **more}
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats", *words]
    with open(place / "ray.log", "ab") as log:
        return subprocess.Popen(ray, cwd=place, env=env, stdout=log, stderr=log, start_new_session=True)


@contextmanager
def ray_nodes(count: int, gpus: int = 1, cpus: int = 12, token: bool = True) -> Iterator[Nodes]:
    """The head turns its token on by itself where one lies in the home folder; the other nodes are told."""
    with tempfile.TemporaryDirectory(prefix="r-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        place, home = Path(folder), Path(folder) / "home"
        (home / ".ray").mkdir(parents=True)
        if token:
            (home / ".ray" / "auth_token").write_text(secrets.token_hex(32))
        with socket.socket() as free:
            free.bind((HOSTS[0], 0))
            address = f"{HOSTS[0]}:{free.getsockname()[1]}"
        nodes = Nodes(address, home, {})
        has = [f"--num-gpus={gpus}", f"--num-cpus={cpus}"]
        head = [
            "--head",
            f"--port={address.partition(':')[2]}",
            "--include-dashboard=false",
            f"--temp-dir={folder}/ray",
        ]
        try:
            for host in HOSTS[:count]:
                words = head if host == HOSTS[0] else [f"--address={address}"]
                mode = {} if host == HOSTS[0] or not token else {"RAY_AUTH_MODE": "token"}
                nodes.started[host] = start([*words, f"--node-ip-address={host}", *has], home, place, **mode)
                wait_for(address)
            yield nodes
        finally:
            for process in nodes.started.values():
                below = psutil.Process(process.pid).children(recursive=True)
                process.send_signal(signal.SIGTERM)
                psutil.wait_procs(below, timeout=10)
                for left in below:
                    if left.is_running():
                        left.kill()
                process.wait()


def wait_for(address: str) -> None:
    """Until the head takes connections."""
    host, _, port = address.partition(":")
    until = time.monotonic() + 180  # a busy machine takes a minute
    while time.monotonic() < until:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"no Ray at {address}")
