"""The READMEs tell the truth: their commands exist, their paths are there, their examples work."""

import re
import textwrap
from pathlib import Path

import pytest

from common.papers import row_of
from tests.conftest import ROOT, World, run_command

README = (ROOT / "README.md").read_text()
ALL = "\n".join(file.read_text() for file in (ROOT / "README.md", *sorted((ROOT / "recipes").rglob("README.md"))))
MODULES = sorted(set(re.findall(r"python -m ((?:data_prep|eval|recipes|reward_fns|sft)\.\w+)", ALL)))
MODULES += ["sft.train", "recipes.run", "benchmarks.smoke", "data_prep.synthesize", "data_prep.tiny_model"]


READERS_OWN = "recipes/own/mine.yaml"


def blocks(language: str) -> list[str]:
    return [textwrap.dedent(block) for block in re.findall(rf"```{language}\n(.*?) *```", ALL, re.DOTALL)]


@pytest.mark.parametrize("module", sorted({*MODULES, *re.findall(r"-m (sft\.\w+)", ALL)}))
def test_every_command_has_a_help_with_an_example(module: str) -> None:
    done = run_command(module, "--help")
    assert done.returncode == 0 and f"-m {module}" in done.stdout, done.stderr


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
    assert names and all(row_of(name) for name in names)


def test_launched_recipes_exist() -> None:
    names = set(re.findall(r"launch\.sh (\w+/\w+)", ALL)) - {"own/mine"}  # the reader's own
    assert names and all((ROOT / "recipes" / f"{name}.yaml").exists() for name in names)


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) < 250


def test_the_example_of_a_reward_passes_the_check(world: World, tmp_path: Path) -> None:
    (tmp_path / "my_reward.py").write_text(blocks("python")[0])
    command = next(block for block in blocks("bash") if "my_reward.py" in block).replace("\\\n", " ")
    words = [word.strip("'") for word in command.split()][2:]
    words = [word.replace("my_reward.py", str(tmp_path / "my_reward.py")) for word in words]
    done = run_command("recipes.check", *words, **world.environment(tmp_path))
    assert done.returncode == 0, done.stderr
