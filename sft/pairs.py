"""Pairs for DPO from hard cases: chosen, a reasoning written with the gold given; rejected, the model's own wrong one.

    python -m sft.pairs --cases hard.parquet --traces traces.parquet --generations runs/hard --out pairs.parquet

--traces is what sft.traces wrote for these cases (accepted ones count), --generations what eval.generate sampled from
the stage's checkpoint. The first completion that is wrong and came to its end is the rejected one. A case without a
trace or without a wrong completion gives no pair, and is counted.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from common.commands import UserError, parser, run
from common.files import whole_file
from data_prep import parquet
from eval.generation import parts
from reward_fns.task import TASKS
from sft.training.examples import by_case, styles

CHATS = ("prompt", "chosen", "rejected")
SCHEMA = pa.schema([("hadm_id", pa.int64()), *((name, parquet.MESSAGES) for name in CHATS)])
Key = tuple[int, str]


def main(argv: list[str] | None = None) -> None:
    p = parser(__doc__)
    p.add_argument("--cases", required=True, help="RL parquet of the hard cases")
    p.add_argument("--traces", required=True, help="traces.parquet of sft.traces for them")
    p.add_argument("--generations", type=Path, required=True, help="folder of eval.generate for them")
    p.add_argument("--out", required=True, help="parquet to write")
    p.add_argument("--style", default="cot_first", choices=styles()[:-1], help="of the traces (default cot_first)")
    p.add_argument("--prefill", default="", help="text that every sampled answer started with")
    args = p.parse_args(argv)
    table = parquet.read(args.cases)
    chosen = {
        key: TASKS[row["task"]].completion(row["reasoning"], row["answer"])
        for key, row in by_case(args.traces, args.style).items()
    }
    rejected = wrong(args.generations, args.prefill)
    keys = list(zip(parquet.infos(table, "hadm_id"), parquet.golds(table), strict=True))
    rows = [
        {"hadm_id": key[0], "prompt": prompt, "chosen": _said(chosen[key]), "rejected": _said(rejected[key])}
        for key, prompt in zip(keys, table["prompt"].to_pylist(), strict=True)
        if key in chosen and key in rejected
    ]
    sides = {"trace": chosen, "wrong completion": rejected}
    said = ", ".join(f"{sum(key not in side for key in keys)} without a {what}" for what, side in sides.items())
    if not rows:
        raise UserError(
            f"no pair from the {table.num_rows} cases of {args.cases} ({said}); sample more completions a case, or "
            "write traces for these cases"
        )
    with whole_file(args.out) as made:
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), made, compression="zstd")
    print(f"{args.out}: {len(rows)} pairs from {table.num_rows} cases ({said})")


def wrong(folder: Path, prefill: str = "") -> dict[Key, str]:
    """The first wrong completion of every case that was sampled, whole: a cut one has no end to learn."""
    settings = parts.read_run(folder)["settings"]
    found: dict[Key, str] = {}
    for _, part in parts.read(folder, settings):
        for row in part.to_pylist():
            gold, right = row["ground_truth"], TASKS.of_source(row["data_source"], folder).scorer()
            for text, reason in zip(row["completions"], row["finish_reason"], strict=True):
                if reason == "stop" and not right(prefill + text, gold)["acc"]:
                    found.setdefault((row["hadm_id"], gold), prefill + text)
    return found


def _said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


if __name__ == "__main__":
    run(main)
