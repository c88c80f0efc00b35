"""Work on batches with more than one core: processes beside this one take the batches that it has no time for.

    for found in helpers.each(batches, work, helpers.wanted(path)): ...   # work(batch) of every batch, in their order

Python runs on one core at a time, so threads would not help.
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
    return min(MOST, len(os.sched_getaffinity(0)) - 1) if path.exists() and path.stat().st_size >= WORTH else 0


def each(batches: Iterable[pa.RecordBatch], work: Work, helpers: int) -> Iterator[pa.RecordBatch]:
    """The result of every batch, in their order; `work` can be pickled."""
    if not helpers:
        yield from map(work, batches)
        return
    results: deque[Future[pa.RecordBatch]] = deque()
    pool = ProcessPoolExecutor(helpers, get_context("spawn"), _begin)
    try:
        for batch in batches:
            waiting = sum(not result.done() for result in results)
            results.append(pool.submit(work, batch) if waiting < AHEAD * helpers else _done(work(batch)))
            while results and results[0].done():
                yield results.popleft().result()
        while results:
            yield results.popleft().result()
    except BrokenProcessPool as error:
        raise UserError(
            "a process that helped was killed, perhaps for want of memory; run the command again"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _done(result: pa.RecordBatch) -> Future[pa.RecordBatch]:
    future: Future[pa.RecordBatch] = Future()
    future.set_result(result)
    return future


def _begin() -> None:
    """In a helper: Ctrl-C is for the process that it helps, and nothing outlives that one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
