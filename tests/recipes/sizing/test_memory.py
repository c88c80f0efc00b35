"""recipes.memory: what must be exact equals a hand calculation, the rest what torch keeps, and every row fits."""

import copy
import re
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors import safe_open

from common.commands import UserError
from common.papers import paper_rows
from recipes.launcher.compose import compose
from recipes.launcher.stages import stages
from recipes.sizing import costs, grpo, host, refusals, sft
from recipes.sizing.phases import SPARE
from recipes.sizing.shapes import KNOWN, QWEN_7B, Shape, named
from tests.conftest import ROOT, World, assert_refused, run_command

RECIPE = "drg_sapphire/strict"
README = (ROOT / "recipes/hardware/README.md").read_text()


def shown(*words: str) -> dict[str, list[float]]:
    """The table that the command prints: gigabytes by phase, in the order of the columns."""
    done = run_command("recipes.memory", *words)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^ *(start|rollout|log-probs|update|optimizer step|checkpoint) +(.*)$", done.stdout, re.M)
    return {name: [0.0 if word == "-" else float(word) for word in rest.split()] for name, rest in rows}


def test_seven_billion_on_four_gpus_by_hand() -> None:
    """Qwen2.5-7B: a layer has 233,057,792 parameters, 28 of them and two embeddings of 544,997,376 are 7,615,616,512.

    q 3584 x 3584 + 3584, k and v 3584 x 512 + 512 each, o 3584 x 3584, the MLP 3 x 3584 x 18944, norms 2 x 3584.
    """
    assert QWEN_7B.layer == 12_848_640 + 2 * 1_835_520 + 12_845_056 + 203_685_888 + 7_168 == 233_057_792
    assert QWEN_7B.parameters == 28 * 233_057_792 + 2 * 544_997_376 + 3_584 == 7_615_616_512
    held = grpo.held(compose(RECIPE), QWEN_7B)  # float32 weights and gradients, two moments, over four GPUs
    assert (held.weights, held.gradients, held.moments) == (7_615_616_512, 7_615_616_512, 15_231_233_024)
    table = shown(RECIPE)
    assert table["update"][:3] == [7.6, 7.6, 15.2] and table["log-probs"][:3] == [7.6, 0.0, 15.2]
    assert table["rollout"][6] + table["rollout"][7] == pytest.approx(51.3)  # vLLM: 0.6 of 85.5, 15.2 of it weights
    # 16,384 tokens x 152,064 words x 2 bytes: the logits and their gradient
    assert table["update"][5] == 10.0 == round(2 * 16_384 * 152_064 * 2 / 1e9, 1)


def test_half_a_billion_on_one_gpu_by_hand() -> None:
    """24 layers of 14,912,384 and one embedding of 136,134,656: 494,032,768 parameters x 4, 4 and 8 bytes."""
    words = (RECIPE, "hardware=gpu24x1", "model=qwen2.5-0.5b-instruct")
    table = shown(*words)
    assert KNOWN["Qwen/Qwen2.5-0.5B"].parameters == 24 * 14_912_384 + 136_134_656 + 896 == 494_032_768
    assert table["update"][:3] == [2.0, 2.0, 4.0]
    assert table["optimizer step"][8] == 5.0  # 3.0 that is always there, and AdamW's 4 bytes a parameter
    assert table["start"][0] == 0 and table["log-probs"][:3] == [2.0, 0.0, 0.0]  # the profile offloads


def test_adapters_alone_have_gradients_and_moments() -> None:
    """Rank 32 on 7B: 32 x 28 x 90,112 = 80,740,352 parameters; each linear layer has rank x (in + out) of them."""
    adapter = QWEN_7B.adapters(32)
    assert 7_168 + 4_096 + 4_096 + 7_168 + 3 * 22_528 == 90_112
    assert adapter == 32 * 28 * 90_112 == 80_740_352
    config = compose(RECIPE)
    config.actor_rollout_ref.model.lora_rank = 32
    held = grpo.held(config, QWEN_7B)
    assert (held.weights, held.gradients, held.moments) == (7_615_616_512 + 80_740_352, 80_740_352, 161_480_704)
    size, copies = host.disk(config, QWEN_7B)
    assert size == 4 * (7_615_616_512 + 80_740_352) + 8 * 80_740_352 + 4 * 7_615_616_512 and copies == 3


