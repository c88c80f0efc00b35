"""More SFT cases, higher Pass@1? Figure 1B of DRG-Sapphire in small: a tiny model, synthetic cases, a CPU.

    python -m benchmarks.sft_scaling --out outputs/scaling        # or `make bench-scaling`, up to an hour on two cores

Makes a synthetic MIMIC, fine-tunes the tiny model on nested samples of its cases (right traces only), and evaluates
each on the same held-out cases. OUT/scaling.json, scaling.svg and report.html hold Pass@1 by number of cases with its
95 % interval and the line through its logarithm. Ends with status 1 unless Pass@1 rises from size to size and reaches
the goal. Finished stages are reused.
"""

import json
import math
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from common.commands import UserError, parser, run
from common.files import whole_file
from common.record import commit
from data_prep import parquet
from eval.page import drawing
from eval.page.drawing import Series
from eval.page.figure import Figure
from sft.training.examples import by_case

SIZES = (300, 600, 1200, 2400, 4800)
GOAL = 60.0  # percent
TEST = 300  # held-out cases
NOTES_A_CASE = 1.6  # synthetic notes for one training case with an accepted trace
CONFIG = "recipes/drg_sapphire/sft/tiny.yaml"
STYLE = "cot_first"
Point = dict[str, Any]


def main(argv: list[str] | None = None) -> None:
    p = parser(__doc__, "python -m benchmarks.sft_scaling --out outputs/scaling")
    p.add_argument("--out", type=Path, default=Path("outputs/scaling"), help="default outputs/scaling")
    p.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of SFT cases, four or more")
    p.add_argument("--epochs", type=int, default=5, help="of every run (default 5)")
    p.add_argument("--hidden", type=int, default=128, help="width of the model (default 128)")
    p.add_argument("--layers", type=int, default=4, help="default 4")
    p.add_argument("--goal", type=float, default=GOAL, help="Pass@1 to reach, in percent (default 60)")
    args = p.parse_args(argv)
    sizes = sorted(set(args.sizes))
    if len(sizes) < 2 or sizes[0] < 1:
        raise UserError("--sizes needs two numbers of cases or more, each at least 1")
    out: Path = args.out
    with tqdm(total=3 + 2 * len(sizes), unit=" stages", desc="bench-scaling") as bar:
        _world(out, max(sizes), args.hidden, args.layers, bar)
        samples = _samples(out, sizes)
        points = [_point(out, size, samples[size], args.epochs, bar) for size in sizes]
    found = fit(points) | {"goal": args.goal, "commit": commit(), "epochs": args.epochs}
    with whole_file(out / "scaling.json") as made:
        made.write_text(json.dumps(found, indent=2) + "\n")
    (drawn,) = _figure(found).save(out, ["svg"])
    with whole_file(out / "report.html") as made:
        svg = "<svg" + drawn.read_text().partition("<svg")[2]
        made.write_text(f"<!doctype html><title>SFT scaling</title><pre>{table(found)}</pre>{svg}\n")
    print(table(found))
    if not (found["rises"] and points[-1]["pass@1"] >= args.goal):
        sys.exit(1)


def fit(points: list[Point]) -> dict[str, Any]:
    """The line through Pass@1 by log2 of the cases, how much it explains, and whether every step is a rise."""
    x = np.log2([point["cases"] for point in points])
    y = np.array([point["pass@1"] for point in points])
    slope, start = np.polyfit(x, y, 1)
    spread = float(((y - y.mean()) ** 2).sum())
    left = float(((y - start - slope * x) ** 2).sum())
    return {
        "points": points,
        "per_doubling": float(slope),
        "start": float(start),
        "r2": 1 - left / spread if spread else 0.0,
        "rises": bool((np.diff(y) > 0).all()),
    }


def table(found: dict[str, Any]) -> str:
    """What was found, as text."""
    lines = ["SFT cases  Pass@1 (95 % interval), synthetic cases"]
    for point in found["points"]:
        low, high = point["interval"]
        lines.append(f"{point['cases']:>9,}  {point['pass@1']:.1f} [{low:.1f}, {high:.1f}]")
    rises = "rises from size to size" if found["rises"] else "does not rise at every size"
    lines.append(f"{found['per_doubling']:+.1f} points a doubling, R2 {found['r2']:.2f}; Pass@1 {rises}")
    return "\n".join(lines)


