"""One draw of traces: a request for each case, answered by vLLM (Ray Data over a pool of engines) or by a server.

    cases = draws.cases(wanted)
    source = draws.source(wanted)
    made = draws.settings(wanted, 0, source)
    failed = draws.fill(folder, cases, made, source, command)   # "" or what to do about it

The folder is one of eval.generate, with its parts, its lock and its resuming: a trace is whole or not there.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from common.commands import UserError
from common.files import sha256
from data_prep import parquet
from eval.generation import filling
from eval.generation.endpoint import Endpoint
from eval.generation.settings import SAMPLING
from eval.generation.sources import Engines, Source
from sft.tracing import requests
from sft.training.examples import TASKS

if TYPE_CHECKING:
    from sft.traces import Settings


def cases(wanted: "Settings") -> pa.Table:
    """The columns of a generation with the request as prompt, and what the user of the case says."""
    table = parquet.read(wanted.data).slice(0, wanted.limit)
    sources = set(table["data_source"].to_pylist())
    if {TASKS.get(source) for source in sources} != {wanted.task}:
        raise UserError(f"{wanted.data} holds {', '.join(sorted(sources)) or 'no rows'}, and the task is {wanted.task}")
    golds, prompts = parquet.golds(table), table["prompt"].to_pylist()
    facts = requests.Facts(wanted.symptoms, wanted.guidelines) if wanted.task == "icd" else lambda gold: ""
    asked = [
        requests.chat(wanted.task, wanted.style, prompt, gold, facts(gold))
        for prompt, gold in zip(prompts, golds, strict=True)
    ]
    named = {name: pa.array(parquet.infos(table, name), pa.int64()) for name in ("index", "hadm_id", "subject_id")}
    cases = pa.table(
        named
        | {
            "data_source": table["data_source"],
            "ground_truth": golds,
            "case": [requests.case(prompt) for prompt in prompts],
            "prompt": pa.array(asked, parquet.MESSAGES),
        }
    )
    if len(cases["index"].unique()) < cases.num_rows:
        raise UserError(f"{wanted.data} has rows with the same extra_info.index; prepare the data again")
    return cases.combine_chunks()


def source(wanted: "Settings") -> Source:
    """What answers the requests of one draw."""
    if wanted.endpoint:
        return Endpoint(wanted, tolerant=True)
    return Engines(wanted.model, wanted.dtype, wanted.ray_address)


def settings(wanted: "Settings", draw: int, source: Source) -> filling.Settings:
    """What must not differ within the folder of a draw."""
    texts = requests.hashes(wanted.task, wanted.style)
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
