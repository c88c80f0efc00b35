"""What this machine's GPU does: SFT, generation and GRPO with random weights of a real shape and notes of real length.

    python -m benchmarks.gpu                    # Qwen2.5-0.5B; or `make bench-gpu`
    python -m benchmarks.gpu --size 1.5b --only sft
    python -m benchmarks.gpu --quick            # that the program works: the tiny model, also on a CPU

Tokens a second of SFT and the share of the GPU's peak that they are; of eval.generate beside plain vLLM; seconds of
each phase of a GRPO step of drg_sapphire/strict beside verl's stock trainer; the peak of memory beside what
recipes.memory predicts. A row a part is printed and OUT/SIZE/bench.json keeps them: started again, it leaves out what
this commit has measured on this machine.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.card import Card, gauge, operations
from benchmarks.instruments import shape
from common import record
from common.commands import UserError, parser, run
from common.files import whole_file
from recipes.launcher.compose import compose
from recipes.sizing import grpo, sft
from recipes.sizing.phases import largest

RECIPE, SFT = "drg_sapphire/strict", "recipes/drg_sapphire/sft"
SIZES = ("0.5b", "1.5b", "3b", "7b")
PROFILES = {"h100x1": 80e9, "gpu48x1": 45e9, "gpu24x1": 22e9}  # and the memory that each is for
FLASH = importlib.util.find_spec("flash_attn") is not None
STEPS = 4  # of GRPO, of which the first warms up
Part = dict[str, Any]


class Bench:
    """One size on one machine: where its files are and what is launched."""

    def __init__(self, out: Path, size: str, quick: bool) -> None:
        self.place, self.size, self.quick = (out / size).resolve(), size, quick
        self.card = Card.found()
        if not self.card and not quick:
            raise UserError("there is no GPU here; --quick shows on a CPU that the program works")
        self.mimic, self.data, self.tiny = (self.place / name for name in ("mimic", "data", "tiny"))
        self.model = self.tiny if quick else self.place / "model"

    def run(self, *words: object, part: str = "prepare") -> str:
        """The output of a command; a sentence with its last words when it fails."""
        environment = {**os.environ, "PYTHON": sys.executable, "DATA_DIR": str(self.data), "RUNS_DIR": str(self.place)}
        environment |= {"MODEL_PATH": str(self.model), "BASE_MODEL": str(self.model), "CUDA_VISIBLE_DEVICES": "0"}
        command = [str(word) for word in words]
        if command[0] != "bash":
            command = [sys.executable, "-m", *command]
        with open(self.place / f"{part}.log", "a+") as log:
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
            log.write(done.stdout)
            log.seek(0)
            said = [line for line in log.read().splitlines() if line.startswith("error: ")]
        if done.returncode:
            raise UserError(said[-1].removeprefix("error: ") if said else f"see {self.place / part}.log")
        return done.stdout

    def prepare(self) -> None:
        """Notes, data and a model, once."""
        if (self.place / "ready").exists():
            return
        for folder in (self.mimic, self.data, self.tiny, self.model):
            shutil.rmtree(folder, ignore_errors=True)
        notes, words, longest = (300, 60, 384) if self.quick else (1500, 1500, 4096)
        source = ("--hosp", self.mimic / "hosp", "--note", self.mimic / "note")
        self.run("data_prep.synthesize", "--out", self.mimic, "--notes", notes, "--words", words)
        little = ("--hidden", 64, "--layers", 2)
        self.run("data_prep.tiny_model", "--note", self.mimic / "note", "--out", self.tiny, *little)
        prepared = ("--out", self.data, "--tokenizer", self.tiny, "--split", "patient", "--max-prompt-tokens", longest)
        self.run("data_prep.drg", *source, *prepared)
        if not self.quick:
            self.run("benchmarks.instruments", "model", self.size, "--like", self.tiny, "--out", self.model)
        (self.place / "ready").touch()


def fine_tuning(bench: Bench) -> Part:
    """SFT on one GPU, as the papers' recipe has it."""
    config = f"{SFT}/{'tiny' if bench.quick else 'cold'}.yaml"
    given = {
        "cases": bench.data / "drg/sft/full_75.parquet",
        "traces": bench.mimic / "traces.parquet",
        "output_dir": bench.place / "sft",
        **{"fresh": "true", "max_steps": 6, "logging_steps": 1, "save_strategy": "no", "only_accepted": "false"},
        "global_batch": 0 if bench.quick else 32,
    }
    if not bench.quick:
        given |= {"titles": "false", "max_length": 6144}
    words = [str(word) for key, value in given.items() for word in (f"--{key}", value)]
    seen = json.loads(
        bench.run("benchmarks.instruments", "sft", "--config", config, *words, part="sft").splitlines()[-1]
    )
    if bench.card and not bench.quick:
        wanted = shape(bench.size)
        if bench.card.peak:
            seen["mfu"] = seen["tokens_per_second"] * operations(wanted, seen["mean_length"]) / bench.card.peak
        rows = 4 if FLASH else 1  # as sft.train takes them
        said = {"per_device_train_batch_size": rows, "max_length": 6144, "gradient_checkpointing": True}
        seen["predicted_gb"] = largest(sft.phases(said, wanted, 1)).bytes / 1e9
    shutil.rmtree(bench.place / "sft", ignore_errors=True)
    return seen


