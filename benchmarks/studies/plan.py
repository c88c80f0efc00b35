"""What benchmarks/findings.yaml asks for: models, and studies with their claims; a mistake in it is a sentence.

plan = read(Path("benchmarks/findings.yaml"), out, hardware="cpu")
plan.chosen(["sharpens"])[0].claims
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.studies import shape
from common.commands import UserError
from common.papers import Printed, paper_tables
from recipes.launcher.check_config import check_recipe
from recipes.launcher.compose import compose, near
from reward_fns.task import TASKS

ROOT = Path(__file__).resolve().parent.parent.parent
EXPECT = {"up": 1, "down": -1}
TRAINING = {"drg": ("drg/sft/full_75", "drg/rl/full_75"), "icd": ("icd/train", "icd/train")}  # of SFT and of GRPO


@dataclass(frozen=True)
class Claim:
    """A metric of models minus that of others or a number; or its slope over the doublings of their SFT cases."""

    says: str
    metric: str
    expect: int
    of: tuple[str, ...] = ()
    minus: tuple[str, ...] = ()
    less: float = 0.0
    slope: tuple[str, ...] = ()

    @property
    def models(self) -> tuple[str, ...]:
        """Every model that it looks at."""
        return (*self.of, *self.minus, *self.slope)


@dataclass(frozen=True)
class Study:
    """A finding, what the paper saw, and what would show it."""

    name: str
    title: str
    paper: str
    claims: tuple[Claim, ...]
    figure: dict[str, Any]

    @property
    def models(self) -> list[str]:
        """Every model that claims or figure look at, each once."""
        shown = [*self.figure["here"], *self.figure["runs"]]
        shown += [name for line in self.figure["lines"].values() for name in line]
        return list(dict.fromkeys([*(name for claim in self.claims for name in claim.models), *shown]))


class Plan:
    """All that the YAML says, checked."""

    def __init__(self, said: dict[str, Any], out: Path, hardware: str, where: Path) -> None:
        self.said, self.out, self.hardware, self.where = said, out, hardware, where
        self.seeds: list[int] = said["seeds"]
        if len(set(self.seeds)) < len(self.seeds):
            raise UserError(f"{', '.join(map(str, self.seeds))} names a seed twice; each is one run")
        for name, start in said["starts"].items():
            if start["task"] not in TRAINING or start["task"] not in said["evaluation"]:
                known = [task for task in TRAINING if task in said["evaluation"]]
                raise UserError(f"{where}: starts.{name}: task {start['task']} is none of {', '.join(known)}")
        for name, run in said["runs"].items():
            if run["start"] not in said["starts"]:
                raise UserError(
                    f"{where}: runs.{name}: there is no start {run['start']}{near(run['start'], said['starts'])}"
                )
        self.studies = {name: self._study(name, entry) for name, entry in said["studies"].items()}

    def chosen(self, names: Iterable[str]) -> list[Study]:
        """The studies of these names, or all."""
        names = list(names) or [*self.studies]
        for name in names:
            if name not in self.studies:
                raise UserError(f"there is no study {name!r}{near(name, self.studies, f': {self._list()}')}")
        return [self.studies[name] for name in names]

    def task_of(self, model: str) -> str:
        """The task of a start or run."""
        return self.said["starts"][self.start_of(model)]["task"]

    def start_of(self, model: str) -> str:
        """The SFT model that a run begins with, or the start itself."""
        run = self.said["runs"].get(model)
        return run["start"] if run else model

    def cases_of(self, model: str) -> int:
        """The SFT cases that a model has seen."""
        return self.said["starts"][self.start_of(model)]["cases"]

    def folder(self, kind: str, model: str, seed: int) -> Path:
        """Where a model (grpo, sft) or its evaluation is."""
        if kind == "grpo":
            return self.out / "runs" / self.said["runs"][model]["recipe"] / f"{model}-{seed}"
        return self.out / kind / f"{model}-{seed}"

    def overrides(self, name: str, seed: int) -> list[str]:
        """What a run is launched with."""
        data = self.out / "data" / f"{TRAINING[self.task_of(name)][1]}.parquet"
        return [
            f"hardware={self.hardware}",
            *self.said["launch"],
            f"data.train_batch_size={self.said['prompts']}",
            f"trainer.total_training_steps={self.said['steps']}",
            f"data.train_files={data}",
            f"data.seed={seed}",
            f"actor_rollout_ref.rollout.seed={seed}",
            *self.said["runs"][name]["overrides"],
        ]

    def check_recipes(self, studies: Iterable[Study]) -> None:
        """Compose and check what the runs launch: a recipe or key that does not exist is a sentence."""
        names = dict.fromkeys(name for study in studies for name in study.models if name in self.said["runs"])
        for name in names:
            try:
                recipe = self.said["runs"][name]["recipe"]
                check_recipe(recipe, compose(recipe, self.overrides(name, self.seeds[0])))
            except UserError as error:
                raise UserError(f"{self.where}: runs.{name}: {error}") from error

    def printed(self, id: str, task: str) -> Printed:
        """A row of the papers' tables."""
        rows = [row for table in paper_tables() for row in table.rows if table.task == task]
        if not (found := [row for row in rows if row.id == id]):
            raise UserError(f"{self.where}: there is no printed row {id!r}{near(id, [row.id for row in rows])}")
        return found[0]

    def _list(self) -> str:
        return ", ".join(self.studies)

    def _study(self, name: str, said: dict[str, Any]) -> Study:
        place = f"{self.where}: studies.{name}"
        claims = tuple(self._claim(f"{place}.claims", entry) for entry in said["claims"])
        study = Study(name, said["title"], said["paper"], claims, said["figure"])
        if not claims:
            raise UserError(f"{place} claims nothing")
        for model in study.models:
            known = {**self.said["starts"], **self.said["runs"]}
            if model not in known:
                raise UserError(f"{place} names {model}, which is no start and no run{near(model, known, ' of it')}")
        for claim in claims:
            if len({self.task_of(model) for model in claim.models}) > 1:
                raise UserError(f"{place}: {claim.says!r} compares models of two tasks, which have other cases")
            if claim.slope and len({self.cases_of(model) for model in claim.slope}) < 2:
                raise UserError(f"{place}: {claim.says!r} needs models of different numbers of SFT cases")
        self._figure(f"{place}.figure", study)
        for metric, model in [*_asked(study)]:
            task = self.task_of(model)
            known = metric_names(task, self.said["evaluation"][task]["n"])
            if metric not in known:
                raise UserError(
                    f"{place}: there is no metric {metric!r}{near(metric, known, '; eval.score lists them')}"
                )
        return study

    def _claim(self, place: str, said: dict[str, Any]) -> Claim:
        lists = {key: _names(said[key]) for key in ("of", "minus", "slope")}
        if said["expect"] not in EXPECT or bool(lists["of"]) == bool(lists["slope"]):
            raise UserError(f"{place}: a claim needs `expect: up` or `down`, and either `of` or `slope`")
        if bool(lists["minus"]) + bool(said["less"]) + bool(lists["slope"]) > 1:
            raise UserError(f"{place}: {said['says']!r} has more than one of `minus`, `less` and `slope`")
        return Claim(**{**said, **lists, "expect": EXPECT[said["expect"]]})

    def _figure(self, place: str, study: Study) -> None:
        """What cannot be drawn, before hours of runs."""
        from eval.page.curves import CURVES
        from eval.page.studies import scaling_series

        figure, papers = study.figure, [one.name for one in scaling_series([])]
        known = {"curves": (figure["curves"], CURVES), "papers": (figure["papers"], papers)}
        known |= {"runs": (figure["runs"], self.said["runs"]), "printed": (figure["printed"], figure["here"])}
        for key, (names, there) in known.items():
            for name in names:
                if name not in there:
                    raise UserError(f"{place}: there is no {name} for `{key}`{near(name, there)}")
        for model, id in figure["printed"].items():
            self.printed(id, self.task_of(model))
        if bool(figure["here"]) + bool(figure["lines"]) + bool(figure["curves"]) != 1:
            raise UserError(f"{place} needs one of `here`, `lines` and `curves`")
        if figure["curves"] and not figure["runs"]:
            raise UserError(f"{place}: `curves` need `runs`")
        if (not figure["curves"] and not figure["metrics"]) or (figure["lines"] and len(figure["metrics"]) != 1):
            raise UserError(f"{place} needs `metrics`, and with `lines` one")


