"""The commands that make one row of a paper, in order, and how to tell that one has been done.

for stage in stages(row_of("table1/remove_hard")):
    print(stage.what, stage.command)
"""

import json
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from omegaconf import OmegaConf

from common.commands import UserError
from recipes.launcher.check_config import asks_judge
from recipes.launcher.compose import RECIPES, compose
from recipes.launcher.paper_check import Row, paper_rows, read_settings

TASKS = {"drg_sapphire": "drg", "deepicd_r1": "icd"}
SPLITS = {"drg": "published", "icd": "stratified"}  # those of the papers
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
        record = json.loads(self.done.read_text()) if self.done.name == "run.json" else {}
        return record.get("status", "finished") == "finished"


class Places(NamedTuple):
    """Where the stages read and write."""

    data: Path
    runs: Path

    @classmethod
    def of_environment(cls, hardware: str | None) -> "Places":
        data = os.environ.get("DATA_DIR") or ("outputs/demo/data" if hardware == "cpu" else "data")
        return cls(Path(data), Path(os.environ.get("RUNS_DIR") or "runs"))


def hardware_of(options: Iterable[str]) -> str | None:
    """The last hardware=NAME among the options."""
    return next((option.partition("=")[2] for option in reversed([*options]) if option.startswith("hardware=")), None)


def run_name(row: Row) -> str:
    """The name of a row's run folder."""
    return row.id.removeprefix(f"{row.paper}/").replace("/", "-")


def check_files(row: Row) -> None:
    """The SFT and evaluation YAML that a row names are there."""
    folder = RECIPES / row.paper
    for kind, name in (("sft", row.sft), ("eval", row.eval)):
        if name and not (folder / kind / f"{name}.yaml").is_file():
            raise UserError(f"{row.id}: recipes/{row.paper}/{kind}/{name}.yaml does not exist; mend paper_values.yaml")
    for other in filter(None, (row.after, row.teacher)):
        if other not in paper_rows():
            raise UserError(f"{row.id}: needs {other}, which is no row of paper_values.yaml")


def stages(row: Row, options: Iterable[str] = ()) -> list[Stage]:
    """The whole chain of a row: data, traces, SFT, GRPO, generation, scores, comparison."""
    options = [*row.options, *options]
    places = Places.of_environment(hardware_of(options))
    return [*_model(row, options, places), *_evaluation(row, options, places)]


def _model(row: Row, options: list[str], places: Places) -> Iterator[Stage]:
    task = TASKS[row.paper]
    yield _data(task, row, places)
    if row.sft:
        yield from _sft(row, options, places)
    if row.after:
        yield from _curriculum(row, options, places)
    if row.stages:
        script, method = row.stages.split()
        last = places.runs / row.paper / row.recipe_name / f"{run_name(row)}-3" / "run.json"
        words = ("bash", f"recipes/{row.paper}/{script}", method, f"name={run_name(row)}", *options)
        yield Stage("three phases of GRPO with hard cases between", words, last)
    elif row.recipe:
        if row.sft and hardware_of(options) == "cpu":  # whose profile starts from the demo's model
            options = [*options, f"places.model={places.runs / row.paper / 'sft' / row.sft}{_variant(row, options)}"]
        words = (*_judge(row, options), "bash", "recipes/launch.sh", row.recipe, *options, f"name={run_name(row)}")
        yield Stage("GRPO", words, places.runs / row.recipe / run_name(row) / "run.json")


def _judge(row: Row, options: list[str]) -> tuple[str, ...]:
    """The judge that a run needs beside it, where none is there yet."""
    if "JUDGE_URL" in os.environ or not asks_judge(compose(str(row.recipe))):
        return ()
    cpu = hardware_of(options) == "cpu"
    model = os.environ.get("MODEL_PATH", "outputs/demo/sft") if cpu else "meta-llama/Llama-3.1-8B-Instruct"
    return ("bash", "recipes/judge.sh", os.environ.get("JUDGE_MODEL", model), "--")


def _data(task: str, row: Row, places: Places) -> Stage:
    words = (
        *("python", "-m", f"data_prep.{task}", "--hosp", "$MIMIC/hosp", "--note", "$MIMIC/note"),
        *("--out", str(places.data), "--split", SPLITS[task]),
        *("--tokenizer", row.start or "Qwen/Qwen2.5-7B-Instruct"),
        *("--max-prompt-tokens", str(row.values["data.max_prompt_length"])),
    )
    return Stage("data from MIMIC-IV", words, places.data / task / "manifest.json")


