"""The processes of a run: notice a worker that died or hangs.

verl's driver waits for ever when a vLLM worker dies. Its workers are no children of the driver but of Ray's daemons, so
this process must be the one that inherits orphans (common.processes): everything a run starts stays below it. Workers
of a Ray that a run has joined are elsewhere: recipes.cluster hears of their deaths, and what is seen here is files that
grow. They tell of a hang on GPUs, too, where who waits for another is busy.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from common.processes import descendants
from recipes.cluster.joining import Cluster

DEATH_GRACE = 15.0  # seconds in which a run that ends by itself may outlive its workers
STOP_GRACE = 30.0  # seconds a worker may stand stopped (SIGSTOP, a debugger)
IDLE_CORES = 0.15  # all processes together use less than this only when they wait for each other
SILENT = 8  # times hang_seconds without a line in metrics and log, however busy the workers are
PATIENCE = 5  # times the longest silence that ended well
FIRST_BY = 0.9  # seconds by which a worker dies before the others when it is their cause
DAEMONS = ("ray::IDLE", "ray::DashboardAgent", "ray::RuntimeEnvAgent")  # Ray starts and ends them as it likes


@dataclass
class _Worker:
    process: psutil.Process
    title: str
    seconds: float = 0.0  # of processor time
    seen: float = 0.0
    gone_since: float | None = None
    stopped_since: float | None = None


@dataclass
class Watch:
    """Look at the workers now and then; `fault` says in a sentence what is wrong with them."""

    hang_seconds: float  # 0: never call a run hung
    grows: Sequence[Path] = ()  # files that a run writes to as it gets on; without any, silence says nothing
    cluster: Cluster | None = None  # where the workers are, if not below this process
    _workers: dict[int, _Worker] = field(default_factory=dict)
    _busy_at: float = field(default_factory=time.monotonic)
    _busy_seconds: float = 0.0
    _grown_at: float = field(default_factory=time.monotonic)
    _size: int = 0
    _longest: float = 0.0

    def fault(self) -> str | None:
        now = time.monotonic()
        self._see(now)
        for worker in self._workers.values():
            if worker.gone_since is not None and now - worker.gone_since > DEATH_GRACE:
                return _died(worker)
            if worker.stopped_since is not None and now - worker.stopped_since > STOP_GRACE:
                return f"the worker {_name(worker)} was stopped by a signal and does nothing"
        if self.cluster and (fault := self.cluster.fault()):
            return fault
        return self._hang(now) or self._silence(now)

    def first_death(self) -> str | None:
        """After a run that ended by itself: the worker that died clearly before the others, if one did."""
        if self.cluster:
            return self.cluster.first_death()
        gone = [worker for worker in self._workers.values() if worker.gone_since is not None]
        first = min(gone, key=lambda worker: worker.gone_since or 0, default=None)
        if first is None:
            return None
        outlived = [other for other in self._workers.values() if other.seen - (first.gone_since or 0) > FIRST_BY]
        return _died(first) if len(outlived) >= 3 else None

    def _see(self, now: float) -> None:
        alive = {process.pid: process for process in descendants()}
        for pid, process in alive.items():
            try:
                title = _title(process)
                status = process.status()
                if status == psutil.STATUS_ZOMBIE:
                    continue  # counts as gone below
                worker = self._workers.setdefault(pid, _Worker(process, title))
                worker.title, worker.seen, worker.seconds = title, now, sum(process.cpu_times()[:2])
                stopped = status in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
                worker.stopped_since = (worker.stopped_since or now) if stopped else None
            except psutil.NoSuchProcess:
                continue
        for pid, worker in list(self._workers.items()):
            if pid in alive and alive[pid] == worker.process and _runs(worker.process):
                continue
            if _is_worker(worker.title):
                worker.gone_since = worker.gone_since or now
            else:
                del self._workers[pid]

    def _hang(self, now: float) -> str | None:
        seconds = sum(worker.seconds for worker in self._workers.values())  # the driver's, too: it starts them
        # on a crowded machine a worker that waits for its turn looks idle, too: what counts is its share of a core
        crowd = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        idle = IDLE_CORES / crowd * (now - self._busy_at)
        if seconds - self._busy_seconds > idle or seconds < self._busy_seconds:
            self._busy_at, self._busy_seconds = now, seconds
        if self.hang_seconds and not self.cluster and now - self._busy_at > self.hang_seconds:
            titles = sorted({worker.title for worker in self._workers.values() if _is_worker(worker.title)})
            return f"no worker has done anything for {self.hang_seconds:.0f} s ({', '.join(titles) or 'none started'})"
        return None

    def _silence(self, now: float) -> str | None:
        size = sum(path.stat().st_size for path in self.grows if path.exists())
        if size != self._size:
            self._longest = max(self._longest, now - self._grown_at)
            self._size, self._grown_at = size, now
        limit = max(SILENT * self.hang_seconds, PATIENCE * self._longest)
        if self.hang_seconds and self.grows and now - self._grown_at > limit:
            names = " and ".join(path.name for path in self.grows)
            return f"the run hangs: {names} have not grown for {limit:.0f} s (HANG_SECONDS sets an eighth of it)"
        return None


def _name(worker: _Worker) -> str:
    return f"{worker.title} (process {worker.process.pid})"


def _died(worker: _Worker) -> str:
    return f"the worker {_name(worker)} died: it crashed or was killed, perhaps for want of memory"


def _title(process: psutil.Process) -> str:
    """What a process calls itself; a fork that still bears its parent's title is no worker, but a helper of one."""
    title, parent = _words(process), process.parent()
    # a process about to run another program shows its name alone, which the kernel cuts at 15 characters
    is_fork = parent is not None and "::" in title and _words(parent).startswith(title)
    return f"fork of {title}" if is_fork else title


def _words(process: psutil.Process) -> str:
    words = process.cmdline()
    return words[0].split(".", 1)[0] if words and "::" in words[0] else process.name()


def _is_worker(title: str) -> bool:
    """Ray names its workers ray::CLASS, vLLM its own VLLM::ROLE; the two daemons hold the cluster together."""
    return title in ("raylet", "gcs_server") or (
        title.startswith(("ray::", "VLLM::")) and not title.startswith(DAEMONS)
    )


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
