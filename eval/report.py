"""One page for evaluations and training runs: what came out, how sure it is, what the papers say, and the cases.

    python -m eval.report --runs before=runs/before after=runs/after runs/grpo --out report

A run is a folder that eval.score or eval.prm has scored, one of eval.best_of, or a training run folder (metrics.jsonl),
each with an optional NAME=. An evaluation stands beside the row of the papers that its model's recipe trains, or that
NAME says (table2/90/best). Writes OUT/index.html, which opens from disk without a network, with --figures also
OUT/figures/*.png and *.pdf, and prints the main tables. Notes and completions are in the page only with --embed-notes.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from common.commands import UserError, existing, parser, run
from common.files import whole_file
from common.record import command_line
from eval import best_of
from eval.page import verifications as of_notes
from eval.page import views
from eval.page.cases import pack
from eval.page.curves import CURVES, Training, number, read_training, thinned
from eval.page.runs import Evaluation, Scored, by_task, paired, read_evaluation
from eval.page.verifications import Verification
from eval.prm import table
from eval.score import text
from eval.scoring.samples import named

SHOWN = ("reward", "length", "kl", "agreement")  # of the training curves, in the terminal
WARNING = (
    "warning: {} holds the notes and completions of {:,} cases; if they are MIMIC-IV's, its data use agreement covers "
    "that file: share it only with people who have access, and send it to no outside service"
)


def main(argv: list[str] | None = None) -> None:
    p = parser(__doc__)
    p.add_argument("--runs", nargs="+", required=True, metavar="[NAME=]DIR", help="scored folders and training runs")
    p.add_argument("--out", required=True, help="folder for index.html")
    p.add_argument("--data", help="prepared data to describe, and where notes are if not where the runs found them")
    p.add_argument(
        "--embed-notes", action="store_true", help="put notes and completions into the page (see the warning)"
    )
    p.add_argument("--cases", type=int, default=5000, help="most cases in the case browser (default 5000)")
    p.add_argument("--figures", action="store_true", help="also write every figure as PNG and PDF")
    args = p.parse_args(argv)
    if args.cases < 0:
        raise UserError("--cases must be 0 (no case browser) or more")
    out = Path(args.out)
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; choose a folder")
    data = existing(args.data, "the data", "check --data") if args.data else None
    evaluations, trainings, verifications, choices = _read(args.runs)
    if args.embed_notes and not ((evaluations or verifications) and args.cases):
        raise UserError("--embed-notes needs a scored folder among --runs and --cases of at least 1")
    differences = paired(evaluations)
    cases = pack(evaluations, args.cases, args.embed_notes, data) if args.cases else []
    notes = [of_notes.graded_notes(each, args.cases, args.embed_notes, data) for each in verifications if args.cases]
    verified = [f"{each.name}: {table(each.scores)}" for each in verifications]
    chosen = [f"{name}: {best_of.table(scores)}" for name, scores in choices.items()]
    print("\n".join(filter(None, [tables(evaluations, differences, trainings), *verified, *chosen])))
    from eval.page.render import render

    figures = views.figures(evaluations, trainings) | {"verification": of_notes.figures(verifications)}
    numbered = enumerate(choices.items(), 1)  # a name may hold a slash, and the key names files
    figures["choice"] = [best_of.figure(of, f"best_of-{i}", f"{name}: best of N notes") for i, (name, of) in numbered]
    described = views.described(data if evaluations or trainings else None)  # of notes, --data says where they are
    shown = {"data": described, "command": command_line("eval.report", argv), "embedded": args.embed_notes}
    shown |= {"trainings": trainings, "figures": figures, "files": args.figures}
    shown |= {"verifications": verifications, "notes": notes}
    page = render(evaluations, differences, cases, **shown)
    if args.figures:
        for figure in (*chain(*figures.values()), *(labels for *_, labels in described)):
            figure.save(out / "figures")
    path = out / "index.html"
    with whole_file(path) as made:
        made.write_text(page, encoding="utf-8")
    print(f"\n{path}")
    if args.embed_notes:
        count = sum(len(one["cases"]) for one in (*(group.data for group in cases), *notes))
        print(WARNING.format(path, count), file=sys.stderr)


def _read(
    arguments: Sequence[str],
) -> tuple[list[Evaluation], list[Training], list[Verification], dict[str, dict[str, Any]]]:
    """The evaluations, the training runs, the verifications and the choices among notes, under names that differ."""
    folders = [named(argument) for argument in arguments]
    times = Counter(name for name, _ in folders)
    evaluations, trainings, verifications, choices = [], [], [], {}
    for name, folder in folders:
        name = name if times[name] == 1 else str(folder)
        if (folder / "metrics.jsonl").is_file() and not (folder / "scores.json").exists():
            trainings.append(read_training(name, folder))
        elif (folder / best_of.NAME).is_file():
            choices[name] = best_of.read_scores(folder)
        elif of_notes.is_verification(folder):
            verifications.append(of_notes.read_verification(name, folder))
        else:
            evaluations.append(read_evaluation(name, folder))
    return evaluations, trainings, verifications, choices


def tables(evaluations: Sequence[Evaluation], differences: Sequence[Scored], trainings: Sequence[Training]) -> str:
    """The main tables for the terminal."""
    lines = []
    for task, found in by_task(evaluations).items():
        rows = [*found, *by_task(differences).get(task, [])]
        wide = max(len(each.name) for each in rows) + 4
        columns = views.columns(found)
        heads = "".join(f"{head:22}" for head in next(iter(columns.values())).values())
        lines += ["" if lines else None, f"{'percent':{wide}}{heads}".rstrip()]
        for title in columns:
            lines.append(title)
            for each in rows:
                sign = "" if isinstance(each, Evaluation) else "+"
                cells = "".join(f"{text(cell, sign):22}" for cell in each.cells()[title])
                lines.append(f"  {each.name:{wide - 2}}{cells}".rstrip())
    for training in trainings:
        keys = [key for key in SHOWN if training.curves[key]] or [key for key in CURVES if training.curves[key]]
        lines += ["" if lines else None, f"{training.name}: {len(training.steps)} steps"]
        lines.append(f"{'step':>6}{''.join(f'{key:>11}' for key in keys)}")
        for step in thinned(training):
            cells = "".join(f"{number(training.curves[key].get(step), CURVES[key].digits):>11}" for key in keys)
            lines.append(f"{step:6}{cells}")
    return "\n".join(line for line in lines if line is not None)


if __name__ == "__main__":
    run(main)
