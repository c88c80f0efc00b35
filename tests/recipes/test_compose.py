"""A composition that is quick is what Hydra composes, to the last byte; any key that it has may be given plainly."""

from pathlib import Path

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import OmegaConf

from common.papers import paper_rows
from recipes.launcher.compose import RECIPES, compose, quoted, recipes, verl_config_dir
from recipes.launcher.run_folder import RunFolder
from recipes.run import command
from tests.conftest import World, assert_refused, run_command

Launch = tuple[str, tuple[str, ...]]
ROWS = {(row.recipe, row.options) for row in paper_rows().values() if row.recipe}
EVERY = sorted({*ROWS, *((recipe, ()) for recipe in recipes()), *((recipe, ("hardware=cpu",)) for recipe in recipes())})
SOME = [
    ("drg_sapphire/best", ("sft_share=90",)),
    ("deepicd_r1/sft_grpo", ("model=llama-3.1-8b-instruct", "hardware=cpu", "data.train_batch_size=8")),
    ("drg_sapphire/strict", ("~reward.custom_reward_function.reward_kwargs", "+a.b=1")),
    ("drg_sapphire/strict", ("model@critic.model=hf_model",)),  # a choice among verl's own files
]


def by_hydra(recipe: str, options: tuple[str, ...]) -> str:
    """The composition without anything of ours, as verl.trainer.main_ppo does it."""
    search = f"hydra.searchpath=[file://{verl_config_dir()}]"
    with initialize_config_dir(config_dir=str(RECIPES), version_base=None):
        return OmegaConf.to_yaml(hydra_compose(recipe, overrides=[*quoted(options), search]))


@pytest.mark.parametrize("launch", SOME, ids=str)
def test_a_launch_is_composed_as_hydra_does(launch: Launch) -> None:
    assert OmegaConf.to_yaml(compose(*launch)) == by_hydra(*launch)


@pytest.mark.slow
@pytest.mark.parametrize("launch", EVERY, ids=str)
def test_every_recipe_and_row_is_composed_as_hydra_does(launch: Launch) -> None:
    assert OmegaConf.to_yaml(compose(*launch)) == by_hydra(*launch)


RECIPE, CPU = "drg_sapphire/strict", "hardware=cpu"
RAY = "ray_kwargs.ray_init"
ADDRESS, DASHBOARD = f"{RAY}._node_ip_address", f"{RAY}.include_dashboard"
KEYS = [
    "ray_kwargs.ray_init.num_gpus=2",  # of the profile
    "trainer.v1.medcode.poll_seconds=1",
    "actor_rollout_ref.rollout.enable_sleep_mode=true",
    "ray_kwargs.ray_init.runtime_env.env_vars.OMP_NUM_THREADS=2",
    f"{ADDRESS}=127.0.0.9",  # of none: a user's own
    "trainer.nnodes=1",  # of verl's YAML
]


@pytest.mark.parametrize("override", KEYS)
@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_a_key_is_changed_in_the_plain_form_and_in_hydras(world: World, override: str, sign: str) -> None:
    done = run_command(
        "recipes.check", RECIPE, CPU, sign + override, DATA_DIR=str(world.data), MODEL_PATH=str(world.model)
    )
    assert done.returncode == 0, done.stderr
    key, _, value = override.partition("=")
    found = compose(RECIPE, [CPU, sign + override])
    for name in key.split("."):
        found = found[name]
    assert str(found).lower() == value


def test_a_ray_of_our_own_is_on_loopback_without_its_dashboard_unless_the_user_says_so(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNS_DIR", str(tmp_path))
    for name, value in world.environment(tmp_path).items():
        monkeypatch.setenv(name, value)

    def told(*overrides: str) -> list[str]:
        folder = RunFolder(RECIPE, [*overrides], compose(RECIPE, [*overrides]), "x")
        folder.open(fresh=True)
        folder.begin()
        words = command(RECIPE, [*overrides], folder, None)
        return [word for word in words if word.startswith((f"++{ADDRESS}=", f"++{DASHBOARD}="))]

    assert told(CPU) == [f"++{ADDRESS}=127.0.0.2"]  # the profile leaves the dashboard out itself
    assert told() == [f"++{ADDRESS}=127.0.0.2", f"++{DASHBOARD}=False"]
    assert told(CPU, f"{ADDRESS}=127.0.0.9") == [f"++{ADDRESS}=127.0.0.9"]
    assert told(f"{DASHBOARD}=true") == [f"++{DASHBOARD}=true", f"++{ADDRESS}=127.0.0.2"]


def test_a_misspelt_option_of_the_reward_suggests_the_option() -> None:
    option = "reward.custom_reward_function.reward_kwargs.acuracy=strict"
    assert_refused(run_command("recipes.check", RECIPE, CPU, option), "acuracy", "did you mean 'accuracy'")


def test_the_commands_of_a_row_are_shown_with_overrides_and_a_misspelt_one_is_refused() -> None:
    done = run_command("recipes.check", "--show", "table1/strict", CPU, "trainer.total_training_steps=3")
    assert done.returncode == 0 and f"{CPU} trainer.total_training_steps=3" in done.stdout, done.stderr
    assert "outputs/demo" in done.stdout  # the profile's data
    wrong = run_command("recipes.check", "--show", "table1/strict", "trainer.total_training_step=3")
    assert_refused(wrong, "total_training_step", "total_training_steps")
