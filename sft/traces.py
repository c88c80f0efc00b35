"""Reasoning traces with vLLM, from one YAML: the case and its answer go in, a reasoning that reaches it comes out.

    python -m sft.traces --config recipes/drg_sapphire/traces/cold.yaml
    python -m sft.traces --config recipes/deepicd_r1/traces/oracle.yaml --draws 3 --model runs/deepicd_r1/zero/hf_model

Keys are those of `sft.tracing.settings`; `--key value` overrides one. Writes OUT/draws/N (generations, as eval.generate
does), OUT/traces.parquet (accepted and rejected ones), OUT/quality.json, quality.parquet (why each draw was rejected)
and quality.svg. Started again it fills in what is missing; more `draws` ask again for what was rejected. It ends with
status 2 when no trace was accepted.
"""

from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from common.commands import UserError, run
from common.files import whole_file
from common.record import command_line
from data_prep import parquet
from sft.tracing import draws
from sft.tracing import report as trace_report
from sft.tracing.settings import parse
from sft.tracing.verdicts import Verdicts


def main(argv: list[str] | None = None) -> None:
    wanted = parse(argv, __doc__)
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
    parquet.write(verdicts.traces(), out / "traces.parquet", parquet.TRACES)
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


if __name__ == "__main__":
    run(main)
