"""The commands that make one row of a paper, in order, and how to tell that one has been done.

for stage in stages(row_of("table1/remove_hard")):
    print(stage.what, stage.command)
"""

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig, OmegaConf

from common import record
from common.commands import UserError
from common.papers import MIMIC, Row, paper_rows, papers
from common.settings import load
from recipes.launcher.check_config import asks_judge, check_recipe
from recipes.launcher.compose import RECIPES, check_choice, compose, split_launch_options
from recipes.launcher.laptop import DEMO
from recipes.launcher.paper_check import is_classifier, read_settings

PACKAGED = "models/smollm2-135m"  # the model that a Python package brings where no hub is in reach
OWN = ("model", "name", "sft_share")  # what makes a row the one that it is, in all its stages
SAMPLES = {"cpu": ("--max-tokens", "128", "--limit", "64")}  # what a laptop can evaluate in minutes


class Stage(NamedTuple):
    """One command, and the file that stands there when it has finished."""

    what: str
    words: tuple[str, ...]
    done: Path

    @property
    def command(self) -> str:
        """The command as one types it."""
        return re.sub(r"'(\$\w+[^']*)'", r'"\1"', shlex.join(self.words))  # variables are for the shell to fill in

    def is_done(self) -> bool:
        """Whether it has finished: a GRPO run says so in its run.json, the other outputs appear whole."""
        if not self.done.exists():
            return False
        return self.done.name != record.NAME or record.read(self.done.parent).get("status", "finished") == "finished"


def hardware_of(options: Iterable[str]) -> str | None:
    """The last hardware=NAME among the options."""
    return next((option.partition("=")[2] for option in reversed([*options]) if option.startswith("hardware=")), None)


def profile_of(options: Iterable[str]) -> DictConfig:
    """The hardware profile that the options choose."""
    return load(RECIPES / "hardware" / f"{hardware_of(options) or 'h100x4'}.yaml")


def check_options(row: Row, options: Iterable[str]) -> None:
    """Every option acts on the row: GRPO takes all of them, and nothing but the hardware reaches the other stages."""
    options = [*options]
    for option in options if row.recipe else ():
        if (key := option.partition("=")[0]) in OWN:
            raise UserError(
                f"{row.id} has a {key} of its own, so {option!r} would make another row; launch it as a recipe: "
                f"bash recipes/launch.sh {row.recipe} {option}"
            )
    if row.recipe and options:
        check_recipe(row.id, compose(row.recipe, [*row.options, *split_launch_options(options)[1]]))
    for option in () if row.recipe else options:
        check_choice(option)
        if not option.startswith("hardware="):
            config = f"recipes/{row.paper}/{f'sft/{row.sft}' if row.sft else f'eval/{row.eval}'}.yaml"
            raise UserError(f"{row.id} has no GRPO that {option!r} could change; say hardware=NAME, or change {config}")


def sft_gpus(options: Iterable[str]) -> int:
    """On how many GPUs of one node SFT runs: those of the hardware profile."""
    return int(profile_of(options).trainer.n_gpus_per_node)


def stages(row: Row, options: Iterable[str] = ()) -> list[Stage]:
    """The whole chain of a row: data, traces, SFT, GRPO, generation, scores, comparison."""
    chain = _Chain(row, [*row.options, *options])
    model = [*chain.model()]
    return [*model, *chain.evaluation(model[-1])]


