"""What goes wrong and where: the kind of every wrong answer, and the cases that no run gets right.

    python -m eval.errors --runs sft=runs/sft grpo=runs/grpo --out errors
    python -m eval.errors --runs runs/grpo --out errors --sheet sheet.csv      # 30 cases for reviewers
    python -m eval.errors --filled sheet_a.csv sheet_b.csv                     # medians of filled sheets

The runs are folders that eval.score has scored, of the same cases. Writes OUT/errors.json (shares of the kinds over all
completions, cases that are wrong in all completions of all runs, the most frequent confusions) and OUT/errors.csv (a
row per case and run with its most frequent answer; no text of notes or completions). The sheet is described in
eval.scoring.review.
"""

import csv
import json
from collections import Counter
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from common.commands import UserError, existing, parser, run
from common.files import whole_file
from eval.scoring import review
from eval.scoring.samples import Samples, named, read_samples

MOST_PAIRS = 50


def main(argv: list[str] | None = None) -> None:
    p = parser(__doc__)
    which = p.add_mutually_exclusive_group(required=True)
    which.add_argument("--runs", nargs="+", metavar="[NAME=]DIR", help="scored folders of the same cases")
    which.add_argument("--filled", nargs="+", metavar="CSV", help="sheets that reviewers have filled in")
    p.add_argument("--out", help="folder for errors.json and errors.csv")
    p.add_argument("--sheet", metavar="CSV", help="also write a sheet for reviewers, of the first run")
    p.add_argument("--cases", type=int, default=30, help="cases of the sheet (default 30)")
    p.add_argument("--seed", type=int, default=0, help="which cases (default 0)")
    p.add_argument("--with-notes", action="store_true", help="put the notes in the sheet: your data agreement holds")
    args = p.parse_args(argv)
    if args.runs and not args.out:
        raise UserError("--out must be said with --runs; give a folder")
    if args.cases < 1:
        raise UserError("--cases must be at least 1")
    if args.with_notes and not args.sheet:
        raise UserError("--with-notes is about the sheet; add --sheet FILE")
    if args.filled:
        print(review.summary([Path(path) for path in args.filled]))
        return
    runs = _read(args.runs)
    kinds = {name: kinds_of(samples) for name, samples in runs.items()}
    hopeless = np.all([(found != "right").all(axis=1) for found in kinds.values()], axis=0).tolist()
    out = Path(args.out)
    with whole_file(out / "errors.csv") as made:
        _write_cases(made, runs, kinds, hopeless)
    about = _summary(runs, kinds, hopeless)
    with whole_file(out / "errors.json") as made:
        made.write_text(json.dumps(about, indent=2) + "\n")
    print(_table(about))
    print(out)
    if args.sheet:
        name, first = next(iter(runs.items()))
        print(review.write(first, kinds[name], Path(args.sheet), args.cases, args.seed, args.with_notes))


def _read(arguments: list[str]) -> dict[str, Samples]:
    runs: dict[str, Samples] = {}
    for name, folder in map(named, arguments):
        name = name if name not in runs else str(folder)
        runs[name] = read_samples(existing(folder, "the run folder", "check --runs"))
    first, *others = runs.values()
    for other in others:
        if not other.same_cases(first):
            raise UserError(
                f"{first.folder} and {other.folder} are not of the same cases; give runs over one data file"
            )
    return runs


def kinds_of(samples: Samples) -> np.ndarray:
    """The kind of every completion: cases x samples, of the task's kinds."""
    kind, flags = samples.task.kind, {name: samples.numbers[name].tolist() for name in samples.task.flags}
    return np.array(
        [
            [kind(said, gold, {name: flags[name][i][j] for name in flags}) for j, said in enumerate(samples.pred[i])]
            for i, gold in enumerate(samples.cases["ground_truth"].to_pylist())
        ]
    )


def _write_cases(path: Path, runs: dict[str, Samples], kinds: dict[str, np.ndarray], hopeless: list[bool]) -> None:
    cases = next(iter(runs.values())).cases.to_pylist()
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["index", "hadm_id", "gold", "run", "answer", "kind", "right", "samples", "wrong_in_all_runs"])
        for i, case in enumerate(cases):
            for name, samples in runs.items():
                said, kind = samples.pred[i], kinds[name][i]
                ((answer, _),) = Counter(said).most_common(1)  # of several the one that was said first
                row = [case["index"], case["hadm_id"], case["ground_truth"], name, answer]
                right = int((kind == "right").sum())
                rows.writerow([*map(review.cell, row), kind[said.index(answer)], right, samples.n, int(hopeless[i])])


def _summary(runs: dict[str, Samples], kinds: dict[str, np.ndarray], hopeless: list[bool]) -> dict[str, Any]:
    first = next(iter(runs.values()))
    index, golds = (first.cases[name].to_pylist() for name in ("index", "ground_truth"))
    *_, nothing = first.task.kinds  # the last kind is no answer at all
    found = {}
    for name, samples in runs.items():
        wrong = Counter(
            (gold, said)
            for gold, preds, row in zip(golds, samples.pred, kinds[name], strict=True)
            for said, kind in zip(preds, row, strict=True)
            if kind not in ("right", nothing)
        )
        found[name] = {
            "folder": str(samples.folder),
            "completions": {kind: float((kinds[name] == kind).mean()) for kind in first.task.kinds},
            "cases_never_right": int((kinds[name] != "right").all(axis=1).sum()),
            "confusions": [
                {"gold": g, "said": s, "completions": count} for (g, s), count in wrong.most_common(MOST_PAIRS)
            ],
        }
    return {
        "task": first.task.key,
        "cases": len(index),
        "kinds": first.task.kinds,
        "runs": found,
        "wrong_in_all_runs": list(compress(index, hopeless)),
    }


def _table(about: dict[str, Any]) -> str:
    wide = max(map(len, (*about["kinds"], "cases never right"))) + 2
    lines = ["".ljust(wide) + "".join(f"{name:>14}" for name in about["runs"])]
    for kind in about["kinds"]:
        shares = (each["completions"][kind] for each in about["runs"].values())
        lines.append(kind.ljust(wide) + "".join(f"{100 * share:13.1f}%" for share in shares))
    never = "".join(f"{each['cases_never_right']:14}" for each in about["runs"].values())
    lines.append("cases never right".ljust(wide) + never)
    lines.append(
        f"{len(about['wrong_in_all_runs'])} of {about['cases']} cases are wrong in all completions of all runs"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    run(main)
