"""What a recipe or a row of a paper takes, before it is run: memory of a GPU by phase, host, disk, processors, time.

    python -m recipes.memory drg_sapphire/strict                           # 7B on four GPUs
    python -m recipes.memory drg_sapphire/strict hardware=gpu24x1 model=qwen2.5-0.5b-instruct
    python -m recipes.memory table3/qwen32b_grpo                           # a row, with what fine-tunes before it
    python -m recipes.memory --all                                         # all rows
    python -m recipes.memory deepicd_r1/sft_grpo --here                    # against the GPUs of this machine

Everything is arithmetic from the composed recipe and the model's shape; nothing is loaded. In the formulas N are
parameters, N_l those of a layer, A of an adapter, E of the embedding, G GPUs, T tokens of a micro-batch, L layers,
H and I hidden and inner width, V the vocabulary. A recipe that does not fit ends with a sentence and exit status 2.
"""

from collections.abc import Iterable
from dataclasses import replace

from omegaconf import DictConfig

from common.commands import UserError, parser, run
from common.papers import Row, paper_rows, row_of
from recipes.launcher.check_config import asks_judge, check_recipe
from recipes.launcher.compose import compose, recipes, split_launch_options
from recipes.launcher.stages import check_options, hardware_of
from recipes.sizing import costs, grpo, host, refusals, seconds
from recipes.sizing.phases import COLUMNS, Phase, largest
from recipes.sizing.shapes import shape_of


def table(phases: Iterable[Phase], card: float) -> list[str]:
    """Gigabytes by phase and kind, then the formulas of the largest phase."""
    phases = list(phases)
    lines = [f"{'GB a GPU':>14}" + "".join(f"{word:>13}" for word in (*COLUMNS, "in all"))]
    for one in phases:
        sums = [sum(part.bytes for part in one.parts if part.column == column) for column in COLUMNS]
        numbers = (f"{size / 1e9:13.1f}" if size else f"{'-':>13}" for size in (*sums, one.bytes))
        lines.append(f"{one.name:>14}" + "".join(numbers))
    most = largest(phases)
    lines.append(f"most: {most.name}, {most.bytes / 1e9:.1f} GB, {most.bytes / card:.0%} of {card / 1e9:.1f}")
    lines += [f"  {part.column:<12}{part.bytes / 1e9:7.1f} = {part.formula}" for part in most.parts]
    return lines


def of_recipe(config: DictConfig, here: bool) -> list[str]:
    """All that is known of one recipe as it would run."""
    shape, card = shape_of(config), refusals.card(config, here)
    if not card:
        raise UserError("study.gpu_gb is null, the size of a GPU in 1e9 bytes; say study.gpu_gb=80")
    if shape is None:
        path = config.actor_rollout_ref.model.path
        raise UserError(
            f"the shape of {path} is not known; give places.model a folder with the config.json of a Llama or a Qwen2"
        )
    judge, took = int(asks_judge(config)), seconds.step(config, shape)
    size, copies = host.disk(config, shape)
    parts = host.memory(config, shape)
    beside = " and one of the judge's" if judge else ""
    parted = ", ".join(f"{part.bytes / 1e9:.0f} {part.column}" for part in parts if part.bytes)
    return [
        f"{shape.parameters:,} parameters, {_gpus(grpo.devices(config))}{beside}",
        *table(grpo.phases(config, shape, card), card),
        f"host memory  {sum(part.bytes for part in parts) / 1e9:.0f} GB a node: {parted}",
        f"disk         {size * copies / 1e9:.0f} GB: {copies} checkpoints of {size / 1e9:.0f}, one in the making",
        f"processors   {host.cpus(config)} that Ray must find",
        f"a step       {sum(took.values()):.0f} s, predicted for H100s: "
        + ", ".join(f"{name} {value:.0f}" for name, value in took.items()),
    ]


def of_row(row: Row) -> list[str]:
    """A line of the table of all rows."""
    found = costs.cost(row)
    most, hours = found.largest, found.hours
    gpus = f"{found.gpus} + 1" if found.judge else f"{found.gpus}"
    step = f"{found.seconds:.0f} s" if found.seconds else "-"
    hours_ = f"{'<= ' * found.most}{hours:,.0f} h" if hours else "-"
    share = f"{most.bytes / found.card:.0%}"
    return [f"{row.id:<40}{gpus:>6}{most.name:>16}{most.bytes / 1e9:>8.1f} GB{share:>6}{step:>8}{hours_:>12}"]


def before_grpo(row: Row) -> None:
    """Print what a row's fine-tuning takes, or its evaluation where it trains nothing."""
    found = costs.sft_cost(row) if row.sft else costs.cost(row)
    heading = f"SFT, {row.sft}" if row.sft else "generation"
    print("\n".join([f"{heading}, {_gpus(found.gpus)}", *table(found.phases, found.card), *[""] * bool(row.recipe)]))


def _gpus(count: int) -> str:
    return f"{count} GPU{'s' * (count > 1)}"


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__ or "", "python -m recipes.memory drg_sapphire/strict")
    arguments.add_argument("what", nargs="?", metavar="ROW|RECIPE", help="as recipes.check lists them")
    arguments.add_argument("overrides", nargs="*", metavar="key=value", help="as for the launcher")
    arguments.add_argument("--all", action="store_true", help="a line a row of the papers")
    arguments.add_argument("--here", action="store_true", help="against the GPUs and processors of this machine")
    given = arguments.parse_args(argv)
    if given.all and (given.what or given.here):
        raise UserError("--all counts every row on the GPUs of its own profile; say it alone")
    if given.all:
        print(f"{'row':<40}{'GPUs':>6}{'most in':>16}{'a GPU':>11}{'':>6}{'a step':>8}{'GPU hours':>12}")
        print("\n".join(line for row in paper_rows().values() for line in of_row(row)))
        return
    if given.what is None:
        raise UserError("name a recipe or a row of a paper, or say --all")
    options = split_launch_options(given.overrides)[1]
    recipe = given.what.removeprefix("recipes/").removesuffix(".yaml")
    row = None if recipe in recipes() else row_of(given.what)
    if row:
        check_options(row, given.overrides)
        recipe, row = row.recipe, replace(row, options=(*row.options, *options))
    config = compose(recipe, row.options if row else options) if recipe else None
    if config is not None:
        check_recipe(given.what, config)  # what is counted below are numbers then
    if hardware_of(options) == "cpu" or (config is not None and config.trainer.device == "cpu"):
        raise UserError("hardware=cpu has no GPU memory to count; name another profile")
    if given.here and config is None:
        raise UserError(f"--here looks whether GRPO fits this machine, and {given.what} has none; leave --here out")
    alone = row is not None and (row.sft or not row.recipe)
    if alone:
        before_grpo(row)
    if config is not None:
        print("\n".join(of_recipe(config, given.here)))
    if alone:
        costs.check_before(row)
    if config is not None:
        here = (refusals.check_gpus, refusals.check_cpus) if given.here else ()
        check_recipe(given.what, config, *here, lambda config: refusals.check_fit(config, given.here))


if __name__ == "__main__":
    run(main)
