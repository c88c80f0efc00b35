"""One engine in a process of its own: on a machine without GPUs, Ray's processes would take a tenth of its cores.

for block in complete(blocks, "models/mine", settings): ...     # eval.generation.engines says what a block is
"""

import multiprocessing
import os
import signal
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing.connection import Connection
from typing import Any

import pyarrow as pa

from common.commands import UserError
from common.processes import die_with_parent, scratch_folder
from eval.generation import engines
from eval.generation.ray_session import stop


def complete(blocks: Sequence[pa.Table], model: str, settings: dict[str, Any]) -> Iterator[pa.Table]:
    """Give each block back with the completions of a local model folder, as soon as it is done."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe(duplex=False)
    before = signal.signal(signal.SIGTERM, stop)
    with scratch_folder() as folder:
        words = (theirs, folder, engines.Engine, list(blocks), model, settings)
        child = spawn.Process(target=_serve, args=words, daemon=True)
        child.start()
        theirs.close()
        try:
            for _ in blocks:
                answer = ours.recv()
                if isinstance(answer, Exception):
                    raise answer
                yield answer
        except (EOFError, OSError) as error:  # between two messages, or within one
            raise UserError(f"vLLM ended on {model}, perhaps for want of memory; {engines.TOLD}") from error
        finally:
            child.kill()
            child.join()
            signal.signal(signal.SIGTERM, before)


def _serve(
    out: Connection,
    folder: str,
    kind: type[engines.Engine],
    blocks: list[pa.Table],
    model: str,
    settings: dict[str, Any],
) -> None:
    """The child: answers go out as they are done, an error in the place of one."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to both, and the parent decides
    os.environ |= {"TMPDIR": folder, "GLOO_SOCKET_IFNAME": "lo"}  # what vLLM leaves behind goes with it; nobody listens
    sequences = engines.SEQUENCES_ON_CPU
    try:
        engine = kind(model, settings, sequences, gpus=1, cpu_threads=engines.threads())
        pool = ThreadPoolExecutor(engines.calls(blocks, sequences, settings))
        for done in as_completed([pool.submit(engine, block) for block in blocks]):
            out.send(done.result())
    except UserError as error:
        out.send(error)
    except BaseException as error:
        traceback.print_exception(error)  # for generate.log
        out.send(UserError(engines.sentence(error, model)))
    finally:
        os._exit(0)  # without waiting for calls whose engine is lost
