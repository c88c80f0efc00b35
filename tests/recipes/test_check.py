"""recipes.check: every recipe and row is in order, and every fault that a YAML can hold is caught and named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from common import papers
from common.commands import UserError
from recipes.launcher.check_config import check_recipe
from recipes.launcher.compose import compose, recipes
from tests.conftest import assert_refused, run_command, run_process

# As `python -m recipes.check` does for one recipe and the rows that it makes: all of them take ten seconds.
ONE = """
from common.commands import run
from common.papers import paper_rows
from recipes.check import check_together
run(lambda: check_together({0!r}, [row for row in paper_rows().values() if row.recipe == {0!r}]))
"""


def check(copy: Path, recipe: str | None = None) -> subprocess.CompletedProcess[str]:
    words = ["-c", ONE.format(recipe)] if recipe else ["-m", "recipes.check"]
    env = {**os.environ, "PYTHONPATH": str(copy)}
    return subprocess.run([sys.executable, *words], cwd=copy, env=env, capture_output=True, text=True)


def test_every_recipe_and_row_is_in_order() -> None:
    done = run_process("recipes.check")
    assert done.returncode == 0, done.stderr
    for name in (*recipes(), *papers.paper_rows()):
        assert any(line.split()[:2] == [name, "ok"] for line in done.stdout.splitlines()), name


# recipe, text in it or in its base, what stands in its place, what the sentence says
FAULTS = [
    ("dapo_loss", "loss_agg_mode", "loss_aggmode", ("loss_aggmode", "loss_agg_mode")),
    ("dapo_loss", "actor_rollout_ref:", "actor_rolout_ref:", ("actor_rolout_ref", "actor_rollout_ref")),
    ("kl_decay", "kl_schedule", "kl_shedule", ("trainer.v1.medcode.kl_shedule", "kl_schedule")),
    ("kl_decay", "cosine", "cosin", ("kl_schedule", "cosin")),
    ("neutral_resampling", "max_redraws: 12", "max_draws: 12", ("max_redraws",)),
    ("neutral_resampling", "rule: neutral", "rule: natural", ("natural", "positive_published")),
    ("differential_thinking", "  sft: differential", "  stf: differential", ("study.stf", "study.sft")),
    ("dense", "reward:\n", "data.train_batch_size: 32\n\nreward:\n", ("data.train_batch_size", "dots")),
    ("dense", "reward:\n", "custom_reward_function:\n  path: mine.py\n\nreward:\n", ("reward.custom_reward_function",)),
    ("no_kl", "use_kl_loss: false", "use_kl_loss: false\n    grad_clip: 0.5", ("optim.clip_grad",)),
    ("strict", "accuracy: strict", "accuracy: strickt", ("strickt", "strict")),
    ("cot_first", "cot_first_penalty: 0.5", "cot_penalty: 0.5", ("cot_penalty", "cot_first_penalty")),
    ("dense", "pkg://reward_fns.drg", "pkg://reward_fns.drgs", ("reward_fns.drgs",)),
    ("dense", "pkg://reward_fns.drg", "tests/no_such_file.py", ("tests/no_such_file.py",)),
    ("best", "loss_agg_mode: token-mean", "loss_agg_mode: seq-mean-token-mean", ("table2/50/best", "token-mean")),
    ("dr_grpo_loss", "1024", "1000", ("table1/dr_grpo_loss", "loss_scale_factor", "1000", "1024")),
    ("dense", "lr: 3.0e-6", "lr: 3.0e-5", ("optim.lr", "3e-05", "3e-06")),
    ("dense", "train_batch_size: 64", "train_batch_size: 60", ("train_batch_size", "60", "64")),
    ("no_kl", "use_kl_loss: false", "use_kl_loss: true", ("drg_sapphire/no_kl",)),
]


@pytest.mark.parametrize(("recipe", "text", "fault", "said"), FAULTS, ids=lambda value: str(value)[:30])
def test_a_fault_in_a_recipe_is_caught_and_named(
    copy: Path, recipe: str, text: str, fault: str, said: tuple[str, ...]
) -> None:
    path = copy / "recipes" / "drg_sapphire" / f"{recipe}.yaml"
    if text not in path.read_text():
        path = path.with_name("_base.yaml")
    before = path.read_text()
    assert text in before
    path.write_text(before.replace(text, fault, 1))
    assert_refused(check(copy, f"drg_sapphire/{recipe}"), *said)


def test_a_delta_that_changes_nothing_is_a_fault(copy: Path) -> None:
    base = yaml.safe_load((copy / "recipes/drg_sapphire/_base.yaml").read_text())
    (copy / "recipes/drg_sapphire/dense.yaml").write_text(
        "# @package _global_\n# nothing\ndefaults:\n  - /drg_sapphire/_base\n  - _self_\n\n"
        f"data:\n  train_batch_size: {base['data']['train_batch_size']}\n"
    )
    assert_refused(check(copy, "drg_sapphire/dense"), "drg_sapphire/dense", "same as its _base.yaml")


def test_every_recipe_here_is_a_row_of_a_paper_or_of_a_paper_without_rows() -> None:
    ours = {recipe for recipe in recipes() if not recipe.startswith("own/")}
    beyond = {recipe for recipe in ours if recipe.partition("/")[0] not in papers.papers()}
    assert ours - beyond == {row.recipe for row in papers.paper_rows().values() if row.recipe}
    assert beyond == {"clinical_prm/note_grpo"}


def test_a_row_whose_sft_configuration_is_gone_is_a_fault(copy: Path) -> None:
    (copy / "recipes/drg_sapphire/sft/full_90.yaml").unlink()
    assert_refused(check(copy), "sft/full_90.yaml", "paper.yaml", "table2/90/sft")


def test_a_prefill_that_the_reward_does_not_know_is_a_fault() -> None:
    config = compose("deepicd_r1/sft_grpo", ["reward.custom_reward_function.reward_kwargs.prefill=''"])
    with pytest.raises(UserError, match="begin with '<think>'"):
        check_recipe("deepicd_r1/sft_grpo", config)


def test_the_commands_of_a_row_are_shown_in_order() -> None:
    done = run_command("recipes.check", "--show", "table1/remove_hard")
    assert done.returncode == 0, done.stderr
    wanted = ["data_prep.drg", "sft.train", "drg_sapphire/dense", "data_prep.curriculum", "drg_sapphire/remove_hard",
              "eval.generate", "eval.score", "eval.report"]  # fmt: skip
    places = [done.stdout.index(word) for word in wanted]
    assert places == sorted(places)
    assert_refused(run_command("recipes.check", "--show", "table9/none"), "table9/none", "--rows")


def test_every_row_has_commands_and_the_list_names_it() -> None:
    listed = run_command("recipes.check", "--rows").stdout
    for name in papers.paper_rows():
        assert name in listed


def test_the_papers_printed_rows_are_those_of_the_recipes() -> None:
    """A table's row is found by the recipe and the options that it is made with."""
    for table in papers.paper_tables():
        for row in table.rows:
            if row.recipe:
                made = papers.paper_rows()[f"{table.folder}/{row.id}"]
                assert papers.find(made.recipe, list(made.options)) == row


