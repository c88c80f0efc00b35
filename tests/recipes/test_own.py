"""Recipes of one's own: the README's words followed to the letter, and every fault of such a recipe a sentence."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, World, assert_refused

README = (ROOT / "recipes/README.md").read_text()
SECTION = README.partition("## A recipe of your own\n")[2].partition("\n## ")[0]
EXAMPLE = re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL)[0]
PLACE = re.findall(r"`(recipes/own/\w+\.yaml)`", SECTION)[0]
CHECK = re.findall(r"```bash\n(.*?)```", SECTION, re.DOTALL)[0].splitlines()[0]


def python(copy: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(copy), **environment}
    return subprocess.run([sys.executable, *words], cwd=copy, env=env, capture_output=True, text=True)


def save(copy: Path, text: str = EXAMPLE) -> None:
    (copy / PLACE).write_text(text)


def test_the_readme_can_be_followed_to_the_letter(copy: Path, world: World, tmp_path: Path) -> None:
    save(copy)
    words = CHECK.removeprefix("python ").split()
    done = python(copy, *words, **world.environment(tmp_path))
    assert done.returncode == 0 and "own/mine: ready to run" in done.stderr, done.stderr


def test_with_a_recipe_of_ones_own_everything_else_is_in_order(copy: Path) -> None:
    save(copy)
    done = python(copy, "-m", "recipes.check")
    assert done.returncode == 0, done.stderr
    assert any(line.split()[:2] == ["own/mine", "ok"] for line in done.stdout.splitlines())
    assert python(copy, "-m", "benchmarks.index").stdout.strip() in README


# what stands in the example, what takes its place, what the sentence says
FAULTS = [
    ("kl_loss_coef", "kl_los_coef", ("own/mine", "actor_rollout_ref.actor.kl_los_coef", "kl_loss_coef")),
    ("# @package _global_\n", "", ("recipes/own/mine.yaml", "`# @package _global_`")),
    ("  - /drg_sapphire/_base\n", "", ("recipes/own/mine.yaml", "/drg_sapphire/_base")),
    ("/drg_sapphire/_base", "/drg_sapphire/_bass", ("recipes/own/mine.yaml", "_bass")),
    ("accuracy: dense", "accuracy: tense", ("own/mine", "tense", "dense")),
    ("    kl_loss_coef: 0.1", "   kl_loss_coef: 0.1\n  x: [", ("recipes/own/mine.yaml", "line")),
    ("/drg_sapphire/_base", "/drg_sapphire/dense", ("own/mine", "same as its dense.yaml")),
]


@pytest.mark.parametrize(("text", "fault", "said"), FAULTS, ids=lambda value: str(value)[:30])
def test_a_faulty_one_is_refused_like_any_other(copy: Path, text: str, fault: str, said: tuple[str, ...]) -> None:
    example = EXAMPLE.replace("0.1", "0.04") if "dense.yaml" in said[-1] else EXAMPLE
    save(copy, example.replace(text, fault, 1))
    run = "from common.commands import run\nfrom recipes.check import check_together\n"
    assert_refused(python(copy, "-c", f"{run}run(lambda: check_together('own/mine', []))"), *said)


def test_git_ignores_the_users_recipes_and_keeps_the_readme() -> None:
    ignored = [
        subprocess.run(["git", "check-ignore", "-q", f"recipes/own/{name}"], cwd=ROOT).returncode
        for name in ("mine.yaml", "README.md")
    ]
    assert ignored == [0, 1]
