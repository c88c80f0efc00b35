"""A feature that could not act, or that verl breaks, is refused in a sentence."""

import shutil
from pathlib import Path

import pytest

from common.commands import UserError
from recipes.launcher.check_config import check_recipe
from recipes.launcher.compose import compose
from tests.conftest import World, assert_refused, run_command

ACTOR, MODEL = "actor_rollout_ref.actor", "actor_rollout_ref.model"
HALF = f"{ACTOR}.ppo_mini_batch_size=32"
RATIO = [f"{ACTOR}.policy_loss.loss_mode={mode}" for mode in ("gspo", "cispo", "sapo", "geo_mean", "dppo_tv", "kl_cov")]
RATIO += [f"{ACTOR}.clip_ratio_high=0.28", f"{ACTOR}.clip_ratio_low=0.1", f"{ACTOR}.tau_neg=1.2"]


def check(*overrides: str) -> None:
    check_recipe("drg_sapphire/strict", compose("drg_sapphire/strict", overrides))


@pytest.mark.parametrize("override", RATIO)
def test_what_weighs_the_ratio_needs_more_than_one_update_a_batch(override: str) -> None:
    key, _, value = override.removeprefix(f"{ACTOR}.").partition("=")
    with pytest.raises(UserError, match=f"drg_sapphire/strict: actor.{key} {value} cannot act with one update a batch"):
        check(override)
    check(override, HALF)
    check(override, f"{ACTOR}.ppo_epochs=2")
    check(override, "algorithm.rollout_correction.bypass_mode=true")  # the ratio is to vLLM's probabilities then


def test_the_launcher_says_so_before_anything_starts(world: World, tmp_path: Path) -> None:
    words = ("drg_sapphire/strict", "hardware=cpu", RATIO[0])
    done = run_command("bash", "recipes/launch.sh", *words, **world.environment(tmp_path / "runs"))
    assert_refused(done, "gspo", "one update a batch", "ppo_mini_batch_size", "data.train_batch_size (16)")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("loss", ["gpg", "clip_cov", "vanilla"])
def test_a_loss_that_is_another_one_on_policy_needs_no_second_update(loss: str) -> None:
    check(f"{ACTOR}.policy_loss.loss_mode={loss}")


def test_fused_kernels_need_a_model_whose_output_layer_is_its_embedding(world: World, tmp_path: Path) -> None:
    fused = f"{MODEL}.use_fused_kernels=true"
    with pytest.raises(UserError, match=r"model.use_fused_kernels crashes under actor.strategy fsdp2 .*Qwen2.5"):
        check(fused)
    check(fused, f"{ACTOR}.strategy=fsdp")
    check(fused, "model=qwen2.5-3b-instruct")
    for tied in ("true", "false"):
        folder = tmp_path / tied
        folder.mkdir()
        shutil.copy(world.model / "config.json", folder)
        text = (folder / "config.json").read_text()
        assert '"tie_word_embeddings": true' in text
        (folder / "config.json").write_text(text.replace('embeddings": true', f'embeddings": {tied}'))
    check(fused, f"places.model={tmp_path / 'true'}")
    with pytest.raises(UserError, match="use_fused_kernels"):
        check(fused, "model=qwen2.5-3b-instruct", f"places.model={tmp_path / 'false'}")


def test_adapters_are_not_exported_as_a_model() -> None:
    with pytest.raises(UserError, match=r"model.lora_rank .* hf_model .* actor.checkpoint.save_contents"):
        check(f"{MODEL}.lora_rank=16")
    check(f"{MODEL}.lora_rank=16", f"{ACTOR}.checkpoint.save_contents=[model,optimizer,extra]")
