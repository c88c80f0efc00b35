"""One page for evaluations and training runs: what came out, how sure it is, how training went, what made it.

    python -m eval.report --runs before=runs/before after=runs/after runs/grpo --out report

A run is a folder that eval.score has scored or a training run folder (metrics.jsonl), each with an optional NAME=.
Writes OUT/index.html, which needs no network and holds no text of notes or completions, and prints its main tables.
"""

from pathlib import Path

from commands import parser, run, whole_file
from eval.runs import CURVES, Difference, Evaluation, Training, number, paired, read, text, thinned
from eval.samples import LEVELS
from eval.score import TITLES


def main(argv: list[str] | None = None) -> None:
    p = parser(__doc__, "python -m eval.report --runs before=runs/before after=runs/after runs/grpo --out report")
    p.add_argument("--runs", nargs="+", required=True, metavar="[NAME=]DIR", help="scored folders and training runs")
    p.add_argument("--out", required=True, help="folder for index.html")
    args = p.parse_args(argv)
    evaluations, trainings = read(args.runs)
    differences = paired(evaluations)
    print(tables(evaluations, differences, trainings))
    from eval.report_page import page

    path = Path(args.out) / "index.html"
    with whole_file(path) as made:
        made.write_text(page(evaluations, differences, trainings), encoding="utf-8")
    print(f"\n{path}")


def tables(evaluations: list[Evaluation], differences: list[Difference], trainings: list[Training]) -> str:
    """The main tables for the terminal."""
    lines = []
    if evaluations:
        sizes = {each.samples.n for each in evaluations}
        n = sizes.pop() if len(sizes) == 1 else "n"
        wide = max(len(each.name) for each in (*evaluations, *differences)) + 4
        lines += [f"{'percent':{wide}}{'Pass@1':22}{f'Pass@{n}':22}{f'Maj@{n}':22}".rstrip()]
        for level in LEVELS:
            lines.append(TITLES[level])
            for each in (*evaluations, *differences):
                sign = "+" if isinstance(each, Difference) else ""
                cells = "".join(f"{text(cell, sign):22}" for cell in each.cells(level))
                lines.append(f"  {each.name:{wide - 2}}{cells}".rstrip())
    for training in trainings:
        lines += ["" if lines else None, f"{training.name}: {len(training.steps)} steps"]
        lines.append(f"{'step':>6}{'reward':>10}{'length':>10}{'KL':>10}{'agreement':>11}")
        for step, row in thinned(training):
            cells = [number(row[key], digits) for key, (_, _, digits) in CURVES.items()]
            lines.append(f"{step:6}{cells[0]:>10}{cells[1]:>10}{cells[2]:>10}{cells[3]:>11}")
    return "\n".join(line for line in lines if line is not None)


if __name__ == "__main__":
    run(main)
