"""The shape of benchmarks/findings.yaml: what stands where, of which type; a mistake in it is a sentence. Another file
may name it as its `base` and add starts, runs and studies.

said = read(Path("benchmarks/findings.yaml"), quick=False)
said["starts"]["sft"]["epochs"]
"""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from common.commands import UserError, existing
from common.settings import layers

KINDS = ("world", "sft", "grpo", "evaluation")  # of jobs, whose seconds are predicted


@dataclass
class World:
    """Flags of data_prep.synthesize and data_prep.tiny_model."""

    synthesize: dict[str, Any] = MISSING
    tiny_model: dict[str, Any] = MISSING


@dataclass
class Start:
    """A model that SFT makes."""

    task: str = MISSING
    config: str = MISSING
    cases: int = MISSING
    epochs: int = MISSING
    form: bool = False


@dataclass
class Run:
    """A GRPO run from a start."""

    start: str = MISSING
    recipe: str = MISSING
    overrides: list[str] = field(default_factory=list)


@dataclass
class Claim:
    """What is compared and what the paper saw; names of models are one or a list."""

    says: str = MISSING
    metric: str = MISSING
    expect: str = MISSING
    of: Any = ()
    minus: Any = ()
    less: float = 0.0
    slope: list[str] = field(default_factory=list)


@dataclass
class Figure:
    """Values of models (here, printed), lines over SFT cases (lines, papers) or curves of training (curves, runs)."""

    metrics: list[str] = field(default_factory=list)
    here: list[str] = field(default_factory=list)
    printed: dict[str, str] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)
    papers: list[str] = field(default_factory=list)
    curves: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)


@dataclass
class Study:
    """A finding."""

    title: str = MISSING
    paper: str = MISSING
    claims: list[Claim] = MISSING
    figure: Figure = MISSING


@dataclass
class Findings:
    """The whole file, but for `quick`."""

    seeds: list[int] = MISSING
    world: World = MISSING
    evaluation: dict[str, dict[str, Any]] = MISSING
    launch: list[str] = MISSING
    prompts: int = MISSING
    steps: int = MISSING
    starts: dict[str, Start] = MISSING
    runs: dict[str, Run] = MISSING
    studies: dict[str, Study] = MISSING
    seconds: dict[str, dict[str, Any]] = MISSING


def read(path: Path, quick: bool) -> dict[str, Any]:
    """The file over its base as plain dicts of this shape; with `quick`, what it lays over the rest."""
    known = [*(one.name for one in fields(Findings)), "quick"]
    found = layers(existing(path, "the YAML of studies", "name one after --config"), known)
    try:
        said = OmegaConf.merge(*found)
        assert isinstance(said, DictConfig)
        lay = said.pop("quick", None) or {}
        shaped = OmegaConf.merge(OmegaConf.structured(Findings), said, lay if quick else {})
        assert isinstance(shaped, DictConfig)
        if missing := sorted(OmegaConf.missing_keys(shaped)):
            raise UserError(f"{path} lacks the key {missing[0]}")
        plain: Any = OmegaConf.to_container(shaped, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"{path}: {error.full_key or 'it'}: {str(error).splitlines()[0]}") from error
    for task, sampling in plain["evaluation"].items():
        for key in ("limit", "n"):
            if not isinstance(sampling.get(key), int) or sampling[key] < 1:
                raise UserError(f"{path}: evaluation.{task}.{key} must be a number of 1 or more")
    for machine in ("cpu", "gpu"):
        for kind in KINDS:
            pair = plain["seconds"].get(machine, {}).get(kind)
            if not isinstance(pair, list) or [type(one) in (int, float) for one in pair] != [True, True]:
                raise UserError(f"{path}: seconds.{machine}.{kind} must be two numbers: a start and each")
    return plain
