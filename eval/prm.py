"""Verify with a process reward model: grade every note at every position, and see how often the best one is found.

    python -m eval.prm --data data/clinical_note/test.parquet --model outputs/clinic/prm --out runs/eval/clinic
    python -m eval.prm --data data/clinical_note/a_verify.parquet --model PRM --out OUT --engine vllm --against ORM_OUT

Writes OUT/part-*.parquet (p(+) by position), OUT/run.json, OUT/scores.json and OUT/per_case.parquet. `transformers` is
exact and needs one pass a note; `vllm` is for many. Started again it grades what is missing; settings cannot be mixed.

scores.json:
    accuracy     by aggregation (sum, mean, min, end) and baseline: {value, interval, n}, the share of cases whose best
                 note has the highest score; k notes that share it count 1/k
    paired       differences over the same cases, of aggregations and baselines, and with --against to another model
    positions    where labels are known: recall of + and - by kind of position, of each kind of error; area under the
                 curve; calibration
    paper        what the paper prints of this set (recipes/clinical_prm/paper.yaml)
An outcome reward model (sft.prm, graded: end) has the aggregation `end` alone.
"""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from common.commands import UserError, parser, run
from common.files import whole_file
from common.papers import RECIPES
from common.record import command_line, commit
from common.settings import load
from data_prep.clinical import graded
from eval.generation.sources import model_folder
from eval.scoring.intervals import Bootstrap
from eval.verification import measure, store
from eval.verification.grading import ENGINES
from reward_fns.clinical_note import tokens
from reward_fns.clinical_note.scores import AGGREGATIONS

PAPER = RECIPES / "clinical_prm" / "paper.yaml"


def main(argv: list[str] | None = None) -> None:
    p = parser(__doc__)
    p.add_argument("--data", required=True, help="parquet of candidates (data_prep.clinical_notes)")
    p.add_argument("--model", required=True, help="folder that sft.prm wrote")
    p.add_argument("--out", type=Path, required=True, help="folder for grades and scores")
    p.add_argument("--engine", choices=tuple(ENGINES), default="transformers", help="(default %(default)s)")
    p.add_argument("--dtype", choices=("auto", "float32", "bfloat16"), default="auto", help="(default: by the machine)")
    p.add_argument("--against", type=Path, help="another such folder of the same notes: adds paired differences")
    p.add_argument("--limit", type=int, help="only the first so many cases")
    p.add_argument("--bootstrap", type=int, default=1000, help="draws of cases for the intervals (default 1000)")
    args = p.parse_args(argv)
    if args.bootstrap < 1 or (args.limit is not None and args.limit < 1):
        raise UserError("--bootstrap and --limit must be at least 1")
    rows = graded.read(args.data)
    cases = measure.grouped(rows, args.data)
    rows = _first(rows, cases, args.limit)
    cases = measure.grouped(rows, args.data)
    named = command_line("eval.prm", argv)
    shares = store.fill(args.out, args.data, rows, args.engine, args.model, args.dtype, named)
    bootstrap = Bootstrap(args.bootstrap)
    found = _found(cases, rows, shares, args.model)
    ours = {name: of for name, of in found.items() if name in AGGREGATIONS}
    scores: dict[str, Any] = {
        "set": rows[0]["set"],
        "cases": len(cases),
        "notes": len(rows),
        "accuracy": measure.accuracies(found),
        "paired": measure.paired(ours, {name: found[name] for name in (*ours, *measure.BASELINES)}, bootstrap),
        "positions": measure.positions(rows, shares, bootstrap),
        "paper": _printed(rows[0]["set"]),
        "provenance": {"command": named, "commit": commit()},
    }
    if args.against:
        other = str(store.made_with(args.against)["model"]["name"])
        theirs = _found(cases, rows, store.read(args.against, args.data, rows), other)
        theirs = {f"{name} of {args.against}": of for name, of in theirs.items() if name in AGGREGATIONS}
        scores["against"] = measure.accuracies(theirs)
        scores["paired"] |= measure.paired(ours, theirs, bootstrap)
    with whole_file(args.out / "scores.json") as made:
        made.write_text(json.dumps(scores, indent=2) + "\n")
    _write_cases(args.out / "per_case.parquet", cases, rows, shares, found)
    print(table(scores))
    print(args.out / "scores.json")


def _first(rows: list[dict[str, Any]], cases: list[list[int]], limit: int | None) -> list[dict[str, Any]]:
    return [rows[at] for group in cases[:limit] for at in group]


def _found(cases: list[list[int]], rows: Any, shares: Any, model: str) -> dict[str, Any]:
    """What is chosen; of an outcome model, nothing that it was not trained on."""
    found = measure.choices(cases, rows, shares)
    file = model_folder(model) / tokens.FILE
    if json.loads(file.read_text(encoding="utf-8")).get("graded") == "end":
        found = {name: of for name, of in found.items() if name not in AGGREGATIONS or name == "end"}
    return found


def _printed(name: str) -> dict[str, Any]:
    """What the paper prints of a set."""
    return {key: dict(value) for key, value in load(PAPER)["verification"].get(name, {}).items()}


def _write_cases(path: Path, cases: list[list[int]], rows: Any, shares: Any, found: dict[str, Any]) -> None:
    """A row a candidate: its scores, p(+) and labels of its positions, and which of them is least likely right."""
    columns = []
    for number, group in enumerate(cases):
        for at in group:
            row, lowest = rows[at], min(range(len(shares[at])), key=shares[at].__getitem__)
            columns.append(
                {"case": row["case"], "candidate": row["candidate"], "best": row["best"], "lowest": lowest}
                | {name: value for name, value in measure.scores(row, shares[at]).items() if name in found}
                | {f"found by {name}": float(hits[number]) for name, hits in found.items()}
                | {f"{name}s": [getattr(one, name) for one in row["positions"]] for name in ("kind", "label")}
                | {"causes": row["causes"], "right": shares[at]}
            )
    with whole_file(path) as made:
        pq.write_table(pa.Table.from_pylist(columns), made)


def table(scores: dict[str, Any]) -> str:
    """The scores as text, the paper's numbers below ours."""
    lines = [f"{scores['set']}: {scores['cases']} cases, {scores['notes']} notes; best note found, %, 95 % by case"]
    for name, row in {**scores["accuracy"], **scores.get("against", {})}.items():
        low, high = (100 * bound for bound in row["interval"])
        lines.append(f"  {name:<24} {100 * row['value']:6.1f}  [{low:.1f}, {high:.1f}]")
    for name, row in scores["paper"].items():
        note = f"  ({row['note']})" if "note" in row else ""
        lines.append(f"  the paper: {name:<24} {row['value']:6.1f}{note}")
    recall = scores["positions"].get("recall", {})
    lines += [f"  labels right, {name:<24} {100 * row['value']:6.1f}  of {row['n']:,}" for name, row in recall.items()]
    if recall:
        lines.append(f"  calibration error {scores['positions']['calibration']['error']:.3f}")
    return "\n".join(lines)


if __name__ == "__main__":
    run(main)
