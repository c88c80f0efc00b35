"""Resampling with real rollouts: which groups are drawn again, and how often."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.conftest import World, run_process
from verl_ext.resampling_rules import good_enough

N, REDRAWS, STEPS, PROMPTS = 8, 12, 8, 16
HEADS = 0.15  # a draw of eight is all tails with 0.85^8 = 27 %


def expected_draws(bad: float) -> float:
    """The mean number of draws when each is bad with this probability and the 13th is kept anyway: 1 + q + … + q^12."""
    return sum(bad**k for k in range(REDRAWS + 1))


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "tails"), [("neutral", [0.0]), ("positive", [-0.5, -1.5])])
def test_the_groups_that_teach_nothing_are_drawn_again_and_no_other(
    world: World, tmp_path: Path, rule: str, tails: list[float]
) -> None:
    log = tmp_path / "tosses"
    options = "reward.custom_reward_function.reward_kwargs"
    done = run_process(
        *("bash", "recipes/launch.sh", f"drg_sapphire/{rule}_resampling", "hardware=cpu", "name=coin"),
        *(f"trainer.total_training_steps={STEPS}", f"data.train_batch_size={PROMPTS}", "trainer.save_freq=-1"),
        *("data.max_response_length=8", "actor_rollout_ref.model.use_remove_padding=false"),
        *("reward.custom_reward_function.path=tests/support/counting_reward.py", f"~{options}.accuracy"),
        *(f"+{options}.heads={HEADS}", f"+{options}.log={log}", f"+{options}.tails={tails}"),
        **world.environment(tmp_path),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = pq.read_table(tmp_path / f"drg_sapphire/{rule}_resampling/coin/outcomes.parquet").to_pylist()
    assert len(outcomes) == STEPS * PROMPTS
    tosses: dict[int, list[float]] = defaultdict(list)
    for line in log.read_text().splitlines():
        index, score = json.loads(line)
        tosses[index].append(score)
    draws = []
    for row in sorted(outcomes, key=lambda row: row["step"]):
        mine = tosses[row["index"]]
        count = int(row["draws"][0])
        assert set(row["draws"]) == {count} and 1 <= count <= REDRAWS + 1
        groups = [mine[i * N : (i + 1) * N] for i in range(count)]
        del mine[: count * N]  # a prompt may come again in a later epoch
        assert not any(good_enough(rule, group, groups[0]) for group in groups[:-1])  # each redraw was needed
        assert count > REDRAWS or good_enough(rule, groups[-1], groups[0])  # and no further one
        assert sorted(row["score"]) == sorted(groups[-1])  # the last draw is what is trained on
        draws.append(count)
    assert not any(tosses.values())
    bad = (1 - HEADS) ** N + HEADS**N  # all tails, which are equal or not above 0, or all heads
    spread = np.std(draws) / len(draws) ** 0.5
    assert abs(np.mean(draws) - expected_draws(bad)) < 4 * spread + 0.05, (np.mean(draws), expected_draws(bad))
