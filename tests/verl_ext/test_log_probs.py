"""A step without the pass for old log-probabilities: where that is exact, and that its metrics are the same."""

import json
from pathlib import Path

import pytest

from common.commands import UserError
from recipes.launcher.check_config import check_recipe
from recipes.launcher.compose import compose
from tests.conftest import World, run_process
from verl_ext.log_probs import reuses

RECIPE, KEY = "drg_sapphire/strict", "trainer.v1.medcode.reuse_log_probs"
NEEDED = {
    "actor_rollout_ref.actor.ppo_mini_batch_size=32": "several updates",
    "actor_rollout_ref.actor.ppo_epochs=2": "several updates",
    "algorithm.rollout_correction.rollout_is=token": "rollout_correction.rollout_is",
    "algorithm.rollout_correction.rollout_rs=token_k1": "rollout_correction.rollout_rs",
    "algorithm.rollout_correction.bypass_mode=true": "rollout_correction.bypass_mode",
    "algorithm.use_kl_in_reward=true": "use_kl_in_reward",
}
# what depends on the clock, and how old the rollouts are, which are replayed
ELSE = ("timing_", "perf/", "actor/perf/", "training/off_policy/")
ROUNDED = "rollout_corr/chi2_seq"  # a power of e of twice the sum over a completion: rounding shows


@pytest.mark.parametrize("override", NEEDED)
def test_what_needs_the_pass_keeps_it_and_refuses_to_do_without(override: str) -> None:
    assert reuses(compose(RECIPE)) and reuses(compose("deepicd_r1/sft_grpo"))
    assert not reuses(compose(RECIPE, [override]))
    check_recipe(RECIPE, compose(RECIPE, [override]))
    with pytest.raises(UserError, match=f"reuse_log_probs: .*{NEEDED[override]}.* needs verl's pass"):
        check_recipe(RECIPE, compose(RECIPE, [override, f"{KEY}=true"]))
    assert not reuses(compose(RECIPE, [f"{KEY}=false"]))


def test_a_switch_is_true_or_false() -> None:
    with pytest.raises(UserError, match="reuse_log_probs is 'no'; it must be true, false or null"):
        check_recipe(RECIPE, compose(RECIPE, [f"{KEY}='no'"]))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["drg_sapphire/strict", "deepicd_r1/no_judge"])
def test_the_same_rollouts_give_the_same_metrics_without_the_pass(world: World, tmp_path: Path, recipe: str) -> None:
    """One recipe's entropy is a metric alone, the other's a part of the loss; verl replays the rollouts."""
    rows: dict[bool, list[dict[str, float]]] = {}
    for reuse in (False, True):
        done = run_process(
            *("bash", "recipes/launch.sh", recipe, "hardware=cpu", "name=same", f"{KEY}={str(reuse).lower()}"),
            *("trainer.total_training_steps=2", "data.train_batch_size=8", "trainer.save_freq=-1"),
            *("data.max_response_length=48", "skip.rollout_tq.enable=true", "skip.rollout_tq.steps=[1,2]"),
            f"skip.rollout_tq.dump_dir={tmp_path / 'rollouts'}",
            *(
                ("reward.custom_reward_function.path=tests/support/graded_reward.py",)
                if recipe.startswith("drg")
                else ()
            ),
            **world.environment(tmp_path / str(reuse)),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        file = tmp_path / str(reuse) / recipe / "same/metrics.jsonl"
        rows[reuse] = [json.loads(line)["data"] for line in file.read_text().splitlines()]
    assert len(rows[True]) == len(rows[False]) == 2
    for without, beside in zip(rows[True], rows[False], strict=True):
        same = {name for name in beside if not name.startswith(ELSE)}
        assert {
            "actor/entropy",
            "actor/pg_loss",
            "rollout_corr/kl",
            "training/rollout_actor_probs_pearson_corr",
        } <= same
        assert {name for name in without if not name.startswith(ELSE)} == same
        assert without[ROUNDED] == pytest.approx(beside[ROUNDED], abs=1e-5)
        same -= {ROUNDED}
        assert {name: without[name] for name in same} == pytest.approx({n: beside[n] for n in same}, rel=1e-6, abs=1e-6)
        assert without["timing_s/old_log_prob"] < 0.2 * beside["timing_s/old_log_prob"]
