"""Some of the cases for SFT, nested by their number, or the form of an answer without what to answer.

    python -m benchmarks.studies.cases --data data/drg/sft/full_75.parquet --cases 500 --out cases.parquet

The first N of one order, so that a smaller number is part of a larger one. With --form every case is given the trace
of another one: what a model learns from that is how an answer is written and no label, as a model that follows
instructions and knows no code.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from common.commands import UserError, existing, parser, run
from common.files import whole_file
from data_prep import parquet
from reward_fns.task import TASKS
from sft.training.examples import by_case


def main(argv: list[str] | None = None) -> None:
    p = parser(__doc__)
    p.add_argument("--data", type=Path, required=True, help="parquet of cases")
    p.add_argument("--cases", type=int, required=True, help="how many of them")
    p.add_argument("--out", type=Path, required=True, help="parquet to write")
    p.add_argument("--form", action="store_true", help="answer each with the trace of another one")
    p.add_argument("--traces", type=Path, help="with --form: traces.parquet of data_prep.synthesize")
    p.add_argument("--style", default="cot_first", help="of the traces (default cot_first)")
    args = p.parse_args(argv)
    table = parquet.read(existing(args.data, "the table of cases", "run `python -m data_prep.drg` or `data_prep.icd`"))
    if not 1 <= args.cases <= table.num_rows:
        raise UserError(f"--cases {args.cases} is not between 1 and the {table.num_rows} of {args.data}")
    rows = np.random.RandomState(0).permutation(table.num_rows)[: args.cases]
    chosen = table.take(np.sort(rows))
    if args.form:
        chosen = _shifted(chosen, existing(args.traces or "", "--traces", "--form needs it"), args.style)
    with whole_file(args.out) as made:
        pq.write_table(chosen, made)


def _shifted(table: pa.Table, traces: Path, style: str) -> pa.Table:
    """Prompts with the completions of cases half the table away."""
    known = by_case(str(traces), style, only_accepted=False)
    found = [known[key] for key in zip(parquet.infos(table, "hadm_id"), parquet.golds(table), strict=True)]
    texts = [TASKS[trace["task"]].completion(trace["reasoning"], trace["answer"]) for trace in found]
    half = len(texts) // 2
    answers = [[{"role": "assistant", "content": text}] for text in texts[half:] + texts[:half]]
    return pa.table({"prompt": table["prompt"], "completion": pa.array(answers, parquet.MESSAGES)})


if __name__ == "__main__":
    run(main)
