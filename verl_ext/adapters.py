"""A checkpoint's hf_model with its adapters merged: verl 0.9.1 exports them under peft's names, which nothing loads."""

import types
from typing import Any


def merged(state: dict[str, Any], model: Any) -> dict[str, Any]:
    """The weights of a model with adapters, as peft merges them, under the names of the model without."""
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        whole = get_peft_model(AutoModelForCausalLM.from_config(model.config), model.peft_config["default"])
    whole.load_state_dict(state, assign=True)
    return whole.merge_and_unload().state_dict()


def export_merged(checkpoints: types.ModuleType) -> None:
    """verl's checkpoint manager gathers the weights for hf_model here, on rank 0 alone."""
    gather = checkpoints.get_fsdp_full_state_dict

    def get_fsdp_full_state_dict(model: Any, **kwargs: Any) -> dict[str, Any]:
        state, inner = gather(model, **kwargs), getattr(model, "_fsdp_wrapped_module", model)
        return merged(state, inner) if state and hasattr(inner, "peft_config") else state

    checkpoints.get_fsdp_full_state_dict = get_fsdp_full_state_dict
