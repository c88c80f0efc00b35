"""What the recipes add to verl's trainer, worked out by hand; tests/recipes/test_launch.py runs it for real."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from verl_ext.batches import Group, component_means, group_statistics, write_outcomes
from verl_ext.resampling_rules import Settings, good_enough
from verl_ext.trainer import RewardError, kl_coefficient, stop_on_faults


def group(index: int, scores: list[float], accs: list[float]) -> Group:
    infos = [{"score": score, "acc": acc, "pred": "A"} for score, acc in zip(scores, accs, strict=True)]
    return Group(index, 1000 + index, infos, [7] * len(scores))


def test_components_are_means_over_the_completions_that_report_them() -> None:
    infos = [{"acc": 1.0, "format": -2, "pred": ""}, {"acc": 0.0, "format": 0, "pred": "B"}, {"acc": 0.0, "format": 0}]
    assert component_means(infos) == {
        "reward/acc/mean": pytest.approx(1 / 3),
        "reward/format/mean": pytest.approx(-2 / 3),
        "reward/answered/mean": 0.5,  # of the two that say what they answered
    }


def test_groups_that_teach_nothing_are_counted() -> None:
    groups = [
        group(0, [2, 2], [1, 1]),  # all right
        group(1, [-0.5, -0.5], [0, 0]),  # all wrong in the same way
        group(2, [-0.5, -1.5], [0, 0]),  # all wrong in two ways: there is something to learn
        group(3, [2, -0.5], [1, 0]),
    ]
    assert group_statistics(groups) == {"groups/zero_variance": 0.5, "groups/all_right": 0.25, "groups/all_wrong": 0.5}


def test_outcomes_hold_numbers_and_no_text_and_a_step_trained_again_replaces_its_file(tmp_path: Path) -> None:
    write_outcomes(tmp_path / "outcomes.parquet", 1, [group(5, [2, 0], [1, 0])])
    write_outcomes(tmp_path / "outcomes.parquet", 2, [group(6, [0, 0], [0, 0])])
    write_outcomes(tmp_path / "outcomes.parquet", 2, [group(7, [2, 2], [1, 1])])
    table = pq.read_table(tmp_path / "outcomes.parquet")
    assert table.column_names == ["step", "index", "hadm_id", "tokens", "acc", "score"]
    assert table["index"].to_pylist() == [5, 7] and table["score"].to_pylist() == [[2.0, 0.0], [2.0, 2.0]]


@pytest.mark.parametrize(("faults", "stops"), [(0, False), (1, False), (2, True)])
def test_more_than_one_fault_in_a_hundred_stops_the_run(faults: int, stops: bool) -> None:
    means = component_means([{"reward_error": float(i < faults)} for i in range(100)])
    if not stops:
        stop_on_faults(means, step=7, limit=0.01)
        return
    with pytest.raises(RewardError, match=r"2\.0% of the rewards of step 7 .* not updated"):
        stop_on_faults(means, step=7, limit=0.01)


def test_the_kl_coefficient_decays_as_the_paper_says() -> None:
    # A.4 for T = 4: 1/2 (1 + cos(pi t / 4)) is 1, 0.854, 0.5, 0.146
    decayed = [kl_coefficient("cosine", 0.04, updates, 4) for updates in range(4)]
    assert decayed == pytest.approx([0.04, 0.04 * 0.8535534, 0.02, 0.04 * 0.1464466])
    assert {kl_coefficient("constant", 0.04, updates, 4) for updates in range(4)} == {0.04}
    with pytest.raises(ValueError, match="linear"):
        kl_coefficient("linear", 0.04, 0, 4)


@pytest.mark.parametrize(
    ("scores", "first", "kept_by"),
    [
        ([2, 2, 2], [2, 2, 2], set()),  # nothing to learn, whatever the rule
        ([-2, -2, -2], [-2, -2, -2], set()),
        ([-0.5, -1.5, -2], [-0.5, -1.5, -2], {"neutral"}),
        ([2, -0.5, -0.5], [2, -0.5, -0.5], {"neutral", "positive", "positive_published"}),
        # the redraw is good, but the published rule goes on looking at the first draw ...
        ([2, -0.5, -0.5], [-2, -2, -2], {"neutral", "positive"}),
        # ... and keeps a redraw without a positive reward when the first had one
        ([-0.5, -1.5, -2], [2, 2, 2], {"neutral", "positive_published"}),
    ],
)
def test_which_draws_are_kept(scores: list[float], first: list[float], kept_by: set[str]) -> None:
    rules = ("neutral", "positive", "positive_published")
    assert {rule for rule in rules if good_enough(rule, scores, first)} == kept_by


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rule": "negative"}, "negative"),
        ({"max_redraws": 0}, "max_redraws"),
        ({"temperatures": []}, "temperatures"),
        ({"temperature": 1.0}, "exactly the keys"),
    ],
)
def test_faulty_settings_of_resampling_are_named(change: dict, said: str) -> None:
    settings = {"rule": "neutral", "max_redraws": 12, "temperatures": [0.7, 1.0]}
    assert Settings.read(settings) == ("neutral", 12, (0.7, 1.0))
    with pytest.raises(ValueError, match=said):
        Settings.read({**settings, **change})
