"""A composition that is quick is what Hydra composes, to the last byte."""

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import OmegaConf

from common.papers import paper_rows
from recipes.launcher.compose import RECIPES, compose, quoted, recipes, verl_config_dir

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
