"""What a short run proves of its recipe: every claim is checked on the run's own metrics and outcomes.

for proof in proofs(config, metrics, outcomes): print(proof.claim, proof.seen, proof.holds)

The advantages and the policy loss are computed again from the rewards, lengths and, where the loss weighs them, the
log-probabilities of every group. The formulas are those of the recipe's `policy_loss.loss_mode` and `loss_agg_mode`
where the ratio of new to old policy is 1: in a batch's only update, or at a learning rate of 0.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from omegaconf import DictConfig, OmegaConf

from common.commands import UserError
from reward_fns.drg.reward import payments
from verl_ext.trainer import LOG_PROB_LOSSES, kl_coefficient

Metrics = list[dict[str, float]]  # one a step


class Proof(NamedTuple):
    """One claim about a run."""

    claim: str
    seen: str
    holds: bool


def proofs(config: DictConfig, metrics: Metrics, outcomes: pa.Table) -> list[Proof]:
    """Every claim that the recipe makes."""
    steps = [[row for row in outcomes.to_pylist() if row["step"] == step] for step in range(1, len(metrics) + 1)]
    found = [*_advantages(config, metrics, steps), *_loss(config, metrics, steps), *_kl(config, metrics)]
    found += [*_reward(config, outcomes), *_draws(config, metrics), *_order(config, steps)]
    return found


def advantages(scores: np.ndarray, normalised: bool) -> np.ndarray:
    """Equation 2 for one group, with torch's standard deviation; `normalised=False` is the Dr. GRPO advantage."""
    centred = scores - scores.mean()
    return centred / (scores.std(ddof=1) + 1e-6) if normalised else centred


def pass_at_k(scores: np.ndarray, normalised: bool) -> np.ndarray:
    """Only the best completion of a group has an advantage: by how much it beats the second."""
    second, best = np.sort(scores)[-2:]
    lead = (best - second) / (scores.std(ddof=1) + 1e-6 if normalised else 1)
    return lead * (np.arange(len(scores)) == scores.argmax())


