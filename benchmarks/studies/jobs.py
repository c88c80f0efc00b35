"""The jobs that make the models of studies, each once: the commands of one folder, and what they wait for.

    for job in Jobs(plan).of(plan.chosen([])):
        print(job.key, job.commands)

A job's fingerprint is of its commands and of the jobs before it, wherever the folder of all stands.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from benchmarks.studies.plan import ROOT, TRAINING, Plan, Study
from common.commands import existing
from common.files import sha256
from common.settings import load
from recipes.launcher.compose import compose, unresolved
from recipes.launcher.stages import Stage

BATCH, ROLLOUTS = 16, 8  # cases of a step of SFT, completions of a prompt of GRPO


@dataclass(frozen=True)
class Job:
    """The commands that fill one folder, when they are done, and how long they will take."""

    key: str  # grpo/strict-1
    what: str
    commands: tuple[tuple[str, ...], ...]
    done: Stage
    seconds: float
    out: str  # of all jobs: where they stand decides nothing
    after: tuple["Job", ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    files: str = ""  # a digest of what the configuration says that its words name

    @property
    def folder(self) -> Path:
        """What it fills, and where its model stands."""
        return self.done.done.parent

    @cached_property
    def settings(self) -> list[str]:
        """What decides what the job makes: its words, and what the jobs before it made."""
        words = [word for command in self.commands for word in command]
        words += [f"{key}={value}" for key, value in self.environment.items()]
        words += [f"configuration {self.files}"] if self.files else []
        return [word.replace(self.out, "OUT") for word in words] + [job.print for job in self.after]

    @cached_property
    def print(self) -> str:
        """A fingerprint of the settings."""
        return hashlib.sha256(json.dumps(self.settings).encode()).hexdigest()[:16]


class Jobs:
    """The jobs of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def of(self, studies: Iterable[Study]) -> list[Job]:
        """What the studies need, each once and after what it needs, seed by seed."""
        found: dict[str, Job] = {}
        world = self._world()
        found[world.key] = world
        for study in studies:
            for seed in self.plan.seeds:
                for model in study.models:
                    for job in self._model(model, seed, world):
                        found.setdefault(job.key, job)
        return list(found.values())

    @cache  # noqa: B019  one of these a program
    def _run_says(self, name: str) -> str:
        """A digest of what the recipe of a run and a reward file of its own say, wherever data and models are."""
        run = self.plan.said["runs"][name]
        words = [f"hardware={self.plan.hardware}", *self.plan.said["launch"], *run["overrides"]]
        files = [path for word in run["overrides"] if (path := ROOT / word.partition("=")[2]).is_file()]
        return _digest(unresolved(compose(run["recipe"], words)), *map(sha256, files))

    @cache  # noqa: B019
    def _start_says(self, name: str) -> str:
        """The same of the configuration of a start, with its base."""
        path = existing(ROOT / self.plan.said["starts"][name]["config"], f"what starts.{name} names", "correct it")
        base = load(path).get("base")
        below = [existing(path.parent / base, "the base", f"{path} names it")] if base else []
        return _digest(*map(sha256, [path, *below]))

    def _seconds(self, kind: str, count: float) -> float:
        start, each = self.plan.said["seconds"]["cpu" if self.plan.hardware == "cpu" else "gpu"][kind]
        return start + each * count

    def _world(self) -> Job:
        out, world = self.plan.out, self.plan.said["world"]
        mimic, model, data = out / "mimic", out / "model", out / "data"
        tables = ("--hosp", mimic / "hosp", "--note", mimic / "note", "--out", data, "--split", "patient")
        tables += ("--tokenizer", model, "--max-prompt-tokens", 384)
        commands = (
            _python("data_prep.synthesize", "--out", mimic, *_flags(world["synthesize"])),
            _python("data_prep.tiny_model", "--note", mimic / "note", "--out", model, *_flags(world["tiny_model"])),
            *(_python(f"data_prep.{task}", *tables) for task in TRAINING),
        )
        done = Stage("", (), data / [*TRAINING][-1] / "manifest.json")
        seconds = self._seconds("world", world["synthesize"]["notes"])
        return Job("world", "synthetic MIMIC-IV, model and data", commands, done, seconds, str(out))

    def _model(self, name: str, seed: int, world: Job) -> Iterator[Job]:
        start = self.plan.start_of(name)
        trained = made = self._sft(start, seed, world)
        yield made
        if name in self.plan.said["runs"]:
            made = self._grpo(name, seed, trained)
            yield made
        yield self._evaluation(name, seed, made)

    def _sft(self, name: str, seed: int, world: Job) -> Job:
        said, out = self.plan.said["starts"][name], self.plan.folder("sft", name, seed)
        cases, traces = self.plan.out / "cases" / f"{name}.parquet", self.plan.out / "mimic" / "traces.parquet"
        data = self.plan.out / "data" / f"{TRAINING[said['task']][0]}.parquet"
        form = ("--form", "--traces", traces) if said["form"] else ()
        commands = (
            _python("benchmarks.studies.cases", "--data", data, "--cases", said["cases"], "--out", cases, *form),
            _python(
                "sft.train", "--config", said["config"], "--model", self.plan.out / "model", "--cases", cases,
                "--traces", traces, "--only_accepted", "false", "--num_train_epochs", said["epochs"],
                "--seed", seed, "--output_dir", out, *(() if self.plan.hardware == "cpu" else ("--use_cpu", "false")),
            ),
        )  # fmt: skip
        seconds = self._seconds("sft", math.ceil(said["cases"] / BATCH) * said["epochs"])
        what, done = f"SFT {name}, seed {seed}", Stage("", (), out / "run.json")
        files = self._start_says(name)
        return Job(f"sft/{name}-{seed}", what, commands, done, seconds, str(self.plan.out), (world,), files=files)

    def _grpo(self, name: str, seed: int, start: Job) -> Job:
        words = ("bash", "recipes/launch.sh", self.plan.said["runs"][name]["recipe"], *self.plan.overrides(name, seed))
        places = {
            "DATA_DIR": self.plan.out / "data",
            "MODEL_PATH": start.folder,
            "RUNS_DIR": self.plan.out / "runs",
        }
        done = Stage("", (), self.plan.folder("grpo", name, seed) / "run.json")
        seconds = self._seconds("grpo", ROLLOUTS * self.plan.said["prompts"] * self.plan.said["steps"])
        environment = {key: str(value) for key, value in places.items()}
        run, what, files = f"{name}-{seed}", f"GRPO {name}, seed {seed}", self._run_says(name)
        commands = ((*words, f"name={run}"),)
        return Job(f"grpo/{run}", what, commands, done, seconds, str(self.plan.out), (start,), environment, files)

    def _evaluation(self, name: str, seed: int, trained: Job) -> Job:
        task, out = self.plan.task_of(name), self.plan.folder("eval", name, seed)
        sampling, folder = self.plan.said["evaluation"][task], trained.folder
        model = folder / "hf_model" if name in self.plan.said["runs"] else folder
        data = self.plan.out / "data" / task / "test.parquet"
        words = ("--data", data, "--model", model, "--out", out, "--seed", seed, *_flags(sampling))
        commands = (_python("eval.generate", *words), _python("eval.score", "--generations", out))
        seconds = self._seconds("evaluation", sampling["limit"] * sampling["n"])
        what, done = f"evaluation of {name}, seed {seed}", Stage("", (), out / "scores.json")
        return Job(f"eval/{name}-{seed}", what, commands, done, seconds, str(self.plan.out), (trained,))


def _digest(*said: object) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _python(module: str, *words: object) -> tuple[str, ...]:
    return ("python", "-m", module, *map(str, words))


def _flags(said: dict[str, Any]) -> tuple[str, ...]:
    return tuple(word for key, value in said.items() for word in (f"--{key}", str(value)))