class _Chain:
    """The stages of one row, launched with these options."""

    def __init__(self, row: Row, options: Sequence[str]) -> None:
        self.row, self.options, self.paper = row, options, papers()[row.paper]
        self.hardware = hardware_of(options)
        self.cpu = self.hardware == "cpu"
        self.data = Path(os.environ.get("DATA_DIR") or (DEMO / "data" if self.cpu else "data"))
        self.runs = Path(os.environ.get("RUNS_DIR") or "runs")
        self.place = self.runs / row.paper
        # a variable's model: what the recipes take for it where it is not set
        self.base = str(self.config.study.model) if str(row.start).startswith("$") else row.start
        start = compose(self._recipe, ["hardware=cpu"]).places.model if self.cpu else self.base
        self.start = str(start)  # of a laptop: one model in the place of all

    @cached_property
    def config(self) -> DictConfig:
        """The recipe with the row's model and share; for a row without one, another recipe of the paper."""
        return compose(self._recipe, [option for option in self.options if option.startswith(("model=", "sft_share="))])

    @property
    def _recipe(self) -> str:
        return self.row.recipe or next(row.recipe for row in self.paper.rows.values() if row.recipe)

    def model(self) -> Iterator[Stage]:
        """Data and training; the last stage leaves the model that is evaluated."""
        row, name = self.row, f"name={self.row.name}"
        if self.base == PACKAGED and not self.cpu:
            words = ("python", "-m", "data_prep.pretrained", "--out", PACKAGED)
            yield Stage("SmolLM2 from a Python package", words, Path(PACKAGED))
        yield self._data()
        if row.sft:
            yield from self._sft()
        if row.after:
            yield from self._curriculum()
        if row.stages:
            script, method = row.stages.split()
            words = ("bash", f"recipes/{row.paper}/{script}", method, name, *self.options)
            last = self.runs / str(row.recipe) / f"{row.name}-3" / record.NAME
            yield Stage("three phases of GRPO with hard cases between", words, last)
        elif row.recipe:
            # the profile of a CPU starts from the demo's model
            start = [f"places.model={self.place / 'sft' / self._sft_name}"] if row.sft and self.cpu else []
            words = (*self._judge(), "bash", "recipes/launch.sh", row.recipe, *self.options, *start, name)
            yield Stage("GRPO", words, self.runs / row.recipe / row.name / record.NAME)

    def evaluation(self, trained: Stage) -> Iterator[Stage]:
        """Generations, scores and the report of what the last stage trained."""
        row, out, report = self.row, self.place / "eval" / self.row.name, self.place / "report" / self.row.name
        folder = trained.done.parent
        model = folder / "hf_model" if row.recipe else folder if row.sft else self.start
        sampling = ("--config", f"recipes/{row.paper}/eval/{row.eval}.yaml", *SAMPLES.get(str(self.hardware), ()))
        classify = bool(row.sft and not row.recipe and is_classifier(read_settings(self._sft_config)))
        words = (
            *("python", "-m", *(("eval.classify",) if classify else ("eval.generate", *sampling))),
            *("--data", str(self.data / self.paper.task / "test.parquet"), "--model", str(model), "--out", str(out)),
        )
        yield Stage("generations for the test cases", words, out / "scores.json")
        yield Stage("scores", ("python", "-m", "eval.score", "--generations", str(out)), out / "scores.json")
        runs = (str(out), str(folder)) if row.recipe else (str(out),)
        words = ("python", "-m", "eval.report", "--runs", *runs, "--out", str(report))
        yield Stage("comparison with the paper", words, report / "index.html")

    def _judge(self) -> tuple[str, ...]:
        """The judge that a run needs beside it, where none is there yet."""
        if "JUDGE_URL" in os.environ or not asks_judge(self.config):
            return ()
        model = self.start if self.cpu else "meta-llama/Llama-3.1-8B-Instruct"
        return ("bash", "recipes/judge.sh", os.environ.get("JUDGE_MODEL", model), "--")

    def _data(self) -> Stage:
        task = self.paper.task
        if self.cpu and self.data == DEMO / "data":
            model = Path(self.start)
            until, done = (
                (model.name, model / record.NAME)
                if model.parent == DEMO
                else ("data", self.data / task / "manifest.json")
            )
            words = ("env", f"UNTIL={until}", "bash", "recipes/demo.sh")
            return Stage("synthetic data and a small model to start from", words, done)
        words = (
            *("python", "-m", f"data_prep.{task}", *self.paper.inputs, "--out", str(self.data)),
            *(("--split", self.paper.split) if self.paper.split else ()),
            *("--tokenizer", self.base or "Qwen/Qwen2.5-7B-Instruct"),
            *("--max-prompt-tokens", str(self.row.values["data.max_prompt_length"])),
        )
        where = "MIMIC-IV" if self.paper.inputs == MIMIC else self.paper.title
        return Stage(f"data from {where}", words, self.data / task / "manifest.json")

    @property
    def _sft_name(self) -> str:
        return f"{self.row.sft}{self.config.study.variant}"

    @property
    def _sft_config(self) -> Path:
        """Its own, or for a size or a model without a file of its own the sample's."""
        own = RECIPES / self.row.paper / "sft" / f"{self._sft_name}.yaml"
        return own if own.is_file() else own.with_name(f"{self.row.sft}.yaml")

    def _sft(self) -> Iterator[Stage]:
        row, name = self.row, self._sft_name
        gpus = sft_gpus(self.options)
        launcher = ["accelerate", "launch", "--config_file", f"recipes/accelerate/fsdp2_x{gpus}.yaml"]
        chosen = ["--hardware", "cpu"] if self.cpu else []
        config = self._sft_config
        settings = read_settings(config)
        if config.stem != name:
            chosen += ["--name", name, "--model", str(self.base)]
            if OmegaConf.to_container(settings).get("sample") == "${name}":
                chosen += ["--sample", str(row.sft)]
        if self.cpu:
            chosen += ["--model", self.start]
        traces = None if self.cpu else _traces(config)  # the synthetic data bring theirs
        if traces:
            if row.teacher and "TRACE_MODEL" not in os.environ:
                teacher = paper_rows()[row.teacher]
                yield [*_Chain(teacher, teacher.options).model()][-1]
            words = ("python", "-m", "sft.traces", "--config", str(traces.relative_to(RECIPES.parent)))
            yield Stage("reasoning traces", words, Path(read_settings(traces).out) / "traces.parquet")
        command = "sft.classify" if is_classifier(settings) else "sft.train"
        words = (*(["python"] if gpus == 1 else launcher), "-m", command, "--config")
        words += (str(config.relative_to(RECIPES.parent)), *chosen)
        yield Stage("supervised fine-tuning", words, self.place / "sft" / name / record.NAME)

    def _curriculum(self) -> Iterator[Stage]:
        """The row whose outcomes tell easy prompts from hard ones, then the files made of them."""
        *_, grpo = _Chain(paper_rows()[str(self.row.after)], self.options).model()
        yield grpo
        data = self.data / self.paper.task / "rl" / f"{self.config.study.rl}.parquet"
        outcomes = grpo.done.with_name("outcomes.parquet")
        words = ("python", "-m", "data_prep.curriculum", "--data", str(data), "--outcomes", str(outcomes))
        yield Stage("easy and hard prompts", words, data.with_name(f"{data.stem}_curriculum.json"))


def _traces(sft: Path) -> Path | None:
    """The configuration that writes the traces which an SFT configuration reads, its own or that of its sample."""
    read = read_settings(sft).get("traces")
    files = sorted((sft.parent.parent / "traces").glob("[!_]*.yaml"))
    return next((file for file in files if f"{read_settings(file).get('out')}/traces.parquet" == read), None)
