"""recipes.check says "ready to run" of nothing that Ray, verl or vLLM would refuse minutes later."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import World, assert_refused, run_command

RECIPE = "drg_sapphire/strict"
NUMBERS: list[tuple[str, tuple[str, ...]]] = [
    ("trainer.total_training_steps=two", ("trainer.total_training_steps", "'two'", "whole number")),
    ("trainer.total_training_steps=0", ("trainer.total_training_steps", "at least 1")),
    ("trainer.total_epochs=1.5", ("trainer.total_epochs", "1.5", "whole number")),
    ("actor_rollout_ref.actor.optim.lr=1e-6x", ("actor.optim.lr", "1e-6x", "number")),
    ("actor_rollout_ref.actor.optim.lr=nan", ("actor.optim.lr", "nan")),
    ("actor_rollout_ref.actor.clip_ratio=high", ("actor.clip_ratio", "'high'", "number")),
    ("actor_rollout_ref.actor.use_kl_loss=sometimes", ("actor.use_kl_loss", "true or false")),
    ("actor_rollout_ref.rollout.temperature=0", ("rollout.temperature", "at least 0.01")),
    ("actor_rollout_ref.rollout.val_kwargs.temperature=-1", ("val_kwargs.temperature", "at least 0")),
    ("actor_rollout_ref.rollout.n=0", ("rollout.n", "at least 1")),
    ("data.max_response_length=-5", ("data.max_response_length", "at least 1")),
    ("data.train_batch_size=0", ("data.train_batch_size", "at least 1")),
    ("data.train_batch_size=null", ("data.train_batch_size", "None", "whole number")),
    ("data.train_batch_size=8192", ("data.train_batch_size 8192", "rows", "small.parquet")),
    ("data.train_max_samples=8", ("data.train_batch_size 16", "8 rows")),
    ("trainer.logger=[console,tensorbord]", ("tensorbord", "did you mean tensorboard")),
]


def check(world: World, tmp_path: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_command(
        "recipes.check", RECIPE, "hardware=cpu", *words, **{**world.environment(tmp_path), **environment}
    )


@pytest.mark.parametrize(("override", "said"), NUMBERS, ids=lambda value: str(value)[:50])
def test_what_is_no_number_or_none_that_makes_sense_is_refused(
    world: World, tmp_path: Path, override: str, said: tuple[str, ...]
) -> None:
    assert_refused(check(world, tmp_path, override), *said)


def test_what_is_in_order_is_ready(world: World, tmp_path: Path) -> None:
    several = f"data.train_files=[{world.data}/drg/rl/small.parquet,{world.data}/drg/rl/full_75.parquet]"
    for words in ((), ("trainer.logger=console",), (several,), ("actor_rollout_ref.actor.optim.lr=1",)):
        done = check(world, tmp_path, *words)
        assert done.returncode == 0 and "ready to run" in done.stderr, done.stderr


def model(world: World, tmp_path: Path) -> Path:
    return Path(shutil.copytree(world.model, tmp_path / "model"))


def changed(path: Path, **keys: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


def test_a_model_that_could_not_be_trained_is_refused(world: World, tmp_path: Path) -> None:
    def refused(place: Path, *said: str) -> None:
        assert_refused(check(world, tmp_path, MODEL_PATH=str(place)), str(place), *said)
        shutil.rmtree(place)

    place = model(world, tmp_path)
    (place / "chat_template.jinja").unlink()
    refused(place, "chat template", "custom_chat_template")
    place = model(world, tmp_path)
    (place / "chat_template.jinja").write_text("{{ raise_exception('no such role') }}")
    refused(place, "chat template", "no such role")
    place = model(world, tmp_path)
    (place / "chat_template.jinja").write_text("{% for message in messages %}")
    refused(place, "chat template", "endfor")
    place = model(world, tmp_path)
    changed(place / "tokenizer_config.json", eos_token=None)
    refused(place, "eos_token", "tokenizer_config.json")
    place = model(world, tmp_path)
    whole = (place / "model.safetensors").read_bytes()
    (place / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    refused(place, "model.safetensors", "damaged")
    place = model(world, tmp_path)
    (place / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "model-2.safetensors"}}))
    refused(place, "model-2.safetensors", "missing")
    place = model(world, tmp_path)
    (place / "config.json").write_text("{")
    refused(place, "config.json", "no JSON")


def test_a_template_of_the_recipe_takes_the_place_of_a_missing_one(world: World, tmp_path: Path) -> None:
    place = model(world, tmp_path)
    (place / "chat_template.jinja").unlink()
    words = "actor_rollout_ref.model.custom_chat_template='plain'"
    done = check(world, tmp_path, words, MODEL_PATH=str(place))
    assert done.returncode == 0, done.stderr


HEAD = "# @package _global_\ndefaults:\n  - {}\n  - _self_\n"
FILES = [  # the recipe's file, another beside it, what is said
    (HEAD.format("/own/other"), HEAD.format("/own/mine"), ("recipes/own/mine.yaml", "builds on itself")),
    (HEAD.format("/drg_sapphire/_base").encode("utf-16"), "", ("recipes/own/mine.yaml", "utf-8")),
    (HEAD.format("/own/other"), HEAD.format("/own/x").encode("utf-16"), ("recipes/own/other.yaml", "utf-8")),
    (HEAD.format("/own/other"), "", ("recipes/own/other.yaml", "builds on no recipe")),
    ("# @package _global_\n", "", ("recipes/own/mine.yaml", "builds on no recipe")),
    ("# @package _global_\n- a\n", "", ("recipes/own/mine.yaml", "keys")),
]  # fmt: skip


@pytest.mark.parametrize(("mine", "other", "said"), FILES, ids=range(len(FILES)))
def test_a_file_that_is_no_recipe_is_named(
    copy: Path, mine: str | bytes, other: str | bytes, said: tuple[str, ...]
) -> None:
    for name, text in (("mine", mine), ("other", other)):
        (copy / f"recipes/own/{name}.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    words = [sys.executable, "-m", "recipes.check", "own/mine", "hardware=cpu"]
    env = {**os.environ, "PYTHONPATH": str(copy)}
    assert_refused(subprocess.run(words, cwd=copy, env=env, capture_output=True, text=True), *said)
