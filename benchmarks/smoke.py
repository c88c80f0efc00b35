"""Train every recipe for two steps on a CPU with the real verl and vLLM, and prove of each what it is about.

    python -m benchmarks.smoke [RECIPE …]        # or `make smoke-all`
    python -m benchmarks.smoke "drg_sapphire/strict algorithm=gspo"      # a recipe with options

Data and models are those of hardware=cpu, which recipes/demo.sh makes where they are missing (or DATA_DIR, MODEL_PATH).
A recipe that passed with the same composed configuration and the same code is skipped, whatever else was committed, and
recipes whose composed configurations are equal run once. Recipes with a judge get one: the tiny model behind vLLM, or
the tiny process reward model (recipes/judge.sh).
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from tqdm import tqdm

from benchmarks.proofs import proofs, updates
from common.commands import UserError, parser, run
from common.files import sha256, whole_file
from recipes.launcher.check_config import asks_judge
from recipes.launcher.compose import RECIPES, compose, recipes, unresolved

DEMO = Path("outputs/demo")
TWO_STEPS = ("hardware=cpu", "trainer.total_training_steps=2", "data.train_batch_size=8", "trainer.save_freq=-1")
# A recipe with several updates a batch: at a rate of 0 the ratio stays 1, so that its loss can be computed again.
STILL = ("ppo_mini_batch_size=${data.train_batch_size}", "ppo_epochs=2", "optim.lr=0")
# What a recipe is about must happen in two steps: cool rollouts have groups without variance, which are drawn again.
TEMPERATURES = {"resampling": 0.3}
OPTIONS = (  # what a launch may add, each with a recipe
    *(f"drg_sapphire/strict algorithm={name}" for name in ("gspo", "cispo", "dapo", "grpo_passk")),
    "deepicd_r1/no_judge algorithm=gdpo study.components=[format,outcome]",
    "drg_sapphire/strict lora=r32",
)
BASE_RUN = "drg_sapphire/dense"  # whose outcomes make the files of the curriculum: it comes first


# What a run executes or starts from, prose aside; a recipe's YAML is in its composed configuration.
TREES = ("common", "data_prep", "recipes", "reward_fns", "sft", "verl_ext")
CODE = (
    *(f"{tree}/**/*.{kind}" for tree in TREES for kind in ("py", "sh", "txt", "csv")),
    *("recipes/*/sft/*.yaml", "sft/hardware/*.yaml", "benchmarks/smoke.py", "benchmarks/proofs.py"),
    "requirements-cpu.txt",
)


def overrides_of(job: str) -> tuple[str, ...]:
    """What a recipe is launched with here."""
    recipe, *options = job.split()
    found = [value for name, value in TEMPERATURES.items() if name in recipe]
    words = (*options, *TWO_STEPS, *(f"actor_rollout_ref.rollout.temperature={value}" for value in found))
    still = [f"actor_rollout_ref.actor.{word}" for word in STILL]
    return (*words, *still) if updates(compose(recipe, options)) > 1 else words


def code(place: Path = RECIPES.parent) -> str:
    """A hash of the code that a run depends on."""
    files = sorted({file for pattern in CODE for file in place.glob(pattern)})
    return hashlib.sha256(" ".join(f"{file.name} {sha256(file)}" for file in files).encode()).hexdigest()


def fingerprint(job: str) -> str:
    """The same for two recipes that would do the same on a CPU, and for one until it or the code changes."""
    config = unresolved(compose(job.split()[0], overrides_of(job)))
    start = config.pop("study", {})  # which models and names it chooses; a CPU run has but one model
    return hashlib.sha256(
        json.dumps([config, start.get("rl"), code()], sort_keys=True, default=str).encode()
    ).hexdigest()


def smoke(job: str, runs: Path) -> dict[str, Any]:
    """Run two steps; what the table shows of them."""
    began = time.monotonic()
    recipe, overrides = job.split()[0], overrides_of(job)
    config, name = compose(recipe, overrides), re.sub(r"\W+", "-", f"smoke{job.removeprefix(recipe)}").strip("-")
    words = ["bash", str(RECIPES / "launch.sh"), recipe, *overrides, f"name={name}", "fresh=1"]
    environment = {**os.environ, "RUNS_DIR": str(runs.resolve()), "PYTHON": sys.executable}
    if asks_judge(config) and "JUDGE_URL" not in os.environ:
        home = config.places.get("home")  # of a recipe that trains on a process reward model
        judge = ["--prm", f"{home}/prm"] if home else [config.places.model]
        words = ["bash", str(RECIPES / "judge.sh"), *judge, "--", *words]
    log = runs / f"{recipe.replace('/', '-')}-{name}.log"
    with open(log, "w") as file:
        done = subprocess.run(words, env=environment, stdout=file, stderr=subprocess.STDOUT)
    row: dict[str, Any] = {"recipe": job, "seconds": round(time.monotonic() - began), "proofs": []}
    row["fault"] = f"status {done.returncode}, see {log}" if done.returncode else ""
    if not done.returncode:
        folder = runs / recipe / name
        metrics = [json.loads(line)["data"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
        found = proofs(config, metrics, pq.read_table(folder / "outcomes.parquet"))
        row["proofs"] = [f"{proof.claim}: {proof.seen}" for proof in found]
        row["fault"] = "; ".join(f"not so: {proof.claim} ({proof.seen})" for proof in found if not proof.holds)
    return row


def prepare(chosen: list[str]) -> None:
    """What the recipes start from on a laptop, where the user names nothing else."""
    if "DATA_DIR" in os.environ and "MODEL_PATH" in os.environ:
        return
    places = (compose(job.split()[0], ["hardware=cpu"]).places for job in chosen)
    for name, maker in sorted({(each.laptop, each.get("maker", "demo.sh")) for each in places}):
        if subprocess.run(["bash", str(RECIPES / maker)], env={**os.environ, "UNTIL": name}).returncode:
            raise UserError(
                f"UNTIL={name} bash recipes/{maker} failed, which makes what the recipes start from; see above"
            )


def make_curriculum(recipe: str, runs: Path) -> None:
    """What rows with filtered or ordered prompts train on, from the outcomes of the run that just ended."""
    data = Path(os.environ.get("DATA_DIR", DEMO / "data")) / "drg" / "rl" / "small.parquet"
    outcomes = runs / recipe / "smoke" / "outcomes.parquet"
    for words in (["--outcomes", str(outcomes)], ["--parts", "3"]):
        subprocess.run(
            [sys.executable, "-m", "data_prep.curriculum", "--data", str(data), *words],
            check=True,
            stdout=subprocess.DEVNULL,
        )


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__ or "", "python -m benchmarks.smoke drg_sapphire/strict")
    arguments.add_argument("recipe", nargs="*", help="paper/row, or 'paper/row key=value …'; without one, all")
    chosen = arguments.parse_args(argv).recipe or [*recipes(), *OPTIONS]
    prepare(chosen)
    runs = Path(os.environ.get("RUNS_DIR", "runs")) / "smoke"
    runs.mkdir(parents=True, exist_ok=True)
    file = runs / "passed.json"
    passed: dict[str, dict[str, Any]] = json.loads(file.read_text()) if file.exists() else {}
    faults = []
    print("| recipe | seconds | what the run proves |\n|---|---|---|", flush=True)
    for recipe in tqdm(sorted(chosen, key=lambda name: (name != BASE_RUN, name)), unit=" recipes"):
        key = fingerprint(recipe)
        if key in passed:
            shown = {**passed[key], "seconds": f"as {passed[key]['recipe']}"}
        else:
            shown = smoke(recipe, runs)
            if recipe == BASE_RUN and not shown["fault"]:
                make_curriculum(recipe, runs)
        print(f"| {recipe} | {shown['seconds']} | {shown['fault'] or '; '.join(shown['proofs'])} |", flush=True)
        if shown["fault"]:
            faults.append(f"{recipe} ({shown['fault']})")
        elif key not in passed:
            passed[key] = shown
            with whole_file(file) as made:
                made.write_text(json.dumps(passed, indent=1) + "\n")
    if faults:
        raise UserError(f"{len(faults)} of {len(chosen)} recipes failed: {', '.join(faults)}")


if __name__ == "__main__":
    run(main)