def _sft(row: Row, options: list[str], places: Places) -> Iterator[Stage]:
    cpu = hardware_of(options) == "cpu"
    name = f"{row.sft}{_variant(row, options)}"
    launcher = ("python",) if cpu else ("accelerate", "launch", "--config_file", "recipes/accelerate/fsdp2_x4.yaml")
    chosen = ["--hardware", "cpu"] if cpu else []
    config = RECIPES / row.paper / "sft" / f"{name}.yaml"
    if not config.is_file():  # a size or a model without a file of its own
        config = config.with_name(f"{row.sft}.yaml")
        chosen += ["--name", name, "--model", str(row.start)]
        if read_settings(config).get("sample") == "${name}":
            chosen += ["--sample", str(row.sft)]
    traces = None if cpu else _traces(config)  # the synthetic data bring theirs
    if traces:
        if row.teacher and "TRACE_MODEL" not in os.environ:
            teacher = paper_rows()[row.teacher]
            yield [*_model(teacher, [*teacher.options], places)][-1]
        words = ("python", "-m", "sft.traces", "--config", str(traces.relative_to(RECIPES.parent)))
        yield Stage("reasoning traces", words, Path(OmegaConf.create(read_settings(traces)).out) / "traces.parquet")
    words = (*launcher, "-m", "sft.train", "--config", str(config.relative_to(RECIPES.parent)), *chosen)
    yield Stage("supervised fine-tuning", words, places.runs / row.paper / "sft" / name / "run.json")


def _traces(sft: Path) -> Path | None:
    """The configuration that writes the traces which an SFT configuration reads, its own or that of its sample."""
    read = OmegaConf.create(read_settings(sft)).get("traces")
    files = sorted((sft.parent.parent / "traces").glob("[!_]*.yaml"))
    written = {file: f"{OmegaConf.create(read_settings(file)).get('out')}/traces.parquet" for file in files}
    return next((file for file in files if written[file] == read), None)


def _curriculum(row: Row, options: list[str], places: Places) -> Iterator[Stage]:
    """The row whose outcomes tell easy prompts from hard ones, then the files made of them."""
    base = paper_rows()[str(row.after)]
    *_, grpo = _model(base, options, places)
    data = places.data / "drg" / "rl" / f"{_rl(row, options)}.parquet"
    yield grpo
    words = (
        "python",
        "-m",
        "data_prep.curriculum",
        "--data",
        str(data),
        "--outcomes",
        str(grpo.done.with_name("outcomes.parquet")),
    )
    yield Stage("easy and hard prompts", words, data.with_name(f"{data.stem}_curriculum.json"))


def _evaluation(row: Row, options: list[str], places: Places) -> Iterator[Stage]:
    task, hardware = TASKS[row.paper], hardware_of(options)
    out = places.runs / row.paper / "eval" / run_name(row)
    words = (
        *("python", "-m", "eval.generate", "--config", f"recipes/{row.paper}/eval/{row.eval}.yaml"),
        *("--data", str(places.data / task / "test.parquet"), "--model", _trained(row, options, places)),
        *("--out", str(out), *SAMPLES.get(str(hardware), ())),
    )
    yield Stage("generations for the test cases", words, out / "scores.json")
    yield Stage("scores", ("python", "-m", "eval.score", "--generations", str(out)), out / "scores.json")
    report = places.runs / row.paper / "report" / run_name(row)
    runs = [str(out)]
    if row.recipe:
        runs.append(str(Path(_trained(row, options, places)).parent))
    words = ("python", "-m", "eval.report", "--runs", *runs, "--out", str(report))
    yield Stage("comparison with the paper", words, report / "index.html")


def _trained(row: Row, options: list[str], places: Places) -> str:
    """The model that the row evaluates."""
    if row.stages:
        return str(places.runs / row.paper / row.recipe_name / f"{run_name(row)}-3" / "hf_model")
    if row.recipe:
        return str(places.runs / row.recipe / run_name(row) / "hf_model")
    if row.sft:
        return str(places.runs / row.paper / "sft" / f"{row.sft}{_variant(row, options)}")
    return str(row.start)


def _variant(row: Row, options: list[str]) -> str:
    recipe = row.recipe or next(
        other.recipe for other in paper_rows().values() if other.paper == row.paper and other.recipe
    )
    return str(compose(str(recipe), [option for option in options if option.startswith("model=")]).study.variant)


def _rl(row: Row, options: list[str]) -> str:
    return str(compose(str(row.recipe), [option for option in options if option.startswith("sft_share=")]).study.rl)
