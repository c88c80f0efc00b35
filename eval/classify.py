"""Let a classifier answer, and write a folder as eval.generate does, for eval.score.

    python -m eval.classify --data data/drg/test.parquet --model runs/drg_sapphire/sft/drg_llama --out runs/eval/llama

The model is one that sft.classify trained. A case has one completion, the most probable class, or of sets the codes
whose probability is at least the one that did best on the dev cases of the training; beside it stand the probabilities
of the classes. Started again, it adds only what is missing.
"""

from pathlib import Path

from common.commands import UserError, parser, run
from common.files import sha256
from common.record import command_line
from data_prep import parquet
from eval.generation import filling
from eval.generation.classifier import Classifier, task_of


def main(argv: list[str] | None = None) -> None:
    p = parser(__doc__)
    p.add_argument("--data", required=True, help="RL parquet with the cases")
    p.add_argument("--model", required=True, help="folder that sft.classify left")
    p.add_argument("--out", type=Path, required=True, help="folder to write to")
    p.add_argument("--batch", type=int, default=16, help="notes that are read at once (default 16)")
    args = p.parse_args(argv)
    if args.batch < 1:
        raise UserError("--batch must be at least 1")
    table = parquet.read(args.data)
    task, source = task_of(table, args.data), Classifier(args.model, args.batch)
    if source.about["task"] != task.key:
        raise UserError(f"{args.model} is a classifier for {source.about['task']}, and {args.data} holds {task.key}")
    about = {"name": args.data, "sha256": sha256(args.data), "limit": None}
    made = filling.settings(source, about, {"n": 1, "temperature": 0.0, "top_p": 1.0, "max_tokens": 0}, seed=0)
    filled = filling.fill(args.out, filling.cases(table, args.data), made, source, command_line("eval.classify", argv))
    cut = filled.run.get("usage", {}).get("notes_cut", 0)
    print(f"{args.out}: {table.num_rows} cases, {cut} notes cut to {source.about['note_tokens']} tokens")


if __name__ == "__main__":
    run(main)
