"""Without flash-attn: packed sequences attend to themselves alone; and why no model is held in bf16 by verl."""

import copy

import pytest


@pytest.fixture(scope="module")
def model() -> object:
    """A Qwen2 with torch's own attention, its weights large enough to tell positions apart."""
    import torch
    from transformers import AutoModelForCausalLM, Qwen2Config

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=256, hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=32768, rope_theta=1e6, initializer_range=0.08,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="sdpa").eval()


def test_packed_sequences_are_those_that_stand_alone(model: object) -> None:
    """As verl packs them with use_remove_padding: one row, no mask, positions that begin anew."""
    import torch

    lengths = (70, 5, 130)
    rows = [torch.randint(0, 256, (1, length)) for length in lengths]
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    with torch.no_grad():
        packed = model(
            input_ids=torch.cat(rows, 1), position_ids=positions, attention_mask=None, use_cache=False
        ).logits
        alone = torch.cat([model(input_ids=row, use_cache=False).logits for row in rows], 1)
        one = model(input_ids=torch.cat(rows, 1), use_cache=False).logits  # as if they were one sequence
    assert (packed - alone).abs().max() < 1e-4
    assert (one - alone).abs().max() > 0.1


def test_a_model_cast_to_bf16_as_verl_casts_it_loses_its_positions(model: object) -> None:
    """verl's module.to(model_dtype) casts the rotary frequencies, which autocast over float32 weights leaves alone."""
    import torch

    cast = copy.deepcopy(model).to(torch.bfloat16)
    assert model.model.rotary_emb.inv_freq.dtype == torch.float32
    assert cast.model.rotary_emb.inv_freq.dtype == torch.bfloat16
    ids = torch.randint(0, 256, (1, 2000))

    def log_probs(of: object, rounded: bool) -> "torch.Tensor":
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=rounded):
            logits = of(input_ids=ids, use_cache=False).logits.float()
        return torch.log_softmax(logits, -1).gather(-1, ids.roll(-1)[..., None])[0, 1500:, 0]

    exact = log_probs(model, rounded=False)
    usual, drifted = ((log_probs(of, rounded=True) - exact).abs().mean() for of in (model, cast))
    assert drifted > 2 * usual
