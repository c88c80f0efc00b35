"""Train every recipe for two steps on a CPU with the real verl and vLLM, and say what proved that it works.

    python -m recipes.smoke [RECIPE …]        # or `make smoke-all`

Data and model are those of `make demo` (or DATA_DIR and MODEL_PATH). A recipe that passed with the same composed
configuration and commit is skipped, and recipes whose composed configurations are equal run once.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from commands import UserError, commit, parser, run, whole_file
from recipes.compose import RECIPES, compose, recipes, unresolved

TWO_STEPS = ("hardware=cpu", "trainer.total_training_steps=2", "data.train_batch_size=4", "trainer.save_freq=-1")


def fingerprint(recipe: str) -> str:
    """The same for two recipes that would do the same on a CPU, and for one until it or the code changes."""
    config = unresolved(compose(recipe, TWO_STEPS))
    return hashlib.sha256(json.dumps([config, commit()], sort_keys=True, default=str).encode()).hexdigest()


def smoke(recipe: str, runs: Path) -> dict[str, Any]:
    """Run two steps; what the table shows of them."""
    began = time.monotonic()
    words = ["bash", str(RECIPES / "launch.sh"), recipe, *TWO_STEPS, "name=smoke", "fresh=1"]
    done = subprocess.run(words, env={**os.environ, "RUNS_DIR": str(runs.resolve()), "PYTHON": sys.executable})
    row: dict[str, Any] = {"recipe": recipe, "status": done.returncode, "seconds": round(time.monotonic() - began)}
    if done.returncode == 0:
        last = json.loads((runs / recipe / "smoke" / "metrics.jsonl").read_text().splitlines()[-1])["data"]
        row["correlation"] = last["training/rollout_actor_probs_pearson_corr"]
        row["kl_coef"] = last.get("actor/kl_coef")
        row["reward"] = last["critic/score/mean"]
    return row


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__ or "", "python -m recipes.smoke drg_sapphire/strict")
    arguments.add_argument("recipe", nargs="*", help="paper/row; without one, all recipes")
    chosen = arguments.parse_args(argv).recipe or recipes()
    runs = Path(os.environ.get("RUNS_DIR", "runs")) / "smoke"
    file = runs / "passed.json"
    passed: dict[str, dict[str, Any]] = json.loads(file.read_text()) if file.exists() else {}
    failed = []
    for recipe in chosen:
        key = fingerprint(recipe)
        if key in passed and not (commit() or "+").endswith("+changes"):
            print(f"{recipe}: passed before as {passed[key]['recipe']}")
            continue
        row = smoke(recipe, runs)
        print(json.dumps(row))
        if row["status"]:
            failed.append(recipe)
            continue
        passed[key] = row
        with whole_file(file) as made:
            made.write_text(json.dumps(passed, indent=1) + "\n")
    if failed:
        raise UserError(f"{len(failed)} of {len(chosen)} recipes failed: {', '.join(failed)}; see their logs in {runs}")


if __name__ == "__main__":
    run(main)
