"""Work on batches with more than one core: processes beside this one take the batches that it has no time for.

    for found in helpers.each(batches, work, helpers.wanted(path)): ...   # work(batch) of every batch, in their order

Python runs on one core at a time, so threads would not help. A batch goes to a helper, and its result comes back, in
memory that both can map: nothing is written to a disk, and nothing is left of it when the processes end, however.
"""

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import pyarrow as pa

from common.commands import UserError
from common.processes import die_with_parent

Work = Callable[[pa.RecordBatch], pa.RecordBatch]

MOST = 3  # more than these would wait for the file to be unpacked
WORTH = 32 << 20  # bytes of a compressed file below which starting a process takes longer than it saves
AHEAD = 2  # batches that lie ready for each helper, so that none runs out of work


def wanted(path: Path) -> int:
    """How many helpers a file is worth on this machine."""
    able = hasattr(os, "memfd_create") and path.exists() and path.stat().st_size >= WORTH
    return min(MOST, len(os.sched_getaffinity(0)) - 1) if able else 0


def each(batches: Iterable[pa.RecordBatch], work: Work, helpers: int) -> Iterator[pa.RecordBatch]:
    """The result of every batch, in their order; `work` can be pickled. Helpers start now, not with the first batch."""
    if not helpers:
        return map(work, batches)
    pool = ProcessPoolExecutor(helpers, get_context("spawn"), _begin)
    for _ in range(helpers):
        pool.submit(callable, work)  # to read it, a helper imports what it needs
    return _each(batches, work, helpers, pool)


def _each(
    batches: Iterable[pa.RecordBatch], work: Work, helpers: int, pool: ProcessPoolExecutor
) -> Iterator[pa.RecordBatch]:
    results: deque[pa.RecordBatch | _Handed] = deque()
    try:
        for batch in batches:
            waiting = sum(not _is_ready(result) for result in results)
            results.append(_Handed(pool, work, batch) if waiting < AHEAD * helpers else work(batch))
            while results and _is_ready(results[0]):
                yield _received(results.popleft())
        while results:
            yield _received(results.popleft())
    except BrokenProcessPool as error:
        raise UserError(
            "a process that helped was killed, perhaps for want of memory; run the command again"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
        for result in results:
            if isinstance(result, _Handed):
                result.close()


class _Handed:
    """A batch that a helper works on."""

    def __init__(self, pool: ProcessPoolExecutor, work: Work, batch: pa.RecordBatch) -> None:
        self.given, self.found = (os.memfd_create(name) for name in ("batch", "result"))
        _write(batch, self.given)
        paths = [f"/proc/{os.getpid()}/fd/{file}" for file in (self.given, self.found)]
        self.done: Future[None] = pool.submit(_answer, work, *paths)

    def result(self) -> pa.RecordBatch:
        try:
            self.done.result()
            with pa.OSFile(f"/proc/self/fd/{self.found}") as copied:  # a map would keep the file open
                return _read(copied)
        finally:
            self.close()

    def close(self) -> None:
        os.close(self.given)
        os.close(self.found)


def _is_ready(result: "pa.RecordBatch | _Handed") -> bool:
    return not isinstance(result, _Handed) or result.done.done()


def _received(result: "pa.RecordBatch | _Handed") -> pa.RecordBatch:
    return result.result() if isinstance(result, _Handed) else result


def _answer(work: Work, given: str, found: str) -> None:
    """In a helper: from one file in memory to the other."""
    with open(found, "wb") as file, pa.memory_map(given) as mapped:
        _write(work(_read(mapped)), file.fileno())


def _write(batch: pa.RecordBatch, file: int) -> None:
    with open(file, "wb", closefd=False) as sink, pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)


def _read(file: pa.NativeFile) -> pa.RecordBatch:
    return pa.ipc.open_stream(file).read_next_batch()


def _begin() -> None:
    """In a helper: Ctrl-C is for the process that it helps, and nothing outlives that one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
