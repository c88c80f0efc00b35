"""One draw of traces: a request for each case, answered by vLLM (Ray Data over a pool of engines) or by a server.

    cases = draws.cases(wanted)
    source = draws.source(wanted)
    made = draws.settings(wanted, 0, source)
    failed = draws.fill(folder, cases, made, source, command)   # "" or what to do about it

The folder is one of eval.generate, with its parts, its lock and its resuming: a trace is whole or not there.
"""

import hashlib
from pathlib import Path

import pyarrow as pa

from common.commands import UserError
from common.files import sha256
from data_prep import parquet
from eval.generation import filling
from eval.generation.endpoint import Endpoint
from eval.generation.settings import SAMPLING
from eval.generation.sources import Engines, Source
from reward_fns.task import TASKS
from sft.tracing import requests
from sft.tracing.settings import Settings


def cases(wanted: Settings) -> pa.Table:
    """The columns of a generation with the request as prompt, and what the user of the case says."""
    table = parquet.read(wanted.data).slice(0, wanted.limit)
    sources = set(table["data_source"].to_pylist())
    task = TASKS[wanted.task]
    if sources != {task.source}:
        raise UserError(f"{wanted.data} holds {', '.join(sorted(sources)) or 'no rows'}, and the task is {wanted.task}")
    found = filling.cases(table, wanted.data)
    facts = requests.facts(task, wanted.symptoms, wanted.guidelines)
    rows = list(zip(found["ground_truth"].to_pylist(), found["prompt"].to_pylist(), strict=True))
    asked = [requests.chat(task, wanted.style, prompt, gold, facts(gold)) for gold, prompt in rows]
    found = found.append_column("case", pa.array([requests.case(prompt) for _, prompt in rows]))
    return found.drop_columns(["prompt"]).append_column("prompt", pa.array(asked, parquet.MESSAGES))


def source(wanted: Settings) -> Source:
    """What answers the requests of one draw."""
    if wanted.endpoint:
        return Endpoint(wanted, tolerant=True)
    return Engines(wanted.model, wanted.dtype, wanted.ray_address, wanted.tensor_parallel)


def settings(wanted: Settings, draw: int, source: Source) -> filling.Settings:
    """What must not differ within the folder of a draw."""
    texts = requests.hashes(TASKS[wanted.task], wanted.style)
    texts |= {name: sha256(path) for name in ("symptoms", "guidelines") if (path := getattr(wanted, name))}
    asked = hashlib.sha256(f"{sha256(wanted.data)} {sorted(texts.items())}".encode()).hexdigest()
    data = {"name": wanted.data, "sha256": asked, "limit": wanted.limit}  # of the data and the request's texts
    sampling = {name: getattr(wanted, name) for name in SAMPLING}
    return filling.settings(source, data, sampling, wanted.seed + draw)


def fill(folder: Path, cases: pa.Table, made: filling.Settings, source: Source, command: str) -> str:
    """Generate what the folder of a draw lacks; what to say of requests that failed, or ""."""
    filled = filling.fill(folder, cases.drop_columns(["case"]), made, source, command)
    if not filled.failed:
        return ""
    return (
        f"{len(filled.failed)} of {filled.missing} requests to {made['model']['endpoint']} failed (the first: "
        f"{filled.failed[0]}); what was answered is kept, and the same command asks again for the rest"
    )
