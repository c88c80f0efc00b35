"""verl's losses and advantages under the recipes' configurations, against the papers' formulas in plain Python.

Two completions of two and three tokens: what A.5 of DRG-Sapphire says is the loss, and equation 2 the advantage.
"""

import importlib
import math
import statistics
from typing import Any

import pytest

from recipes.launcher.compose import compose

# Per token: log-probabilities under the policy, when it sampled, and under the reference; one advantage a completion.
POLICY = [[-0.50, -1.20], [-0.30, -0.90, -2.00]]
SAMPLED = [[-0.55, -1.10], [-0.30, -1.00, -1.90]]
REFERENCE = [[-0.70, -1.00], [-0.35, -0.80, -2.40]]
ADVANTAGE = [1.5, -0.5]
CLIP = 0.2
TOKENS = 5


def token_losses(kl: float) -> list[list[float]]:
    """The clipped policy loss of every token, plus the k3 estimate of the KL with that coefficient."""
    losses = []
    for policy, sampled, reference, advantage in zip(POLICY, SAMPLED, REFERENCE, ADVANTAGE, strict=True):
        row = []
        for now, then, start in zip(policy, sampled, reference, strict=True):
            ratio = math.exp(now - then)
            clipped = min(max(ratio, 1 - CLIP), 1 + CLIP)
            k3 = math.exp(start - now) - (start - now) - 1
            row.append(-min(ratio * advantage, clipped * advantage) + kl * k3)
        losses.append(row)
    return losses


def by_hand(how: str, kl: float) -> float:
    """A.5: how the tokens' losses become one."""
    losses = token_losses(kl)
    if how == "vanilla":  # each completion divided by its own length
        return sum(sum(row) / len(row) for row in losses) / len(losses)
    if how == "dapo":  # all tokens weigh the same
        return sum(map(sum, losses)) / TOKENS
    return sum(sum(row) / 1024 for row in losses) / len(losses)  # Dr. GRPO: a constant


def by_verl(recipe: str, kl: float | None = None) -> float:
    """verl's own loss with the recipe's actor configuration."""
    torch = importlib.import_module("torch")
    tensordict = importlib.import_module("tensordict")
    actor = importlib.import_module("verl.utils.config").omega_conf_to_dataclass(
        compose(recipe, ["hardware=cpu"]).actor_rollout_ref.actor
    )
    if kl is not None:
        object.__setattr__(actor, "kl_loss_coef", kl)

    def nested(rows: list[list[float]], kind: Any = torch.float32) -> Any:
        return torch.nested.nested_tensor([torch.tensor(row, dtype=kind) for row in rows], layout=torch.jagged)

    data = tensordict.TensorDict(
        {
            "prompts": nested([[7], [7]], torch.int64),
            "responses": nested([[1, 2], [1, 2, 3]], torch.int64),
            "response_mask": nested([[1, 1], [1, 1, 1]], torch.int64),
            "old_log_probs": nested(SAMPLED),
            "ref_log_prob": nested(REFERENCE),
            "advantages": nested([[a] * len(row) for a, row in zip(ADVANTAGE, POLICY, strict=True)]),
        },
        batch_size=2,
    )
    for key, value in (("dp_size", 1), ("batch_num_tokens", TOKENS), ("global_batch_size", 2)):
        data[key] = tensordict.NonTensorData(value)
    # verl's models give one value a token of prompt and completion, shifted: the last token's has no meaning
    model_output = {"log_probs": nested([[*row, 0.0] for row in POLICY])}
    loss, _ = importlib.import_module("verl.workers.utils.losses").ppo_loss(actor, model_output, data)
    return float(loss)


@pytest.mark.parametrize(
    ("recipe", "how", "kl"),
    [
        ("drg_sapphire/dense", "vanilla", 0.04),
        ("drg_sapphire/dapo_loss", "dapo", 0.04),
        ("drg_sapphire/dr_grpo_loss", "dr_grpo", 0.04),
        ("drg_sapphire/no_kl", "vanilla", 0.0),
        ("drg_sapphire/best", "dapo", 0.04),
    ],
)
def test_the_loss_is_the_papers(recipe: str, how: str, kl: float) -> None:
    assert by_verl(recipe) == pytest.approx(by_hand(how, kl), rel=1e-5)


def test_the_formulas_tell_the_losses_apart() -> None:
    values = [by_hand(how, 0.04) for how in ("vanilla", "dapo", "dr_grpo")]
    assert len({round(value, 4) for value in values}) == 3


def test_a_coefficient_that_decays_acts_on_the_loss() -> None:
    assert by_verl("drg_sapphire/kl_decay", kl=0.01) == pytest.approx(by_hand("vanilla", 0.01), rel=1e-5)


@pytest.mark.parametrize(
    ("recipe", "normalised"), [("drg_sapphire/dense", True), ("drg_sapphire/dr_grpo_advantage", False)]
)
def test_the_advantage_is_equation_2(recipe: str, normalised: bool) -> None:
    torch = importlib.import_module("torch")
    rewards = {"a": [2.0, 0.0, 0.0, -1.5], "b": [2.0, 2.0, 2.0, 2.0]}
    scores = torch.tensor([[0.0, value] for group in rewards.values() for value in group])
    index = importlib.import_module("numpy").array([name for name, group in rewards.items() for _ in group])
    advantages, _ = importlib.import_module("verl.trainer.ppo.core_algos").compute_grpo_outcome_advantage(
        scores,
        torch.ones_like(scores),
        index,
        norm_adv_by_std_in_grpo=compose(recipe).algorithm.norm_adv_by_std_in_grpo,
    )
    wanted = []
    for group in rewards.values():
        mean, spread = statistics.mean(group), statistics.stdev(group)
        wanted += [(value - mean) / (spread + 1e-6 if normalised else 1) for value in group]
    assert advantages[:, 0].tolist() == pytest.approx(wanted, abs=1e-5)