def generation(bench: Bench) -> Part:
    """eval.generate and plain vLLM in one engine."""
    shutil.rmtree(bench.place / "generated", ignore_errors=True)
    limit, n, longest = (32, 2, 16) if bench.quick else (256, 4, 512)
    words = (
        "--data",
        bench.data / "drg/rl/full_50.parquet",
        "--model",
        bench.model,
        "--out",
        bench.place / "generated",
    )
    sampling = ("--limit", limit, "--n", n, "--max-tokens", longest, "--temperature", 1.0, "--top-p", 1.0)
    said = bench.run("benchmarks.instruments", "generate", *words, *sampling, part="generate")
    return json.loads(said.splitlines()[-1])


def training(bench: Bench, stock: bool) -> Part:
    """Seconds of each phase of a GRPO step, after the first."""
    modules = "VERL_USE_EXTERNAL_MODULES"
    overrides = ["trainer.val_before_train=false", "trainer.test_freq=-1", "trainer.save_freq=-1"]
    overrides += ["trainer.logger=[console,file]", f"trainer.total_training_steps={STEPS}"]
    if not bench.card:
        overrides += ["hardware=cpu", "data.train_batch_size=4"]
    else:
        size = bench.card.bytes
        profile = next((name for name, least in PROFILES.items() if size > least), "gpu24x1")
        overrides += [f"hardware={profile}", f"study.gpu_gb={size / 1e9}"]
        overrides += ["data.train_batch_size=8", "data.max_response_length=512"]
        if not FLASH:  # whose masks are the square of what is packed, so that it is little more than the longest
            budgets = ("actor.ppo_max", "ref.log_prob_max", "rollout.log_prob_max")
            overrides.append("actor_rollout_ref.model.override_config.attn_implementation=sdpa")
            overrides += [f"actor_rollout_ref.{budget}_token_len_per_gpu=8192" for budget in budgets]
    if stock:
        left = "''" if bench.card else "verl_ext.cpu"
        overrides += ["trainer.v1.trainer_mode=sync", f"ray_kwargs.ray_init.runtime_env.env_vars.{modules}={left}"]
    name = "stock" if stock else "ours"
    bench.run("bash", "recipes/launch.sh", RECIPE, *overrides, f"name={name}", "fresh=1", part=name)
    rows = [
        json.loads(line)["data"] for line in (bench.place / RECIPE / name / "metrics.jsonl").read_text().splitlines()
    ]
    names = [key for key in rows[-1] if key.startswith("timing_s/")]
    seen: Part = {key.removeprefix("timing_s/"): fmean(row[key] for row in rows[1:] if key in row) for key in names}
    if bench.card and not bench.quick:
        config = compose(RECIPE, [*overrides, f"places.model={bench.model}"])
        seen["predicted_gb"] = largest(grpo.phases(config, shape(bench.size), bench.card.bytes)).bytes / 1e9
    return seen