def _asked(study: Study) -> Iterator[tuple[str, str]]:
    """Every metric that is looked at, with its model."""
    for claim in study.claims:
        yield from ((claim.metric, model) for model in claim.models)
    for metric in study.figure["metrics"]:
        yield from ((metric, model) for model in study.models)


def read(path: Path, out: Path, hardware: str = "cpu", quick: bool = False, seeds: list[int] | None = None) -> Plan:
    """The YAML, with what --quick and --seeds change."""
    return Plan(shape.read(path, quick) | ({"seeds": seeds} if seeds else {}), out, hardware, path)


@cache
def metric_names(task: str, n: int) -> list[str]:
    """Every metric that eval.score gives an evaluation with n samples a case: those of a single case."""
    import numpy as np
    import pyarrow as pa

    from eval.scoring.intervals import Bootstrap
    from eval.scoring.labels import Labelled
    from eval.scoring.measure import measure
    from eval.scoring.samples import Samples

    of = TASKS[task]
    names = tuple(level.names or ("A", level.rest or "B") for level in of.levels)
    labelled = Labelled(np.zeros((1, n, len(names)), dtype=int), np.zeros((1, len(names)), dtype=int), names, ())
    numbers = {name: np.ones((1, n)) for name in (*of.flags, *of.numbers, "n_tokens", "truncated")}
    samples = Samples(Path(), {}, of, pa.table({"subject_id": [1]}), [], numbers, labelled)
    return list(measure(samples, Bootstrap(1), "fractional"))


def _names(said: str | list[str]) -> tuple[str, ...]:
    return (said,) if isinstance(said, str) else tuple(said)