def test_peft_and_the_weights_on_disk_have_as_many_parameters(world: World) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    shape = named(str(world.model))
    with safe_open(world.model / "model.safetensors", framework="np") as file:
        sizes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
    assert shape.parameters == sum(rows * (rest[0] if rest else 1) for rows, *rest in sizes)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(world.model), LoraConfig(target_modules="all-linear", r=4)
    )
    assert shape.adapters(4) == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_a_layer_keeps_what_the_formula_says() -> None:
    """Bytes that torch saves for the backward pass of a layer: 26 H + 8 I a token; 4 I more are its gradients."""
    import torch
    from transformers import AutoModelForCausalLM, Qwen2Config

    hidden, inner, length = 448, 2368, 64

    def saved(layers: int) -> int:
        config = Qwen2Config(
            vocab_size=64, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers,
            num_attention_heads=7, num_key_value_heads=1,
        )  # fmt: skip
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation="sdpa").train()
        weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
        storages: dict[int, int] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = 0 if storage.data_ptr() in weights else storage.nbytes()
            return tensor

        with (
            torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
            torch.autocast("cpu", torch.bfloat16),
        ):
            kept = model(input_ids=torch.zeros(1, length, dtype=torch.long), use_cache=False).logits
        assert kept.requires_grad
        return sum(storages.values())

    a_token = (saved(3) - saved(1)) / 2 / length
    assert a_token == pytest.approx(26 * hidden + 8 * inner, rel=0.15)


def test_every_row_leaves_a_twentieth_of_its_gpu() -> None:
    done = run_command("recipes.memory", "--all")
    assert done.returncode == 0, done.stderr
    for id, row in paper_rows().items():
        found = costs.cost(row)
        assert found.largest.bytes <= (1 - SPARE) * found.card, id
        assert re.search(rf"^{re.escape(id)} .* {found.largest.bytes / 1e9:.1f} GB", done.stdout, re.M), id
        if row.sft:
            costs.check_before(row)


def test_sft_runs_on_the_gpus_of_its_row_and_is_refused_where_it_does_not_fit() -> None:
    for name, said in (("size_14b", "fsdp2_x8.yaml"), ("size_3b", "python -m sft.train"), ("untuned_base", None)):
        row = paper_rows()[f"drg_sapphire/figure10/{name}"]
        commands = [stage.command for stage in stages(row) if "sft.train" in stage.command]
        assert [said in command for command in commands] == [True] * (said is not None)
    with pytest.raises(UserError, match=r"size_14b: SFT's update would take 91 GB on each of 4 GPUs"):
        costs.check_before(replace(paper_rows()["drg_sapphire/figure10/size_14b"], options=("hardware=h100x4",)))


def test_the_judge_is_counted_and_staged_learning_has_three_phases() -> None:
    rows = paper_rows()
    judged, alone = (costs.cost(rows[f"deepicd_r1/ablation/{name}"]) for name in ("no_format", "no_judge"))
    assert (judged.gpus, judged.judge) == (4, 1) and (alone.gpus, alone.judge) == (4, 0)
    assert judged.hours == pytest.approx(alone.hours * 5 / 4)
    staged = costs.cost(rows["drg_sapphire/table1/staged_sft"])
    assert staged.steps == 3 * 243


def test_gradients_that_are_not_shared_out_are_counted_whole() -> None:
    said = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 16, "max_length": 4096}
    synced = said | {"accelerator_config": {"gradient_accumulation_kwargs": {"sync_each_batch": True}}}
    whole, shared = (sft.phases(each, QWEN_7B, 4)[0].bytes for each in (said, synced))
    assert whole - shared == 2 * 7_615_616_512


