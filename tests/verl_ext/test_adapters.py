"""A checkpoint of adapters becomes a model that transformers loads: verl's own export has peft's names."""

import importlib
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import World
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
