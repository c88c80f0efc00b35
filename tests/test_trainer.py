"""What the recipes add to verl's trainer, on numbers worked out by hand; tests/test_launch.py runs it for real."""

import pytest

from verl_ext.trainer import RewardError, component_means, stop_on_faults


def test_components_are_means_over_the_completions_that_report_them() -> None:
    infos = [{"acc": 1.0, "format": -2, "pred": "A"}, {"acc": 0.0, "format": 0, "pred": "B"}, {"acc": 0.0, "format": 0}]
    means = component_means(infos)
    assert means == {"reward/acc/mean": pytest.approx(1 / 3), "reward/format/mean": pytest.approx(-2 / 3)}


@pytest.mark.parametrize(("faults", "stops"), [(0, False), (1, False), (2, True)])
def test_more_than_one_fault_in_a_hundred_stops_the_run(faults: int, stops: bool) -> None:
    means = component_means([{"reward_error": float(i < faults)} for i in range(100)])
    if not stops:
        stop_on_faults(means, step=7, limit=0.01)
        return
    with pytest.raises(RewardError, match=r"2\.0% of the rewards of step 7 .* not updated"):
        stop_on_faults(means, step=7, limit=0.01)
