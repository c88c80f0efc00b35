"""Score generations with the rule of training: every metric with its 95 % interval, n and definition.

    python -m eval.score --generations runs/after --against runs/before

Writes GENERATIONS/scores.json and GENERATIONS/per_sample.parquet (no text but the predicted titles) and prints a table.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from commands import UserError, command_line, commit, parser, run, whole_file
from eval import metrics
from eval.samples import LEVELS, Samples, score_folder, write_samples

TITLES = {"drg": "DRG", "base": "base DRG", "status": "CC/MCC status"}
# Means over all completions: where they come from and what they say.
MEANS = {
    "valid": "share of completions in the right format whose answer is an MS-DRG v34 title",
    "format": "share of completions in the right format",
    "truncated": "share of completions cut at max_tokens or at the model's context",
    "n_tokens": "mean number of tokens of a completion",
    "reward": "mean reward: format plus strict accuracy",
}
TIES = {"fractional": "a tie counts 1 / the number of tied answers", "first": "a tie goes to what was said first"}

Values = dict[str, tuple[metrics.Array, str]]


def main(argv: list[str] | None = None) -> None:
    p = parser(__doc__, "python -m eval.score --generations runs/after --against runs/before")
    p.add_argument("--generations", required=True, help="folder that eval.generate wrote")
    p.add_argument("--out", help="where to write the scores (default GENERATIONS/scores.json)")
    p.add_argument("--against", help="another folder with the same cases: adds the paired difference, this minus that")
    p.add_argument("--bootstrap", type=int, default=1000, help="draws of patients for the intervals (default 1000)")
    p.add_argument("--ties", choices=tuple(TIES), default="fractional", help="what a tied vote counts")
    args = p.parse_args(argv)
    if args.bootstrap < 1:
        raise UserError("--bootstrap must be at least 1")
    bootstrap = metrics.Bootstrap(args.bootstrap)
    samples = score_folder(Path(args.generations))
    values = values_per_case(samples, args.ties)
    scores = summary(samples, values, bootstrap) | {
        "ties": args.ties,
        "settings": samples.run["settings"],
        "provenance": {
            "command": command_line("eval.score", argv),
            "commit": commit(),
            "generated": {name: samples.run.get(name) for name in ("command", "commit", "versions", "started")},
        },
    }
    if args.against:
        other = score_folder(Path(args.against))
        scores["paired"] = compare(samples, values, other, values_per_case(other, args.ties), bootstrap)
    write_samples(samples)
    out = Path(args.out) if args.out else samples.folder / "scores.json"
    with whole_file(out) as made:
        made.write_text(json.dumps(scores, indent=2) + "\n")
    print(table(scores))
    print(out)
    if not scores["metrics"]["valid"]["value"]:
        print(
            f"warning: no completion in {samples.folder} has a valid answer; look at the format rate, --prefill and "
            "--max-tokens",
            file=sys.stderr,
        )


def values_per_case(samples: Samples, ties: str) -> Values:
    """Every metric's value per case, and its definition."""
    n, found = samples.n, {}
    for i, level in enumerate(LEVELS):
        right = samples.said[:, :, i] == samples.gold[:, None, i]
        for k in range(1, n + 1):
            meaning = f"mean over {n} samples" if k == 1 else f"chance that at least one of {k} samples is right"
            found[f"{level}/pass@{k}"] = metrics.pass_at_k(right, k), f"{TITLES[level]}: {meaning}"
        found[f"{level}/maj@{n}"] = (
            metrics.majority(samples.said[:, :, i], samples.gold[:, i], ties),
            f"{TITLES[level]}: the most frequent valid answer of {n} is right; {TIES[ties]}; no valid answer is wrong",
        )
    numbers = samples.numbers | {"valid": samples.said[:, :, 0] != metrics.INVALID}
    return found | {name: (numbers[name].mean(axis=1), meaning) for name, meaning in MEANS.items()}


def summary(samples: Samples, values: Values, bootstrap: metrics.Bootstrap) -> dict[str, Any]:
    """Every metric with its value, 95 % interval, n and definition."""
    columns = np.column_stack([value for value, _ in values.values()])
    low, high = bootstrap.intervals(columns, samples.patients)
    return {
        "cases": samples.cases.num_rows,
        "patients": len(set(samples.patients.tolist())),
        "samples": samples.n,
        "bootstrap": {"level": metrics.LEVEL, "over": "patients", "draws": bootstrap.draws, "seed": bootstrap.seed},
        "metrics": {
            name: {
                "value": float(value.mean()),
                "interval": [float(low[i]), float(high[i])],
                "n": len(value),
                "definition": meaning,
            }
            for i, (name, (value, meaning)) in enumerate(values.items())
        },
    }


def compare(
    these: Samples, values: Values, those: Samples, other: Values, bootstrap: metrics.Bootstrap
) -> dict[str, Any]:
    """The paired difference, this minus that, of every metric that both have."""
    if not these.cases.equals(those.cases):
        mine, yours = (set(s.cases["index"].to_pylist()) for s in (these, those))
        detail = (
            f"{len(mine - yours)} cases only in the first and {len(yours - mine)} only in the second"
            if mine != yours
            else "the same case numbers with other admissions or golds"
        )
        raise UserError(f"{these.folder} and {those.folder} cannot be paired: {detail}; generate both from one file")
    shared = [name for name in values if name in other]
    mine, yours = (np.column_stack([run[name][0] for name in shared]) for run in (values, other))
    rows = metrics.paired_differences(mine, yours, these.patients, bootstrap)
    return {
        "against": str(those.folder),
        "definition": "this minus that over the same cases; interval as above; p of the exact test that among the "
        "cases that differ (better, worse) both directions are equally likely (McNemar's for values of 0 and 1)",
        "metrics": dict(zip(shared, rows, strict=True)),
    }


def table(scores: dict[str, Any]) -> str:
    """The scores as text: a row per metric, the pass@k in between left to the file."""
    n = scores["samples"]
    shown = [f"{level}/{name}" for level in LEVELS for name in dict.fromkeys(("pass@1", f"pass@{n}", f"maj@{n}"))]
    paired = scores.get("paired")
    lines = [
        f"{scores['cases']} cases, {scores['patients']} patients, {n} samples a case, intervals 95 % by patient",
        f"{'':16}{'value':>9}  {'interval':16}" + (f"{'difference':>10}  {'interval':16}{'p':>8}" if paired else ""),
    ]
    for name in (*shown, *MEANS):
        percent = name not in ("n_tokens", "reward")
        line = f"{name:16}{_cell(scores['metrics'][name], percent)}"
        if paired:
            row = paired["metrics"][name]
            line += f"{_cell(row, percent, '+', 10)}{row['p']:8.2g}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def _cell(row: dict[str, Any], percent: bool, sign: str = "", width: int = 9) -> str:
    scale, digits = (100, 1) if percent else (1, 2)
    low, high = (f"{scale * bound:{sign}.{digits}f}" for bound in row["interval"])
    return f"{scale * row['value']:{sign}{width}.{digits}f}  {f'[{low}, {high}]':16}"


if __name__ == "__main__":
    run(main)
