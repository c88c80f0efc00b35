"""The READMEs tell the truth: their commands exist, their paths are there, their examples work."""

import os
import re
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from common.papers import paper_rows, row_of
from tests.conftest import ROOT, World, assert_refused, run_command, run_process

README = (ROOT / "README.md").read_text()
ALL = "\n".join(file.read_text() for file in (ROOT / "README.md", *sorted((ROOT / "recipes").rglob("README.md"))))
COMMANDS = sorted(
    ".".join(file.relative_to(ROOT).with_suffix("").parts)
    for folder in ("benchmarks", "data_prep", "eval", "recipes", "reward_fns", "sft")
    for file in (ROOT / folder).rglob("*.py")
    if 'if __name__ == "__main__":' in file.read_text()
)

READERS_OWN = "recipes/own/mine.yaml"


def blocks(language: str) -> list[str]:
    return [textwrap.dedent(block) for block in re.findall(rf"```{language}\n(.*?) *```", ALL, re.DOTALL)]


@pytest.fixture(scope="module")
def helps() -> dict[str, CompletedProcess[str]]:
    """What `python -m … --help` says, each in a process of its own: the one real start of every command."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(COMMANDS, pool.map(lambda module: run_process(module, "--help"), COMMANDS), strict=True))


@pytest.mark.parametrize("module", COMMANDS)
def test_every_command_starts_and_has_a_help_with_an_example(module: str, helps: dict) -> None:
    assert helps[module].returncode == 0 and f"-m {module}" in helps[module].stdout, helps[module].stderr


def test_every_command_that_a_readme_names_exists() -> None:
    named = set(re.findall(r"-m ((?:benchmarks|data_prep|eval|recipes|reward_fns|sft)\.[\w.]+)", ALL))
    assert len(named) > 10 and named <= set(COMMANDS)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`?make ([a-z-]+)", ALL)) - {"it"}))
def test_every_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"(?:recipes|verl_ext)/[\w/.]+\.(?:yaml|sh|py)", ALL)) - {READERS_OWN})
)
def test_every_path_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_the_index_of_the_rows_is_up_to_date() -> None:
    done = run_command("benchmarks.index")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in (ROOT / "recipes" / "README.md").read_text()


def test_every_row_that_a_readme_names_exists() -> None:
    names = re.findall(r"reproduce\.sh ([\w/-]+(?:\.\w+)?)", ALL)
    tables = {row.id.split("/")[1] for row in paper_rows().values()}  # of which a script makes every row
    assert names and all(name in tables or row_of(name) for name in names)


def test_launched_recipes_exist() -> None:
    names = set(re.findall(r"launch\.sh (\w+/\w+)", ALL)) - {"own/mine"}  # the reader's own
    assert names and all((ROOT / "recipes" / f"{name}.yaml").exists() for name in names)


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) < 250


def test_the_example_of_a_recipe_passes_the_check(world: World, copy: Path, tmp_path: Path) -> None:
    def check(example: str) -> CompletedProcess[str]:
        (copy / READERS_OWN).write_text(example)
        words = ("recipes.check", "own/mine", "hardware=cpu")
        return run_process(*words, cwd=copy, **world.environment(tmp_path))

    done = check(blocks("yaml")[0])
    assert done.returncode == 0, done.stderr
    done = check(blocks("yaml")[0].replace("kl_loss_coef", "kl_los_coef"))
    assert_refused(done, "actor_rollout_ref.actor.kl_los_coef", "kl_loss_coef")
    assert_refused(check(blocks("yaml")[0].replace("  actor:", " actor")), "mine.yaml", "line")


def test_the_example_of_a_reward_passes_the_check(world: World, tmp_path: Path) -> None:
    (tmp_path / "my_reward.py").write_text(blocks("python")[0])
    command = next(block for block in blocks("bash") if "my_reward.py" in block).replace("\\\n", " ")
    words = [word.strip("'") for word in command.split()][2:]
    words = [word.replace("my_reward.py", str(tmp_path / "my_reward.py")) for word in words]
    done = run_command("recipes.check", *words, **world.environment(tmp_path))
    assert done.returncode == 0, done.stderr
