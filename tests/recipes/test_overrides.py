"""What a user may write on the command line: any key that the composed recipe has, in the plain form."""

import pytest

from recipes.launcher.compose import compose
from recipes.launcher.run_folder import RunFolder
from recipes.run import command
from tests.conftest import World, assert_refused, run_command

RECIPE, CPU = "drg_sapphire/strict", "hardware=cpu"
ADDRESS = "ray_kwargs.ray_init._node_ip_address"
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


def test_the_users_address_of_ray_wins(world: World, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNS_DIR", str(tmp_path))
    for name, value in world.environment(tmp_path).items():
        monkeypatch.setenv(name, value)

    def told(*overrides: str) -> list[str]:
        folder = RunFolder(RECIPE, [CPU, *overrides], compose(RECIPE, [CPU, *overrides]), "x")
        folder.open(fresh=True)
        folder.begin()
        return [word for word in command(RECIPE, [CPU, *overrides], folder) if ADDRESS in word]

    assert told() == [f"++{ADDRESS}='127.0.0.2'"]
    assert told(f"{ADDRESS}=127.0.0.9") == [f"++{ADDRESS}=127.0.0.9"]


def test_a_misspelt_option_of_the_reward_suggests_the_option() -> None:
    option = "reward.custom_reward_function.reward_kwargs.acuracy=strict"
    assert_refused(run_command("recipes.check", RECIPE, CPU, option), "acuracy", "did you mean accuracy")


def test_the_commands_of_a_row_are_shown_with_overrides_and_a_misspelt_one_is_refused() -> None:
    done = run_command("recipes.check", "--show", "table1/strict", CPU, "trainer.total_training_steps=3")
    assert done.returncode == 0 and f"{CPU} trainer.total_training_steps=3" in done.stdout, done.stderr
    assert "outputs/demo" in done.stdout  # the profile's data
    wrong = run_command("recipes.check", "--show", "table1/strict", "trainer.total_training_step=3")
    assert_refused(wrong, "total_training_step", "total_training_steps")