def test_what_does_not_fit_is_refused_with_the_nearest_remedy() -> None:
    model = "model=qwen2.5-32b-instruct"
    done = run_command("recipes.memory", "deepicd_r1/zero", model, "hardware=h100x8",
                       "actor_rollout_ref.actor.fsdp_config.offload_policy=false")  # fmt: skip
    assert_refused(done, "81 of its 85.5", "actor.fsdp_config.offload_policy=true")
    assert run_command("recipes.memory", "deepicd_r1/zero", model, "hardware=h100x8").returncode == 0
    budget = "actor_rollout_ref.actor.ppo_max_token_len_per_gpu"
    done = run_command("recipes.memory", "deepicd_r1/zero", f"{budget}=32768")
    assert_refused(done, "update would take", f"{budget}=")
    said = re.search(rf"{re.escape(budget)}=\d+", done.stderr).group()
    assert run_command("recipes.memory", "deepicd_r1/zero", said).returncode == 0
    done = run_command("recipes.memory", RECIPE, "model=qwen2.5-32b-instruct", "hardware=gpu24x1")
    assert_refused(done, "on each GPU", "take more GPUs or larger ones")


def test_what_has_no_gpu_or_no_name_is_a_sentence() -> None:
    assert_refused(run_command("recipes.memory"), "--all")
    assert_refused(run_command("recipes.memory", "--all", "--here"), "--all counts every row")
    assert_refused(run_command("recipes.memory", "table2/90/sft", "--here"), "--here", "table2/90/sft has none")
    assert_refused(run_command("recipes.memory", RECIPE, "hardware=cpu"), "no GPU memory")
    assert_refused(run_command("recipes.memory", "table9/none"), "table9/none")
    assert_refused(
        run_command("recipes.memory", RECIPE, "places.model=mine", "study.model=mine"), "mine", "config.json"
    )


def test_the_hardware_decides_on_the_card_of_rows_without_grpo() -> None:
    done = run_command("recipes.memory", "table3/qwen32b", "hardware=gpu24x1")
    assert_refused(done, "table3/qwen32b: generation would take 72 GB on a GPU, and 23 may be used", "hardware=NAME")
    assert "of 24.1" in done.stdout
    done = run_command("recipes.memory", "table2/90/sft", "hardware=gpu24x1")
    assert_refused(done, "table2/90/sft: SFT's update", "23 may be used")
    assert run_command("recipes.memory", "table3/qwen7b", "hardware=gpu24x1").returncode == 0
    assert "of 85.5" in run_command("recipes.memory", "table3/qwen32b").stdout


FITS = re.findall(r"^\| `((?:gpu|h100)\w+)` \| ([^|]*) \| ([^|]*) \|$", README, re.M)
PROFILES = ("gpu24x1", "gpu48x1", "h100x1", "h100x4", "h100x8", "h100x8x2")


def largest_that_fits(profile: str, rank: int) -> str:
    """The largest Qwen2.5 with DRG-Sapphire's lengths and one longest sequence a micro-batch."""
    config = compose(RECIPE, [f"hardware={profile}"])
    rooms, longest = config.actor_rollout_ref, grpo.longest(config)
    rooms.model.lora_rank = rank
    rooms.actor.ppo_max_token_len_per_gpu = longest
    rooms.rollout.log_prob_max_token_len_per_gpu = rooms.ref.log_prob_max_token_len_per_gpu = longest
    host_too = copy.deepcopy(config)
    host_too.actor_rollout_ref.actor.fsdp_config.offload_policy = profile == "h100x8"  # as model=qwen2.5-32b-instruct
    sizes: dict[str, Shape] = {name.rpartition("-")[2]: shape for name, shape in KNOWN.items() if "Qwen2.5" in name}
    fit = [
        size
        for size, shape in sizes.items()
        if refusals.fault(host_too if size == "32B" else config, shape, refusals.card(config)) is None
    ]
    return fit[-1] if fit else "none"


@pytest.mark.parametrize("profile", PROFILES)
def test_the_readme_says_what_fits(profile: str) -> None:
    said = {name: (full, adapters) for name, full, adapters in FITS}
    assert said.keys() == set(PROFILES)
    assert said[profile] == (largest_that_fits(profile, 0), largest_that_fits(profile, 32))


def test_a_model_of_another_form_is_no_shape(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "n_layer": 12}')
    assert named(str(tmp_path)) is None
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="no JSON"):
        named(str(tmp_path))


def test_a_profile_without_room_for_one_sequence_is_refused() -> None:
    config = compose(RECIPE, ["actor_rollout_ref.rollout.gpu_memory_utilization=0.21"])
    with pytest.raises(ValueError, match=r"vLLM would have room for .* 14336 of one sequence; say .*utilization"):
        refusals.check_fit(config)