OPTIONS = [
    ("table2/90/sft", "foo=bar", ("'foo=bar'", "no GRPO", "recipes/drg_sapphire/sft/full_90.yaml")),
    ("table2/90/sft", "learning_rate=3", ("'learning_rate=3'", "hardware=NAME")),
    ("table3/qwen32b", "sft_share=50", ("'sft_share=50'", "recipes/deepicd_r1/eval/default.yaml")),
    ("smollm2/classifier", "hardware=nosuch", ("nosuch", "cpu, gpu24x1, gpu48x1, h100x1")),
    (
        "table1/strict",
        "model=qwen2.5-3b-instruct",
        ("model of its own", "launch.sh drg_sapphire/strict model=qwen2.5-3b"),
    ),
    ("table1/strict", "name=mine", ("name of its own", "another row")),
    ("smollm2/grpo", "sft_share=50", ("sft_share of its own", "launch.sh codiesp/grpo")),
    ("table1/strict", "trainer.total_training_step=3", ("total_training_step", "total_training_steps")),
]


@pytest.mark.parametrize("command", [("recipes.check", "--show"), ("recipes.memory",), ("recipes.reproduce",)])
@pytest.mark.parametrize(("row", "option", "said"), OPTIONS, ids=lambda value: str(value)[:30])
def test_an_option_that_cannot_act_on_a_row_is_refused(
    command: tuple[str, ...], row: str, option: str, said: tuple[str, ...]
) -> None:
    done = run_command(*command, row, option)
    assert_refused(done, *said)
    assert not done.stdout


def test_the_hardware_acts_on_every_row() -> None:
    done = run_command("recipes.check", "--show", "table2/90/sft", "hardware=h100x8")
    assert done.returncode == 0 and "fsdp2_x8.yaml" in done.stdout, done.stderr