PARTS: dict[str, Callable[[Bench], Part]] = {
    "sft": fine_tuning,
    "generate": generation,
    "grpo": partial(training, stock=False),
    "stock": partial(training, stock=True),
}


def line(name: str, part: Part, parts: dict[str, Part]) -> str:
    """A row of the table."""
    took = f"{part['seconds']:.0f} s"
    if "left_out" in part:
        return f"| {name} | left out: {part['left_out']} | | | {took} |"
    memory = (
        f"{part['gb']:.1f} GB" + (f" ({part['predicted_gb']:.1f})" if "predicted_gb" in part else "")
        if "gb" in part
        else ""
    )
    if name == "sft":
        beside = f"{part['mfu']:.0%} of the peak" if "mfu" in part else ""
        return f"| SFT | {part['tokens_per_second']:,.0f} tokens/s | {beside} | {memory} | {took} |"
    if name == "generate":
        beside = f"{part['ratio']:.3f} of plain vLLM, {part['plain']:,.0f}"
        return f"| eval.generate | {part['tokens_per_second']:,.0f} tokens/s | {beside} | {memory} | {took} |"
    phases = ", ".join(f"{key} {part[key]:.1f}" for key in part if isinstance(part[key], float) and key in PHASES)
    other = parts.get("grpo", {}) if name == "stock" else {}
    beside = f"the recipe's takes {other['step'] / part['step']:.3f} of it" if "step" in other else ""
    title = "GRPO step, verl's trainer" if name == "stock" else "GRPO step, the recipe's"
    return f"| {title} | {part['step']:.1f} s: {phases} | {beside} | {memory} | {took} |"


PHASES = ("gen", "reward", "old_log_prob", "ref", "adv", "update_actor", "update_weights")


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__ or "", "python -m benchmarks.gpu --size 1.5b")
    arguments.add_argument("--size", choices=SIZES, default="0.5b", help="of Qwen2.5 (default 0.5b)")
    arguments.add_argument(
        "--only",
        nargs="+",
        choices=list(PARTS),
        default=list(PARTS),
        metavar="PART",
        help="of sft, generate, grpo, stock (default all)",
    )
    arguments.add_argument("--quick", action="store_true", help="the tiny model, a few steps, also on a CPU")
    arguments.add_argument("--out", type=Path, default=Path("outputs/bench-gpu"), help="folder of models and results")
    given = arguments.parse_args(argv)
    bench = Bench(given.out, "tiny" if given.quick else given.size, given.quick)
    bench.place.mkdir(parents=True, exist_ok=True)
    file = bench.place / "bench.json"
    machine = bench.card.name if bench.card else f"CPU, {os.cpu_count()} cores"
    about = {"machine": machine, "size": bench.size, "commit": record.commit()}
    known = json.loads(file.read_text()) if file.exists() else {}
    parts: dict[str, Part] = known["parts"] if known.get("about") == about else {}
    bench.prepare()
    print(f"{machine}, {bench.size}, commit {about['commit']}\n")
    print("| part | measured | beside | peak of memory (predicted) | took |\n|---|---|---|---|---|", flush=True)
    for name in given.only:
        measure = PARTS[name]
        if "left_out" in parts.get(name, {"left_out": "yet"}):
            began = time.monotonic()
            with gauge(bench.card) as used:
                try:
                    part = measure(bench)
                except UserError as error:
                    part = {"left_out": str(error)}
            part |= {"seconds": time.monotonic() - began} | ({"gb": max(used)} if used else {})
            parts[name] = part
            with whole_file(file) as whole:
                whole.write_text(json.dumps({"about": about, "parts": parts}, indent=2) + "\n")
        print(line(name, parts[name], parts), flush=True)
    if any("left_out" in part for part in parts.values()):
        sys.exit(1)


if __name__ == "__main__":
    run(main)