def decoupled(values: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """GDPO's last step: sums of normalised components, normalised once more over all tokens of the batch."""
    count = tokens.sum()
    mean = (values * tokens).sum() / count
    variance = ((values - mean) ** 2 * tokens).sum() / (count - 1)
    return (values - mean) / np.sqrt(variance + 1e-8)


def step_advantages(config: DictConfig, groups: list[dict]) -> np.ndarray:
    """The advantage of every completion of a step, by the recipe's estimator."""
    estimator, normalised = config.algorithm.adv_estimator, config.algorithm.norm_adv_by_std_in_grpo
    if estimator == "gdpo":
        keys = list(config.algorithm.gdpo_reward_keys)
        weights = config.algorithm.get("gdpo_reward_weights") or [1.0] * len(keys)
        parts = [
            sum(w * advantages(np.array(row[k]), True) for k, w in zip(keys, weights, strict=True)) for row in groups
        ]
        return decoupled(np.concatenate(parts), np.concatenate([row["tokens"] for row in groups]))
    one = pass_at_k if estimator == "grpo_passk" else advantages
    rewards = [np.array(row["score"]) + np.array(row.get("overlong_reward", 0.0)) for row in groups]  # DAPO's penalty
    return np.concatenate([one(scores, normalised) for scores in rewards])


def policy_loss(actor: DictConfig, values: np.ndarray, tokens: np.ndarray, log_probs: np.ndarray | None) -> float:
    """verl's policy loss (core_algos) with a ratio of one, of sequences with these advantages, lengths and sums of
    log-probabilities; DRG-Sapphire's A.5 has the three ways to average of a vanilla loss."""
    mode, average = actor.policy_loss.loss_mode, actor.loss_agg_mode
    if mode in ("vanilla", "gspo"):
        sums = -values * tokens
    elif mode == "sapo":  # a gate of 2 / tau, averaged in one way alone
        sums = -values * tokens * 2 / np.where(values > 0, actor.tau_pos, actor.tau_neg)
        average = "seq-mean-token-mean"
    elif mode in LOG_PROB_LOSSES and log_probs is not None:
        sums = -values * log_probs
    else:
        raise UserError(f"benchmarks.proofs has no formula for actor.policy_loss.loss_mode {mode}; write one")
    if average == "seq-mean-token-mean":
        return float((sums / tokens).mean())
    if average == "token-mean":
        return float(sums.sum() / tokens.sum())
    if average == "seq-mean-token-sum-norm" and actor.loss_scale_factor:
        return float(sums.mean() / actor.loss_scale_factor)
    raise UserError(f"benchmarks.proofs has no formula for actor.loss_agg_mode {average}; write one")


def updates(config: DictConfig) -> int:
    """How often a batch changes the policy."""
    actor = config.actor_rollout_ref.actor
    return actor.ppo_epochs * -(-config.data.train_batch_size // actor.ppo_mini_batch_size)


def _advantages(config: DictConfig, metrics: Metrics, steps: list[list[dict]]) -> Iterator[Proof]:
    estimator = config.algorithm.adv_estimator
    kind = "(r - mean) / std" if config.algorithm.norm_adv_by_std_in_grpo else "r - mean"
    kind = kind if estimator == "grpo" else estimator
    ours = [step_advantages(config, rows) for rows in steps]
    far = max(
        abs(values.max() - row["critic/advantages/max"]) + abs(values.min() - row["critic/advantages/min"])
        for values, row in zip(ours, metrics, strict=True)
    )
    some = any(values.any() for values in ours)  # where all rewards are equal, any rule would do
    seen = f"verl's differ by {far:.0e}" if some else "all rewards of every group are equal, so nothing was seen"
    yield Proof(f"advantage {kind}", seen, far < 1e-4 and some)


def _loss(config: DictConfig, metrics: Metrics, steps: list[list[dict]]) -> Iterator[Proof]:
    actor = config.actor_rollout_ref.actor
    if updates(config) > 1 and actor.optim.lr:
        raise UserError("with several updates a batch a loss can be computed again only at actor.optim.lr=0")
    far = 0.0
    for row, groups in zip(metrics, steps, strict=True):
        tokens, log_probs = (
            np.concatenate([group[name] for group in groups]) if name in groups[0] else None
            for name in ("tokens", "log_prob")
        )
        ours = policy_loss(actor, step_advantages(config, groups), tokens, log_probs)
        far = max(far, abs(ours - row["actor/pg_loss"]))
    mode = "" if actor.policy_loss.loss_mode == "vanilla" else f"{actor.policy_loss.loss_mode} "
    yield Proof(f"loss {mode}{actor.loss_agg_mode}", f"verl's differs by {far:.0e}", far < 1e-4)


def _kl(config: DictConfig, metrics: Metrics) -> Iterator[Proof]:
    actor = config.actor_rollout_ref.actor
    if not actor.use_kl_loss:
        left = [key for row in metrics for key in row if key in ("actor/kl_loss", "timing_s/ref")]
        yield Proof("no reference model", "no KL, no reference pass" if not left else ", ".join(left), not left)
        return
    schedule = OmegaConf.select(config, "trainer.v1.medcode.kl_schedule") or "constant"
    coefficients = [row["actor/kl_coef"] for row in metrics]
    wanted = [kl_coefficient(schedule, actor.kl_loss_coef, step, len(metrics)) for step in range(len(metrics))]
    right = all(math.isclose(*pair, rel_tol=1e-6) for pair in zip(coefficients, wanted, strict=True))
    yield Proof(f"KL {schedule}", " ".join(f"{value:.4g}" for value in coefficients), right)


def _reward(config: DictConfig, outcomes: pa.Table) -> Iterator[Proof]:
    options: dict[str, Any] = dict(config.reward.custom_reward_function.get("reward_kwargs") or {})
    names = [name for name in outcomes.column_names if pa.types.is_list(outcomes.schema.field(name).type)]
    part = {name: np.array(outcomes[name].to_pylist(), dtype=float).ravel() for name in names}
    if scheme := options.get("accuracy"):
        seen = set(part["accuracy"].tolist())  # 0 where the format is wrong, which costs 2 in its own component
        paid = seen <= payments(scheme) | {0.0}
        yield Proof(f"reward {scheme}", " ".join(f"{value:g}" for value in sorted(seen)), paid)
        penalty = options.get("cot_first_penalty") or 0.0
        score = part["format"] + part["accuracy"] - penalty * part["cot_first"] * (part["format"] == 0)
        if penalty:
            hit = int((part["cot_first"] * (part["format"] == 0)).sum())
            right = hit > 0 and bool(np.allclose(score, part["score"]))
            yield Proof(f"penalty {penalty:g}", f"{hit} of {len(score)} completions", right)
    if "note" in part:
        right = np.allclose(part["format"] + options.get("note_weight", 1.0) * part["note"], part["score"], atol=1e-5)
        graded = int((part["end"] > 0).sum())
        yield Proof("process reward model", f"{graded} of {len(part['note'])} notes graded", bool(right and graded))
    if "outcome" in part:
        weights = {name: options.get(f"{name}_weight", 1.0) for name in ("format", "outcome")}
        score = sum(weights[name] * part[name] for name in weights) + part["judge"]
        shown = " ".join(f"{name} {part[name].mean():.2f}" for name in ("format", "outcome", "judge"))
        yield Proof(f"weights {weights}", shown, bool(np.allclose(score, part["score"])))
        asked = bool(options.get("judge_weight")) and str(config.reward.custom_reward_function.path).endswith("judge")
        graded = int((part["judge"] > 0).sum())
        yield Proof("judge" if asked else "no judge", f"{graded} grades", bool(graded) == asked)


def _draws(config: DictConfig, metrics: Metrics) -> Iterator[Proof]:
    settings = OmegaConf.select(config, "actor_rollout_ref.rollout.custom.resampling")
    if settings is not None:
        draws = [row["reward/draws/mean"] for row in metrics]
        yield Proof(f"resampling {settings.rule}", f"{np.mean(draws):.1f} draws a group", max(draws) > 1)


def _order(config: DictConfig, steps: list[list[dict]]) -> Iterator[Proof]:
    if config.data.shuffle:
        return
    import pyarrow.parquet as pq

    infos = pq.read_table(config.data.train_files, columns=["extra_info"])["extra_info"].to_pylist()
    size = config.data.train_batch_size
    wanted = [{info["index"] for info in infos[i * size : (i + 1) * size]} for i in range(len(steps))]
    seen = [{row["index"] for row in rows} for rows in steps]
    yield Proof("data in the file's order", f"{len(steps)} steps", seen == wanted)
