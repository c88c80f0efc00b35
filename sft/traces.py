"""Reasoning traces with vLLM, from one YAML: the case and its answer go in, a reasoning that reaches it comes out.

    python -m sft.traces --config recipes/drg_sapphire/traces/cold.yaml
    python -m sft.traces --config recipes/deepicd_r1/traces/oracle.yaml --draws 3 --model runs/deepicd_r1/zero/hf_model

Keys are those of `Settings` below; `--key value` overrides one. Writes OUT/draws/N (generations, as eval.generate
does), OUT/traces.parquet (accepted and rejected ones), OUT/quality.json, quality.parquet (why each draw was rejected)
and quality.svg. Started again it fills in what is missing; more `draws` ask again for what was rejected. It ends with
status 2 when no trace was accepted.
"""

import argparse
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from common.commands import UserError, existing, parser, run
from common.files import whole_file
from common.record import command_line
from data_prep import parquet
from reward_fns.task import TASKS
from sft.tracing import draws
from sft.tracing import report as trace_report
from sft.tracing.verdicts import Verdicts
from sft.training import settings


@dataclass
class Settings:
    """What is asked of whom, and what is accepted."""

    model: str = "???"  # folder or hub name of the model that writes
    data: str = "???"  # RL parquet of data_prep
    out: str = "???"  # folder of the traces
    task: str = "drg"  # drg or icd
    style: str = "cot_first"  # of sft.tracing.requests
    name: str | None = None  # of this configuration; ${name} stands for it
    sample: str | None = None  # which cases; ${sample} stands for it
    n: int = 1  # completions per case and draw; the first good one counts
    draws: int = 1  # how often a case without an accepted trace is asked
    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 2048
    seed: int = 0
    dtype: str = "auto"
    limit: int | None = None  # only the first so many cases
    least_words: int = 10
    most_words: int = 2000
    copied: float = 0.5  # largest share of a reasoning's runs of eight words that may stand in the note
    extra_codes: str | None = None  # ICD codes that today's code set lacks, as in the reward
    symptoms: str | None = None  # CSV (code, description), optional
    guidelines: str | None = None  # file of `python -m data_prep.guidelines`, optional
    ray_address: str | None = None  # use this Ray cluster, not one of our own
    endpoint: str | None = None  # ask this OpenAI-compatible server in place of vLLM; `model` is its name there
    concurrency: int = 32  # requests at once
    retries: int = 10  # how often a request that failed is sent again
    api_key_env: str = "OPENAI_API_KEY"  # environment variable that holds the server's key
    sending_notes_is_allowed: bool = False  # your data agreement lets you send notes to a server elsewhere


def main(argv: list[str] | None = None) -> None:
    wanted = parse(argv)
    out = Path(wanted.out)
    cases = draws.cases(wanted)
    verdicts = Verdicts(wanted)
    failed = ""
    for draw in range(wanted.draws):
        missing = cases.filter(pa.array([index not in verdicts.accepted for index in cases["index"].to_pylist()]))
        if failed or not missing.num_rows:
            break
        folder = out / "draws" / f"{draw:02d}"
        source = draws.source(wanted)
        made = draws.settings(wanted, draw, source)
        failed = draws.fill(folder, missing, made, source, command_line("sft.traces", argv))
        verdicts.read(folder, made, draw, missing)
    parquet.write_traces(verdicts.traces(), out / "traces.parquet")
    with whole_file(out / "quality.parquet") as file:
        pq.write_table(pa.Table.from_pylist(verdicts.rows, schema=trace_report.SCHEMA), file)
    print(trace_report.write(out, verdicts.rows, cases.num_rows, asdict(wanted)))
    if failed:
        raise UserError(failed)
    if not verdicts.accepted:
        raise UserError(
            f"none of the {cases.num_rows} cases of {wanted.data} has an accepted trace; the table above says why, "
            f"and {out}/draws holds what was written"
        )
    print(f"{out / 'traces.parquet'}: {len(verdicts.accepted)} accepted traces of {cases.num_rows} cases")


def parse(argv: list[str] | None) -> Settings:
    """The settings of --config and the flags; bad ones are a sentence."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    p = parser(__doc__, "python -m sft.traces --config recipes/drg_sapphire/traces/cold.yaml --draws 2")
    p.add_argument("--config", type=Path, required=True, help="YAML with the keys below")
    for key in fields(Settings):
        p.add_argument(f"--{key.name}", default=argparse.SUPPRESS, metavar="VALUE")
    chosen = vars(p.parse_args(argv))
    path = chosen.pop("config")
    existing(path, "the configuration", settings.REMEDY)
    known = [key.name for key in fields(Settings)]
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Settings), settings.read(path, known, chosen))
        found: Settings = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        raise UserError(f"{path}: {' '.join(str(error).split())}") from error
    for wrong, sentence in (
        (found.task not in TASKS, f"there is no task {found.task!r}; there is {' and '.join(TASKS)}"),
        (found.draws < 1 or found.n < 1, "draws and n must be at least 1"),
        (found.temperature == 0 and (found.n > 1 or found.draws > 1), "temperature 0 gives one trace; set n, draws 1"),
    ):
        if wrong:
            raise UserError(f"{path}: {sentence}")
    styles = TASKS[found.task].styles
    if found.style not in styles:
        raise UserError(
            f"{path}: there is no trace style {found.style!r} for {found.task}; there is {', '.join(styles)}"
        )
    return found


if __name__ == "__main__":
    run(main)
