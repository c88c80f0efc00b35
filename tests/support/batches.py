"""Batches and work on them that other processes can be handed."""

import os
import time

import pyarrow as pa

from common.commands import UserError


def batches(numbers: range) -> list[pa.RecordBatch]:
    return [pa.record_batch([[number], ["x" * 100_000]], ["number", "text"]) for number in numbers]


def who(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The number and the process that was given it."""
    time.sleep(0.02)
    number = batch["number"][0].as_py()
    if number == 13:
        raise UserError("thirteen is no number")
    return pa.record_batch([[number], [os.getpid()], batch["text"]], ["number", "process", "text"])
