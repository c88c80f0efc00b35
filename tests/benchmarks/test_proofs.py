"""The formulas that smoke's proofs compute losses with, against verl's own functions where the ratio is 1."""

import importlib
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.proofs import policy_loss, proofs, step_advantages
from common.commands import UserError
from recipes.launcher.check_features import RATIO_LOSSES
from recipes.launcher.compose import compose
from verl_ext.gdpo import with_components

ACTOR = "actor_rollout_ref.actor"
LOG_PROBS = [[-0.5, -1.2], [-0.3, -0.9, -2.0], [-0.7]]
ADVANTAGES = [1.5, -0.5, -1.0]
AVERAGES = ("seq-mean-token-mean", "token-mean", "seq-mean-token-sum-norm")


def actor_of(mode: str, average: str) -> Any:
    words = [f"{ACTOR}.policy_loss.loss_mode={mode}", f"{ACTOR}.loss_agg_mode={average}"]
    words += [f"{ACTOR}.loss_scale_factor=1024", f"{ACTOR}.policy_loss.dro_beta=0.1"]
    return compose("drg_sapphire/strict", words).actor_rollout_ref.actor


def by_verl(actor: Any, moved: float = 0.0) -> tuple[float, list[float]]:
    """verl's loss of the three completions and its gradient by their tokens' log-probabilities.

    `moved`: by how much the policy has left the old one, one way and the other from token to token.
    """
    torch = importlib.import_module("torch")
    algorithms = importlib.import_module("verl.trainer.ppo.core_algos")
    config = importlib.import_module("verl.utils.config").omega_conf_to_dataclass(actor)
    config.global_batch_info.update(loss_scale_factor=actor.loss_scale_factor)
    wide = max(map(len, LOG_PROBS))
    mask = torch.tensor([[float(i < len(row)) for i in range(wide)] for row in LOG_PROBS])
    now = torch.tensor([row + [0.0] * (wide - len(row)) for row in LOG_PROBS], requires_grad=True)
    loss, _ = algorithms.get_policy_loss_fn(actor.policy_loss.loss_mode)(
        old_log_prob=now.detach() - moved * torch.tensor([1.0, -2.0, 3.0])[:wide],
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


@pytest.mark.parametrize(("name", "moved"), [("gspo", 0.1), ("cispo", 1.0), ("dapo", 0.24)])
def test_an_algorithm_is_another_one_as_soon_as_a_batch_has_a_second_update(name: str, moved: float) -> None:
    actor = compose("drg_sapphire/strict", [f"algorithm={name}"]).actor_rollout_ref.actor
    assert actor.ppo_mini_batch_size == 16  # four updates
    plain = actor_of("vanilla", actor.loss_agg_mode)
    assert by_verl(actor)[1] == pytest.approx(by_verl(plain)[1], abs=1e-6)  # in the first one
    far = max(abs(a - b) for a, b in zip(by_verl(actor, moved)[1], by_verl(plain, moved)[1], strict=True))
    assert far > 0.01


def test_gspo_after_an_update_is_what_its_paper_says() -> None:
    """Equations 5 to 7 by hand: one ratio a completion, clipped, whose gradient every token shares."""
    actor = compose("drg_sapphire/strict", ["algorithm=gspo"]).actor_rollout_ref.actor
    wanted = 0.0
    for row, advantage in zip(LOG_PROBS, ADVANTAGES, strict=True):
        ratio = np.exp(np.mean(0.1 * np.array([1.0, -2.0, 3.0])[: len(row)]))
        clipped = np.clip(ratio, 1 - 3e-4, 1 + 4e-4)
        wanted -= min(ratio * advantage, clipped * advantage) / len(ADVANTAGES)
    assert by_verl(actor, 0.1)[0] == pytest.approx(wanted, rel=1e-5)


def test_cispo_weighs_and_never_silences_a_token() -> None:
    """Equation 4 of MiniMax-M1: the weight ends at 5 and has no gradient; only log-probabilities have."""
    actor = compose("drg_sapphire/strict", ["algorithm=cispo"]).actor_rollout_ref.actor
    moves = [np.array([1.0, -2.0, 3.0])[: len(row)] for row in LOG_PROBS]
    weights = [np.clip(np.exp(move), 0, 5) * advantage for move, advantage in zip(moves, ADVANTAGES, strict=True)]
    tokens = sum(map(len, LOG_PROBS))
    loss, gradient = by_verl(actor, 1.0)
    assert loss == pytest.approx(
        -sum(w @ np.array(r) for w, r in zip(weights, LOG_PROBS, strict=True)) / tokens, rel=1e-5
    )
    assert sorted(g for g in gradient if g) == pytest.approx(sorted(-np.concatenate(weights) / tokens), rel=1e-5)


GROUPS = [
    {"format": [0, 0, -2, 0], "accuracy": [2, 0, 0, -1.5], "score": [2, 0, -2, -1.5], "tokens": [3, 4, 2, 5]},
    {"format": [0, 0, 0, -2], "accuracy": [0, 0, 2, 0], "score": [0, 0, 2, -2], "tokens": [1, 4, 6, 2]},
]


@pytest.mark.parametrize(
    ("estimator", "normalised"),
    [("grpo", True), ("grpo", False), ("grpo_passk", True), ("grpo_passk", False), ("gdpo", True)],
)
def test_the_formula_of_an_advantage_is_verls(estimator: str, normalised: bool) -> None:
    torch = importlib.import_module("torch")
    protocol = importlib.import_module("verl.protocol")
    compute = importlib.import_module("verl.trainer.ppo.ray_trainer").compute_advantage
    words = [f"algorithm.norm_adv_by_std_in_grpo={str(normalised).lower()}"]
    config = compose("drg_sapphire/strict", words + ([f"algorithm={estimator}"] if estimator != "grpo" else []))
    rows = {name: [value for group in GROUPS for value in group[name]] for name in GROUPS[0]}
    mask = torch.tensor([[float(i < tokens) for i in range(6)] for tokens in rows["tokens"]])
    last = torch.arange(6) == torch.tensor(rows["tokens"])[:, None] - 1
    data = protocol.DataProto.from_dict(
        tensors={"response_mask": mask, "token_level_rewards": last * torch.tensor(rows["score"])[:, None]},
        non_tensors={"uid": np.array(["a"] * 4 + ["b"] * 4, dtype=object)},
    )
    if estimator == "gdpo":  # through what brings the components to verl
        infos = [{name: rows[name][i] for name in ("format", "accuracy")} for i in range(8)]
        compute = with_components(compute, infos)
    done = compute(data, config=config.algorithm, adv_estimator=estimator, norm_adv_by_std_in_grpo=normalised)
    assert step_advantages(config, GROUPS) == pytest.approx(done.batch["advantages"][:, 0].numpy(), abs=1e-5)


def test_a_component_that_the_reward_does_not_return_is_named() -> None:
    config = compose("drg_sapphire/strict", ["algorithm=gdpo", "algorithm.gdpo_reward_keys=[format,outcome]"])
    with pytest.raises(
        ValueError, match="names 'outcome', which the reward does not return; it returns accuracy, format"
    ):
        with_components(lambda data, **_: data, [{"format": 0, "accuracy": 2}])(None, config=config.algorithm)


def test_an_overlong_penalty_counts() -> None:
    config = compose("drg_sapphire/strict", ["algorithm=dapo"])
    penalised = [{**GROUPS[0], "overlong_reward": [0, 0, 0, -0.5]}]
    scores = np.array([2, 0, -2, -2.0])
    assert step_advantages(config, penalised) == pytest.approx((scores - scores.mean()) / (scores.std(ddof=1) + 1e-6))


@pytest.mark.parametrize(("scores", "holds"), [([1.0, 1.0], False), ([1.0, 0.0], True)])
def test_a_run_whose_groups_have_equal_rewards_proves_no_advantage(scores: list[float], holds: bool) -> None:
    config = compose("drg_sapphire/strict", [f"{ACTOR}.use_kl_loss=false"])
    values = step_advantages(config, [{"score": scores}])
    row = {"critic/advantages/max": values.max(), "critic/advantages/min": values.min(), "actor/pg_loss": 0.0}
    columns = {
        "step": [1],
        "index": [0],
        "tokens": [[5, 5]],
        "format": [[0.0, 0.0]],
        "cot_first": [[0.0, 0.0]],
        "score": [scores],
        "accuracy": [scores],
    }
    proof = proofs(config, [row], pa.table(columns))[0]
    assert proof.claim.startswith("advantage") and proof.holds == holds, proof
