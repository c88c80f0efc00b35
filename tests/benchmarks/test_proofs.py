"""The formulas that smoke's proofs compute losses with, against verl's own functions where the ratio is 1."""

import importlib
from typing import Any

import numpy as np
import pytest

from benchmarks.proofs import policy_loss
from common.commands import UserError
from recipes.launcher.check_features import RATIO_LOSSES
from recipes.launcher.compose import compose

ACTOR = "actor_rollout_ref.actor"
LOG_PROBS = [[-0.5, -1.2], [-0.3, -0.9, -2.0], [-0.7]]
ADVANTAGES = [1.5, -0.5, -1.0]
AVERAGES = ("seq-mean-token-mean", "token-mean", "seq-mean-token-sum-norm")


def actor_of(mode: str, average: str) -> Any:
    words = [f"{ACTOR}.policy_loss.loss_mode={mode}", f"{ACTOR}.loss_agg_mode={average}"]
    words += [f"{ACTOR}.loss_scale_factor=1024", f"{ACTOR}.policy_loss.dro_beta=0.1"]
    return compose("drg_sapphire/strict", words).actor_rollout_ref.actor


def by_verl(actor: Any) -> tuple[float, list[float]]:
    """verl's loss of the three completions and its gradient by their tokens' log-probabilities."""
    torch = importlib.import_module("torch")
    algorithms = importlib.import_module("verl.trainer.ppo.core_algos")
    config = importlib.import_module("verl.utils.config").omega_conf_to_dataclass(actor)
    config.global_batch_info.update(loss_scale_factor=actor.loss_scale_factor)
    wide = max(map(len, LOG_PROBS))
    mask = torch.tensor([[float(i < len(row)) for i in range(wide)] for row in LOG_PROBS])
    now = torch.tensor([row + [0.0] * (wide - len(row)) for row in LOG_PROBS], requires_grad=True)
    loss, _ = algorithms.get_policy_loss_fn(actor.policy_loss.loss_mode)(
        old_log_prob=now.detach().clone(),
        log_prob=now,
        advantages=torch.tensor(ADVANTAGES)[:, None] * mask,
        response_mask=mask,
        loss_agg_mode=actor.loss_agg_mode,
        config=config,
    )
    loss.backward()
    return float(loss.detach()), (now.grad * mask).ravel().tolist()


@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("mode", ["vanilla", "gspo", "sapo", "cispo", "gpg"])
def test_the_formula_of_a_loss_is_verls(mode: str, average: str) -> None:
    actor = actor_of(mode, average)
    tokens = np.array([len(row) for row in LOG_PROBS])
    ours = policy_loss(actor, np.array(ADVANTAGES), tokens, np.array([sum(row) for row in LOG_PROBS]))
    assert ours == pytest.approx(by_verl(actor)[0], rel=1e-5)


@pytest.mark.parametrize(
    ("mode", "average", "said"),
    [
        ("clip_cov", "token-mean", "loss_mode clip_cov"),
        ("cispo", "token-mean", "loss_mode cispo"),  # of outcomes without log-probabilities
        ("vanilla", "token-sum", "loss_agg_mode token-sum"),
    ],
)
def test_a_loss_without_a_formula_is_refused(mode: str, average: str, said: str) -> None:
    with pytest.raises(UserError, match=f"no formula for actor.*{said}"):
        policy_loss(actor_of(mode, average), np.array([1.0]), np.array([2]), None)


@pytest.mark.parametrize("mode", RATIO_LOSSES)
def test_a_ratio_of_one_makes_a_ratio_based_loss_vanilla(mode: str) -> None:
    """Why recipes.check refuses these losses with one update a batch."""
    average = "seq-mean-token-mean"  # the only one of sapo and geo_mean
    assert by_verl(actor_of(mode, average))[1] == pytest.approx(by_verl(actor_of("vanilla", average))[1], abs=1e-6)
