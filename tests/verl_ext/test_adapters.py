"""A checkpoint of adapters becomes a model that transformers loads: verl's own export has peft's names."""

import importlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from common import record
from data_prep import parquet
from tests.conftest import World, run_process
from verl_ext.adapters import export_merged


def with_adapters(world: World, change: float = 0.0) -> Any:
    torch, peft, transformers = (importlib.import_module(name) for name in ("torch", "peft", "transformers"))
    base = transformers.AutoModelForCausalLM.from_pretrained(world.model, dtype=torch.float32)
    model = peft.get_peft_model(base, peft.LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"))
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=change)
    return model.eval()


def test_the_export_says_what_base_and_adapters_say(world: World) -> None:
    torch, transformers = (importlib.import_module(name) for name in ("torch", "transformers"))
    model = with_adapters(world, change=0.05)
    ids = torch.arange(5, 45)[None]
    with torch.no_grad():
        wanted = model(ids).logits.log_softmax(-1)
        with model.disable_adapter():
            before = model(ids).logits.log_softmax(-1)
    manager = SimpleNamespace(get_fsdp_full_state_dict=lambda model, rank0_only: dict(model.state_dict()))
    export_merged(manager)
    state = manager.get_fsdp_full_state_dict(model, rank0_only=True)
    found = transformers.AutoModelForCausalLM.from_config(model.config, dtype=torch.float32).eval()
    found.load_state_dict(state)  # refuses names that are missing or unknown
    with torch.no_grad():
        assert (found(ids).logits.log_softmax(-1) - wanted).abs().max() < 1e-5
    assert (before - wanted).abs().max() > 0.01


@pytest.mark.parametrize("empty", [True, False])
def test_a_model_without_adapters_and_a_rank_without_weights_are_left_alone(empty: bool) -> None:
    state = {} if empty else {"weight": 1}
    manager = SimpleNamespace(get_fsdp_full_state_dict=lambda model, **_: state)
    export_merged(manager)
    model = SimpleNamespace(peft_config={}) if empty else SimpleNamespace()
    assert manager.get_fsdp_full_state_dict(model, rank0_only=True) is state


@pytest.mark.slow
def test_a_run_of_adapters_leaves_models_that_say_what_it_trained(world: World, tmp_path: Path) -> None:
    """The newest and the best checkpoint, against the shard that the run would go on from; verl and vLLM are real."""
    torch, peft, transformers = (importlib.import_module(name) for name in ("torch", "peft", "transformers"))
    metric = "val-aux/mimic_drg/score/mean@1"
    done = run_process(
        *("bash", "recipes/launch.sh", "drg_sapphire/strict", "hardware=cpu", "lora=r32", "name=lora"),
        *("trainer.total_training_steps=2", "data.train_batch_size=4", "trainer.save_freq=1", "trainer.test_freq=1"),
        *("data.val_max_samples=8", "data.max_response_length=48", f"trainer.v1.medcode.keep_best={metric}"),
        "reward.custom_reward_function.path=tests/support/graded_reward.py",  # always varies, so that all is trained
        **world.environment(tmp_path),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    run = tmp_path / "drg_sapphire/strict/lora"
    rows = [json.loads(line)["data"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert min(row["training/rollout_actor_probs_pearson_corr"] for row in rows) > 0.99
    found = record.read(run)["best"]
    values = [row[metric] for row in rows]
    assert (found["value"], found["step"]) == (max(values), values.index(max(values)) + 1)

    tokenizer = transformers.AutoTokenizer.from_pretrained(run / "hf_model")
    chats = parquet.read(world.data / "drg/test.parquet")["prompt"].to_pylist()[:4]
    texts = [tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) for chat in chats]
    start = transformers.AutoModelForCausalLM.from_pretrained(world.model, dtype=torch.float32).eval()
    for name, step in (("hf_model", 2), ("best_model", found["step"])):
        place = run / ("checkpoints" if name == "hf_model" else "checkpoints/best") / f"global_step_{step}/actor"
        shard = torch.load(place / "model_world_size_1_rank_0.pt", weights_only=False)
        base = transformers.AutoModelForCausalLM.from_pretrained(world.model, dtype=torch.float32)
        trained = peft.get_peft_model(base, peft.LoraConfig(r=32, lora_alpha=32, target_modules="all-linear")).eval()
        trained.load_state_dict({key: value.to_local() for key, value in shard.items()})
        export = transformers.AutoModelForCausalLM.from_pretrained(run / name, dtype=torch.float32).eval()
        for text in texts:
            ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)
            said = [model.generate(**ids, max_new_tokens=40, do_sample=False) for model in (trained, export)]
            assert said[0].tolist() == said[1].tolist()
            with torch.no_grad():
                ours, theirs, before = (m(said[0]).logits.log_softmax(-1) for m in (export, trained, start))
            assert (ours - theirs).abs().max() < 1e-3
            assert step == 1 or (before - theirs).abs().max() > 0.01  # the first step's rate is 0
