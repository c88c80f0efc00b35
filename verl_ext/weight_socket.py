"""New weights reach the vLLM of their own run.

verl hands them over through a socket in /tmp whose name is made of Ray's job and the rank, and removes one that is
there already. Two runs on one machine, each with a Ray of its own, both have job 1: one would sample with the other's
weights. Here the socket lies in the folder of temporary files, and that is another for every run.
"""

import tempfile
from collections.abc import Callable
from types import ModuleType
from typing import Any

import wrapt

SHARED = "ipc:///tmp/"


def of_this_run(transfer: ModuleType) -> None:
    """Make both ends, verl's sender and vLLM's receiver, look for the socket there."""

    def moved(init: Callable[..., None], end: Any, args: tuple, kwargs: dict) -> None:
        init(*args, **kwargs)
        if end.zmq_handle.startswith(SHARED):
            end.zmq_handle = f"ipc://{tempfile.gettempdir()}/" + end.zmq_handle.removeprefix(SHARED)

    for name in ("BucketedWeightSender", "BucketedWeightReceiver"):
        wrapt.wrap_function_wrapper(transfer, f"{name}.__init__", moved)
