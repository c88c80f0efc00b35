"""A feature that could not act, or that verl breaks, is refused in a sentence."""

import json
import shutil
from pathlib import Path

import pytest

from common.commands import UserError
from recipes.launcher.check_config import check_recipe
from recipes.launcher.compose import compose, recipes
from reward_fns.clinical_note import reward
from tests.conftest import World, assert_refused, run_command

ACTOR, MODEL = "actor_rollout_ref.actor", "actor_rollout_ref.model"
ONE, N = f"{ACTOR}.ppo_mini_batch_size=${{data.train_batch_size}}", "actor_rollout_ref.rollout.n"
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


@pytest.mark.parametrize(
    ("recipe", "rate"), [("drg_sapphire/strict", 3e-5), ("deepicd_r1/sft_grpo", 1e-5), ("codiesp/grpo", 1e-4)]
)
def test_adapters_are_one_word_and_take_ten_times_the_rate(recipe: str, rate: float) -> None:
    for words, wanted in ((["lora=r32"], rate), (["lora=r32", "hardware=cpu"], 3e-3)):
        plain, config = compose(recipe, words[1:]), compose(recipe, words)
        check_recipe(recipe, config)
        assert "hf_model" in config.actor_rollout_ref.actor.checkpoint.save_contents
        assert (
            config.actor_rollout_ref.actor.optim.lr
            == wanted
            == pytest.approx(10 * plain.actor_rollout_ref.actor.optim.lr)
        )
        assert (config.actor_rollout_ref.model.lora_rank, config.actor_rollout_ref.model.lora_alpha) == (32, 32)


def test_adapters_that_the_cpu_build_of_vllm_would_not_sample_with_are_refused() -> None:
    check(f"{MODEL}.lora_rank=16")
    check("hardware=cpu", f"{MODEL}.lora_rank=16", f"{MODEL}.lora.merge=true")
    with pytest.raises(UserError, match=r"lora_rank without model\.lora\.merge"):
        check("hardware=cpu", f"{MODEL}.lora_rank=16")


def test_a_group_of_options_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match="there is no lora 'r31'; there is r32"):
        compose("drg_sapphire/strict", ["lora=r31"])


@pytest.mark.parametrize("recipe", ["drg_sapphire/strict", "deepicd_r1/sft_grpo", "codiesp/grpo"])
@pytest.mark.parametrize("name", ["gspo", "cispo", "dapo", "grpo_passk", "gdpo"])
def test_an_algorithm_is_one_word(name: str, recipe: str) -> None:
    for hardware in ("h100x4", "cpu"):
        words = [f"hardware={hardware}", f"algorithm={name}"]
        config, plain = compose(recipe, words), compose(recipe, words[:1])
        check_recipe(recipe, config)
        assert config != plain
        batch, length = config.data.train_batch_size, config.data.max_response_length
        updates = batch // config.actor_rollout_ref.actor.ppo_mini_batch_size
        assert updates == (4 if name in ("gspo", "cispo", "dapo") else 1)
        if name == "dapo":
            assert config.reward.reward_kwargs.overlong_buffer_cfg.len == round(length / 5)


@pytest.mark.parametrize(
    ("recipe", "words", "said"),
    [
        ("drg_sapphire/strict", ["algorithm=gspo", ONE], "loss_mode gspo cannot act with one update a batch"),
        ("drg_sapphire/strict", ["algorithm=cispo", ONE], "loss_mode cispo cannot act with one update a batch"),
        (
            "drg_sapphire/strict",
            ["algorithm=dapo", ONE],
            "clip_ratio_low 0.2 cannot act|clip_ratio_high 0.28 cannot act",
        ),
        ("drg_sapphire/strict", ["algorithm=dapo", f"{N}=1"], "filter_groups compares the completions of a prompt"),
        ("drg_sapphire/strict", ["algorithm=grpo_passk", f"{N}=1"], "grpo_passk compares the completions of a prompt"),
        (
            "drg_sapphire/kl_decay",
            ["algorithm=dapo"],
            "kl_schedule cosine changes a KL that actor.use_kl_loss switches",
        ),
        ("drg_sapphire/dr_grpo_advantage", ["algorithm=gdpo"], "divides by the spread"),
        ("deepicd_r1/no_format", ["algorithm=gdpo"], "format_weight 0 switches off"),
        ("codiesp/grpo_f1", ["algorithm=gdpo"], "format_weight 0 switches off"),
        ("deepicd_r1/no_judge", ["algorithm=gdpo", "study.components=[outcome]"], "weighs several components"),
        (
            "deepicd_r1/no_judge",
            ["algorithm=gdpo", "study.components=[format,acuracy]"],
            "'acuracy'; the reward returns",
        ),
        ("deepicd_r1/sft_grpo", ["algorithm=gdpo", "algorithm.gdpo_reward_weights=[1,1]"], "2 numbers for 3"),
    ],
)
def test_an_algorithm_that_could_not_act_is_refused(recipe: str, words: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        check_recipe(recipe, compose(recipe, words))


def test_every_paper_takes_adapters_and_algorithms() -> None:
    for base in (recipe for recipe in recipes() if not recipe.startswith("own/")):
        compose(base, ["lora=r32", "algorithm=grpo_passk"])


SPLIT = "actor_rollout_ref.rollout.tensor_model_parallel_size"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([f"{SPLIT}=3"], "size 3 does not divide the devices of the run, 4; take 1 or 2 or 4"),
        (["hardware=cpu", f"{SPLIT}=3"], "size 3 does not divide the devices of the run, 1; take 1"),
        (["hardware=h100x8", f"{SPLIT}=8"], "size 8 does not divide the 28 attention heads .* take 1 or 2 or 4"),
        (["trainer.n_gpus_per_node=7", "data.train_batch_size=56", f"{SPLIT}=7"], "28 attention heads .*, 4 of them"),
    ],
)
def test_a_model_that_vllm_cannot_split_over_the_gpus_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        check(*words)
    done = run_command("recipes.memory", "drg_sapphire/strict", *words)
    assert_refused(done, "tensor_model_parallel_size")


def test_the_heads_are_those_of_the_folder_that_the_run_starts_from(world: World, tmp_path: Path) -> None:
    text = (world.model / "config.json").read_text()
    found = json.loads(text)["num_attention_heads"]
    (tmp_path / "config.json").write_text(text.replace(f'"num_attention_heads": {found}', '"num_attention_heads": 5'))
    with pytest.raises(UserError, match="does not divide the 5 attention heads"):
        check(f"places.model={tmp_path}", f"{SPLIT}=2")


def test_the_reward_of_no_answer_complains_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """GDPO's check asks the reward what it returns: of an empty gold note, which is none."""
    reward._say_once.cache_clear()
    done = run_command("recipes.memory", "clinical_prm/note_grpo", "algorithm=gdpo")
    assert done.returncode == 0 and not caplog.records, done.stderr
