"""Check recipes before they cost anything: what a machine can find wrong in a recipe is found here, before Ray starts.

    python -m recipes.check                                    # every recipe and every row of the papers
    python -m recipes.check drg_sapphire/strict hardware=cpu   # one recipe as it would run: data, model, disk, too
    python -m recipes.check --rows                             # the papers' rows
    python -m recipes.check --show table1/remove_hard          # the commands that make a row, with these options

The launcher calls it first. A fault is one sentence with file, key and remedy, and the exit status is 2.
"""

import gc
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from unittest.mock import patch

from omegaconf import base

from common.commands import parser, run
from common.papers import Row, paper_rows, papers, row_of
from recipes.launcher.check_config import check_difference, check_recipe
from recipes.launcher.check_machine import check_environment, check_run
from recipes.launcher.compose import compose, recipes, split_launch_options
from recipes.launcher.laptop import prepare
from recipes.launcher.paper_check import check_row, check_settings, default_places
from recipes.launcher.stages import check_options, stages
from recipes.sizing.costs import check_before
from recipes.sizing.refusals import check_fit


def check_together(recipe: str, rows: list[Row]) -> list[str]:
    """A recipe and the rows that it makes: a line on each, or the first fault."""
    with default_places():
        plain = compose(recipe)
        check_recipe(recipe, plain, check_fit)
        check_difference(recipe, plain)
        prompts, n = plain.data.train_batch_size, plain.actor_rollout_ref.rollout.n
        lines = [f"{recipe:<42} ok  {prompts} x {n} = {prompts * n} completions a step"]
        for row in rows:
            config = compose(recipe, row.options) if row.options else plain
            check_recipe(row.id, config, check_fit)
            check_row(row, config)
            lines.append(f"{row.id:<42} ok  {f'{row.cases:,} cases, {row.steps:,} steps' if row.cases else recipe}")
    return lines


def check_tuning() -> list[str]:
    """What is fine-tuned or evaluated before, or without, GRPO: a line on each."""
    lines = [f"{name:<42} ok" for paper in papers().values() for name in check_settings(paper)]
    for row in paper_rows().values():
        if not row.recipe:  # its files are there, or it could not have been read
            lines.append(f"{row.id:<42} ok  no GRPO")
        if row.sft:
            check_before(row)
    return lines


def check_all() -> None:
    """Every recipe and every row, on all cores, the recipe with the most rows first: composing one takes a while."""
    known = cache(base.parse)  # the same references stand in all of them, and reading one takes OmegaConf 2 ms
    jobs = {recipe: [row for row in paper_rows().values() if row.recipe == recipe] for recipe in recipes()}
    with default_places():
        compose(next(iter(jobs)))  # the files that it reads are kept, for all that the pool forks
    seldom = {"initializer": gc.set_threshold, "initargs": (200_000,)}  # configurations: many objects that stay
    with patch.object(base, "parse", known), ProcessPoolExecutor(**seldom) as pool:
        large_first = sorted(jobs, key=lambda recipe: -len(jobs[recipe]))
        found = {recipe: pool.submit(check_together, recipe, jobs[recipe]) for recipe in large_first}
        for done in (pool.submit(check_tuning), *(found[recipe] for recipe in jobs)):
            print("\n".join(done.result()))


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__ or "", "python -m recipes.check drg_sapphire/strict hardware=cpu")
    arguments.add_argument("recipe", nargs="?", help="paper/row; without it everything is checked")
    arguments.add_argument("overrides", nargs="*", metavar="key=value", help="as for the launcher")
    arguments.add_argument("--prepare", action="store_true", help="make what hardware=cpu trains, on first use")
    arguments.add_argument("--rows", action="store_true", help="list the papers' rows")
    arguments.add_argument("--show", metavar="ROW", help="print the commands that make a row")
    given = arguments.parse_args(argv)
    if given.rows:
        for row in paper_rows().values():
            print(f"{row.id:<42} {row.recipe or row.sft or row.start} {' '.join(row.options)}".rstrip())
    elif given.show:
        row, words = row_of(given.show), [given.recipe] if given.recipe else []  # no recipe then: the first override
        options = [*words, *given.overrides]
        check_options(row, options)
        options = split_launch_options(options)[1]
        for stage in stages(row, options):
            print(f"# {stage.what}\n{stage.command}")
    elif given.recipe:
        config = compose(given.recipe, split_launch_options(given.overrides)[1])
        # before minutes go into data, and before anything reads a section that is not there
        check_recipe(given.recipe, config)
        if given.prepare:
            prepare(config)
        check_run(given.recipe, config)
        print(f"{given.recipe}: ready to run", file=sys.stderr)
    else:
        check_environment()
        check_all()


if __name__ == "__main__":
    run(main)
