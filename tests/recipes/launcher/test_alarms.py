"""Warnings about a run, on the metrics of its steps."""

import pytest

from recipes.launcher.alarms import QUIET_STEPS, Alarms

WELL = {
    "actor/kl_loss": 0.02,
    "reward/answered/mean": 0.95,
    "response_length/clip_ratio": 0.0,
    "groups/zero_variance": 0.3,
    "response_length/mean": 400.0,
}


def test_a_healthy_run_is_silent() -> None:
    alarms = Alarms()
    assert not [warning for step in range(1, 100) for warning in alarms.look(step, WELL)]


@pytest.mark.parametrize(
    ("metric", "value", "said"),
    [
        ("actor/kl_loss", 0.31, "KL 0.31"),
        ("reward/answered/mean", 0.2, "only 20%"),
        ("response_length/clip_ratio", 0.5, "50% of the completions are cut off"),
        ("groups/zero_variance", 0.95, "95% of the groups"),
        ("response_length/mean", 90.0, "90 tokens; in the first steps they had 400"),
    ],
)
def test_what_goes_wrong_is_said_once_and_again_after_it_was_well(metric: str, value: float, said: str) -> None:
    alarms = Alarms()
    for step in range(1, 6):
        assert not list(alarms.look(step, WELL))
    ill = {**WELL, metric: value}
    assert [said in warning for warning in alarms.look(6, ill)] == [True]
    assert not list(alarms.look(7, ill))
    assert len(list(alarms.look(8 + QUIET_STEPS, ill))) == 1


def test_a_run_without_reference_has_no_kl_to_warn_about() -> None:
    assert not list(Alarms().look(1, {key: value for key, value in WELL.items() if key != "actor/kl_loss"}))