def _world(out: Path, most: int, hidden: int, layers: int, bar: tqdm) -> None:
    notes = max(500, math.ceil(most * NOTES_A_CASE) + 400)
    mimic, model, data = out / "mimic", out / "model", out / "data"
    _stage(mimic, bar, "data_prep.synthesize", "--out", mimic, "--notes", notes, "--words", 50, "--overlook", 0)
    sizes = ("--hidden", hidden, "--layers", layers)
    _stage(model, bar, "data_prep.tiny_model", "--note", mimic / "note", "--out", model, *sizes)
    split = ("--split", "patient", "--tokenizer", model, "--max-prompt-tokens", 384)
    _stage(data, bar, "data_prep.drg", "--hosp", mimic / "hosp", "--note", mimic / "note", "--out", data, *split)


def _samples(out: Path, sizes: list[int]) -> dict[int, Path]:
    """Nested samples of the training cases that have a right trace."""
    table = parquet.read(out / "data/drg/sft/full_95.parquet")
    keys = list(zip(parquet.infos(table, "hadm_id"), parquet.golds(table), strict=True))
    right = by_case(str(out / "mimic/traces.parquet"), STYLE)
    rows = np.array([row for row, key in enumerate(keys) if key in right])
    if len(rows) < max(sizes):
        raise UserError(f"{out} has {len(rows)} cases and the largest size is {max(sizes)}; remove {out}")
    np.random.RandomState(0).shuffle(rows)
    paths = {size: out / "samples" / f"{size}.parquet" for size in sizes}
    for size, path in paths.items():
        parquet.write(table.take(np.sort(rows[:size])), path)
    return paths


def _point(out: Path, size: int, cases: Path, epochs: int, bar: tqdm) -> Point:
    """Pass@1 after SFT on so many cases."""
    run_folder, folder = out / "sft" / str(size), out / "eval" / str(size)
    _stage(
        run_folder / "run.json", bar,
        "sft.train", "--config", CONFIG, "--model", out / "model", "--cases", cases, "--only_accepted", "true",
        "--traces", out / "mimic/traces.parquet", "--num_train_epochs", epochs, "--output_dir", run_folder,
    )  # fmt: skip
    data = out / "data/drg/test.parquet"
    _run("eval.generate", "--data", data, "--model", run_folder, "--out", folder, "--n", 4, "--max-tokens", 128,
         "--temperature", 0.6, "--top-p", 0.95, "--limit", TEST)  # fmt: skip
    _stage(folder / "scores.json", bar, "eval.score", "--generations", folder)
    scores = json.loads((folder / "scores.json").read_text())
    found = scores["metrics"]["drg/pass@1"]
    return {"cases": size, "pass@1": 100 * found["value"], "interval": [100 * end for end in found["interval"]]}


def _stage(made: Path, bar: tqdm, *words: object) -> None:
    """Run a command unless what it makes is there."""
    if not made.exists():
        _run(*words)
    bar.update()


def _run(*words: object) -> None:
    command = [sys.executable, "-m", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = "".join(done.stderr.splitlines(keepends=True)[-5:])
        raise UserError(f"`{' '.join(command[1:])}` ended with status {done.returncode}: {last.strip()}")


def _figure(found: dict[str, Any]) -> Figure:
    points, end = found["points"], found["points"][-1]["cases"]
    x, y = [point["cases"] for point in points], [point["pass@1"] for point in points]
    bars = [(point["pass@1"] - low, high - point["pass@1"]) for point in points for low, high in [point["interval"]]]
    line = found["start"], found["per_doubling"] * math.log2(10)
    goal = Series("goal", [x[0], end], [found["goal"]] * 2, paper=True, fit=(found["goal"], 0))
    series = [Series("Pass@1, 95 % interval", x, y, paper=False, fit=line, bars=bars), goal]
    draw = partial(drawing.scaling, series=series, ylabel="Pass@1, percent")
    return Figure("scaling", "SFT on synthetic cases", "Pass@1 by the number of SFT cases", draw)


if __name__ == "__main__":
    run(main)
