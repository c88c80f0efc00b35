"""What makes benchmarks.smoke run a recipe again: the code that a run executes, and no prose."""

from pathlib import Path

import pytest

from benchmarks.smoke import code


@pytest.mark.parametrize(
    ("file", "again"),
    [
        ("recipes/README.md", False),
        ("recipes/drg_sapphire/paper.yaml", False),
        ("recipes/drg_sapphire/strict.yaml", False),  # is in the composed configuration
        ("eval/score.py", False),
        ("recipes/run.py", True),
        ("reward_fns/drg/reward.py", True),
        ("verl_ext/trainer.py", True),
        ("data_prep/prompts/drg_system.txt", True),
        ("recipes/drg_sapphire/sft/tiny.yaml", True),  # of the model that runs start from
    ],
)
def test_a_recipe_runs_again_when_what_it_executes_changed(copy: Path, file: str, again: bool) -> None:
    before = code(copy)
    path = copy / file
    path.write_text(path.read_text() + "\n# more\n")
    assert (code(copy) != before) is again
