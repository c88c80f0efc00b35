"""What benchmarks/findings.yaml asks for: models, and studies with their claims; a mistake in it is a sentence.

plan = read(Path("benchmarks/findings.yaml"), out, hardware="cpu")
plan.chosen(["sharpens"])[0].claims
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from common.commands import UserError
from common.papers import Printed, paper_tables
from common.settings import load, refuse_unknown
from recipes.launcher.check_config import check_recipe
from recipes.launcher.compose import compose, near
from reward_fns.task import TASKS

KEYS = ("seeds", "world", "evaluation", "launch", "prompts", "steps", "starts", "runs", "studies", "seconds", "quick")
STUDY = ("title", "paper", "claims", "figure")
CLAIM = ("says", "metric", "of", "minus", "less", "slope", "expect")
START = ("task", "config", "cases", "epochs", "form")
RUN = ("start", "recipe", "overrides")
FIGURE = ("metrics", "here", "printed", "lines", "papers", "curves", "runs")
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
        shown = [*self.figure.get("here", ()), *self.figure.get("runs", ())]
        shown += [name for line in self.figure.get("lines", {}).values() for name in line]
        return list(dict.fromkeys([*(name for claim in self.claims for name in claim.models), *shown]))


class Plan:
    """All that the YAML says, checked."""

    def __init__(self, said: dict[str, Any], out: Path, hardware: str, where: Path) -> None:
        self.said, self.out, self.hardware, self.where = said, out, hardware, where
        self.seeds: list[int] = said["seeds"]
        for kind, known in (("starts", START), ("runs", RUN), ("studies", STUDY)):
            for name, entry in said[kind].items():
                refuse_unknown(entry, known, f"{where}: {kind}.{name}")
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
            *self.said["runs"][name].get("overrides", ()),
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
        refuse_unknown(said["figure"], FIGURE, f"{place}.figure")
        claims = []
        for entry in said["claims"]:
            refuse_unknown(entry, CLAIM, f"{place}.claims")
            lists = {key: _names(entry[key]) for key in ("of", "minus", "slope") if key in entry}
            if entry.get("expect") not in EXPECT or bool(lists.get("of")) == bool(lists.get("slope")):
                raise UserError(f"{place}: a claim needs `expect: up` or `down`, and either `of` or `slope`")
            claims.append(Claim(**{**entry, **lists, "expect": EXPECT[entry["expect"]]}))
        study = Study(name, said["title"], said["paper"], tuple(claims), said["figure"])
        for model in study.models:
            known = {**self.said["starts"], **self.said["runs"]}
            if self.start_of(model) not in self.said["starts"]:
                raise UserError(f"{place} names {model}, which is no start and no run{near(model, known, ' of it')}")
        asked = [(claim.metric, model) for claim in claims for model in claim.models]
        asked += [(metric, model) for metric in study.figure.get("metrics", ()) for model in study.models]
        for metric, model in asked:
            task = self.task_of(model)
            known = metric_names(task, self.said["evaluation"][task]["n"])
            if metric not in known:
                raise UserError(
                    f"{place}: there is no metric {metric!r}{near(metric, known, '; eval.score lists them')}"
                )
        for model, id in study.figure.get("printed", {}).items():
            self.printed(id, self.task_of(model))
        return study


def read(path: Path, out: Path, hardware: str = "cpu", quick: bool = False, seeds: list[int] | None = None) -> Plan:
    """The YAML, with what --quick and --seeds change."""
    said = load(path, KEYS)
    lay = said.pop("quick", {})
    if quick:
        merged = OmegaConf.merge(said, lay)
        assert isinstance(merged, DictConfig)
        said = merged
    plain: Any = OmegaConf.to_container(said, resolve=True)
    if missing := [key for key in KEYS if key not in plain and key != "quick"]:
        raise UserError(f"{path} lacks the key {missing[0]}")
    return Plan(plain | ({"seeds": seeds} if seeds else {}), out, hardware, path)


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
