"""What a row of a paper takes: GPUs, gigabytes, seconds a step, GPU hours. All predicted."""

from dataclasses import dataclass, replace
from functools import cache

from omegaconf import OmegaConf

from common.commands import UserError
from common.papers import Row, paper_rows, paper_tables, papers
from common.settings import load
from recipes.launcher.check_config import asks_judge
from recipes.launcher.compose import RECIPES, compose
from recipes.launcher.paper_check import default_places, is_classifier, read_settings
from recipes.launcher.stages import profile_of, sft_gpus
from recipes.sizing import grpo, seconds, sft
from recipes.sizing.phases import OTHER, SPARE, Part, Phase, largest, phase
from recipes.sizing.refusals import card
from recipes.sizing.shapes import Shape, named, shape_of

EVALUATION = 0.92  # vLLM's own share of a card where it has it to itself
PHASES = 3  # of staged learning, each with the steps that its row states


@dataclass(frozen=True)
class Cost:
    """Of the last training of a row, or of its evaluation where it has none."""

    gpus: int
    judge: int
    card: float
    phases: tuple[Phase, ...]
    seconds: float | None = None  # a step
    steps: int | None = None
    most: bool = False  # the steps are those of the row whose outcomes choose the prompts, so no more than that

    @property
    def largest(self) -> Phase:
        """What decides whether it fits."""
        return largest(self.phases)

    @property
    def hours(self) -> float | None:
        """Of one GPU, the judge's, too."""
        if self.seconds is None or self.steps is None:
            return None
        return self.seconds * self.steps * (self.gpus + self.judge) / 3600


def cost(row: Row) -> Cost:
    """What the row takes on the hardware that it names."""
    return _grpo(row) if row.recipe else sft_cost(row) if row.sft else _evaluation(row)


def _grpo(row: Row) -> Cost:
    steps = row.steps or (paper_rows()[row.after].steps if row.after else None)
    found = _of_recipe(str(row.recipe), tuple(word for word in row.options if not word.startswith("sft_share=")))
    return replace(found, steps=steps * PHASES if steps and row.stages else steps, most=row.steps is None)


@cache
def _of_recipe(recipe: str, options: tuple[str, ...]) -> Cost:
    with default_places():
        config = compose(recipe, options)
        shape, size = shape_of(config), card(config)
        assert shape is not None, f"{recipe}: a model that recipes.sizing.shapes does not know"
        took = sum(seconds.step(config, shape).values())
        return Cost(grpo.devices(config), int(asks_judge(config)), size, tuple(grpo.phases(config, shape, size)), took)


def sft_cost(row: Row) -> Cost:
    """Of the row's supervised fine-tuning."""
    settings = read_settings(RECIPES / row.paper / "sft" / f"{row.sft}.yaml")
    said = OmegaConf.to_container(settings, resolve=False)
    assert isinstance(said, dict)
    gpus = sft_gpus(row.options)
    shape = _shape(row)
    if is_classifier(said):  # its head is small beside the output layer that the model has here
        said["max_length"], shape = said["note_tokens"], named(str(settings.model)) or shape
    cases = None if row.recipe else row.cases or _printed_cases(row)
    batch = said.get("per_device_train_batch_size", 8) * gpus * sft.accumulation(said, gpus)
    steps = int(cases * said["num_train_epochs"] // batch) if cases else None
    phases_ = tuple(sft.phases(said, shape, gpus))
    return Cost(gpus, 0, _card(row), phases_, seconds.sft_step(said, shape, gpus), steps)


def check_before(row: Row) -> None:
    """A row's fine-tuning, or its evaluation where it trains nothing, leaves 5 % of a GPU, too."""
    found = sft_cost(row) if row.sft else _evaluation(row)
    if found.largest.bytes <= (1 - SPARE) * found.card:
        return
    what, where, remedy = found.largest.name, "a GPU", "take a larger one (hardware=NAME)"
    if row.sft:
        what, where = f"SFT's {what}", f"each of {found.gpus} GPUs" if found.gpus > 1 else where
        file = f"{row.paper}/sft/{row.sft}.yaml"
        remedy = f"lower per_device_train_batch_size of {file}, or take more GPUs (hardware=NAME)"
    raise UserError(
        f"{row.id}: {what} would take {found.largest.bytes / 1e9:.0f} GB on {where}, and "
        f"{(1 - SPARE) * found.card / 1e9:.0f} may be used; {remedy}"
    )


def _printed_cases(row: Row) -> int | None:
    tables = (table for table in paper_tables() if table.folder == row.paper)
    return next((one.sft_cases for table in tables for one in table.rows if f"{row.paper}/{one.id}" == row.id), None)


def _shape(row: Row) -> Shape:
    """The shape of the model that a row starts from."""
    start = row.start if row.start and not row.start.startswith("$") else _model(row)
    shape = named(start)
    assert shape is not None, start
    return shape


def _card(row: Row) -> float:
    """Bytes of a GPU of the profile that the row names."""
    if (size := OmegaConf.select(profile_of(row.options), "study.gpu_gb")) is None:
        raise UserError(f"the hardware profile of {row.id} has no study.gpu_gb, the size of a GPU; add it there")
    return float(size) * 1e9


def _model(row: Row) -> str:
    """The model behind a row that names none, or one by a variable."""
    chosen = next((word.partition("=")[2] for word in row.options if word.startswith("model=")), None)
    usual = papers()[row.paper].usual["model"]
    return str(load(RECIPES / "model" / f"{chosen or usual}.yaml").study.model)


def _evaluation(row: Row) -> Cost:
    shape = _shape(row)
    context = row.values["data.max_prompt_length"] + row.values["data.max_response_length"]
    weights = Part("engine", 2 * shape.parameters + grpo.ENGINE, "2 N + 2.5 GB")
    size = _card(row)
    cache = Part("KV cache", max(EVALUATION * size - weights.bytes - OTHER, context * shape.cache), "what is left")
    return Cost(1, 0, size, (phase("generation", weights, cache),))
