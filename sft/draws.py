"""One draw of traces: a request for each case, answered by vLLM (Ray Data over a pool of engines) or by a server.

    cases = draws.cases(wanted)
    failed = draws.fill(folder, cases, wanted, draws.settings(wanted, 0), command)   # "" or what to do about it

The folder is one of eval.generate, with its parts, its lock and its resuming: a trace is whole or not there.
"""

import hashlib
from argparse import Namespace
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from commands import UserError, sha256
from data_prep import schema
from eval import endpoint, generate, parts
from eval.settings import FIXED, SAMPLING
from sft import requests
from sft.examples import TASKS

if TYPE_CHECKING:
    from sft.traces import Settings

PART_OF_A_SERVER = 16  # traces


def cases(wanted: "Settings") -> pa.Table:
    """The columns of a generation with the request as prompt, and what the user of the case says."""
    table = schema.read(wanted.data).slice(0, wanted.limit)
    sources = set(table["data_source"].to_pylist())
    if {TASKS.get(source) for source in sources} != {wanted.task}:
        raise UserError(f"{wanted.data} holds {', '.join(sorted(sources)) or 'no rows'}, and the task is {wanted.task}")
    golds, prompts = schema.golds(table), table["prompt"].to_pylist()
    facts = requests.Facts(wanted.symptoms, wanted.guidelines) if wanted.task == "icd" else lambda gold: ""
    asked = [
        requests.chat(wanted.task, wanted.style, prompt, gold, facts(gold))
        for prompt, gold in zip(prompts, golds, strict=True)
    ]
    named = {name: pa.array(schema.infos(table, name), pa.int64()) for name in ("index", "hadm_id", "subject_id")}
    cases = pa.table(
        named
        | {
            "data_source": table["data_source"],
            "ground_truth": golds,
            "case": [requests.case(prompt) for prompt in prompts],
            "prompt": pa.array(asked, schema.MESSAGES),
        }
    )
    if len(cases["index"].unique()) < cases.num_rows:
        raise UserError(f"{wanted.data} has rows with the same extra_info.index; prepare the data again")
    return cases.combine_chunks()


def settings(wanted: "Settings", draw: int) -> dict[str, Any]:
    """What must not differ within the folder of a draw, in the form of eval.generate."""
    texts = requests.hashes(wanted.task, wanted.style)
    texts |= {name: sha256(path) for name in ("symptoms", "guidelines") if (path := getattr(wanted, name))}
    asked = hashlib.sha256(f"{sha256(wanted.data)} {sorted(texts.items())}".encode()).hexdigest()
    source = _source(wanted)
    return {
        "model": source.model,
        "data": {"name": wanted.data, "sha256": asked, "limit": wanted.limit},  # of the data and the request's texts
        "sampling": source.known({name: getattr(wanted, name) for name in SAMPLING} | FIXED),
        "seed": wanted.seed + draw,
        "prefill": "",
        "dtype": source.dtype,
    }


def fill(folder: Path, cases: pa.Table, wanted: "Settings", made: dict[str, Any], command: str) -> str:
    """Generate what the folder of a draw lacks; what to say of requests that failed, or ""."""
    folder.mkdir(parents=True, exist_ok=True)
    with parts.writing(folder):
        described = generate._run_json(folder, made, cases.num_rows, command)
        missing = generate._missing(cases, parts.done(folder, made)).drop_columns(["case"])
        source = _source(wanted)
        if missing.num_rows:
            described["finished"] = False
            parts.write_run(folder, described)
            generate._generate(missing, made, source, described, folder)
        if failed := getattr(source, "failed", []):
            return (
                f"{len(failed)} of {missing.num_rows} requests to {wanted.endpoint} failed (the first: {failed[0]}); "
                "what was answered is kept, and the same command asks again for the rest"
            )
        if not described["finished"]:
            parts.write_run(folder, described | {"finished": True, "ended": generate._now()})
    return ""


def _source(wanted: "Settings") -> Any:
    args = Namespace(**asdict(wanted), context=None, price=None, prefill="")
    return _Server(args) if wanted.endpoint else generate._Engines(args)


class _Server(generate._Server):
    """A server that may fail for some cases: they are left for the next run, and counted."""

    def __init__(self, args: Namespace) -> None:
        super().__init__(args)
        self.failed: list[str] = []

    def complete(self, cases: pa.Table, settings: dict[str, Any]) -> Generator[pa.Table, None, None]:
        answered: list[tuple[pa.Table, list]] = []
        with ThreadPoolExecutor(self.args.concurrency) as workers:
            asked = {}
            for at, row in enumerate(cases.select(["index", "prompt"]).to_pylist()):
                one = workers.submit(
                    self.server._ask, row["index"], row["prompt"], settings["sampling"], settings["seed"]
                )
                asked[one] = cases.slice(at, 1)
            for one in as_completed(asked):
                try:
                    answered.append((asked[one], one.result()))
                except UserError as error:
                    self.failed.append(str(error))
                if len(answered) == PART_OF_A_SERVER:
                    yield _part(answered)
                    answered = []
        if answered:
            yield _part(answered)


def _part(answered: list[tuple[pa.Table, list]]) -> pa.Table:
    rows, samples = zip(*answered, strict=True)
    return endpoint._answered(pa.concat_tables(rows), list(samples))
