"""The checkpoint that validation found best stays, whatever is removed around it."""

import json
import os
from pathlib import Path

import pytest

from common import record
from common.commands import UserError
from recipes.launcher.check_config import check_recipe
from recipes.launcher.compose import compose
from recipes.launcher.run_folder import RunFolder
from tests.conftest import World
from verl_ext import best

METRIC, RECIPE = "val-core/mimic_drg/acc/mean@1", "drg_sapphire/strict"


def validate(checkpoints: Path, step: int, value: float) -> None:
    """What the trainer does after a validation."""
    place = checkpoints / f"global_step_{step}"
    (place / "actor/huggingface").mkdir(parents=True)
    (place / "actor/huggingface/model.safetensors").write_text(f"weights {step}")
    (place / "data.pt").touch()
    (checkpoints / "latest_checkpointed_iteration.txt").write_text(str(step))
    if best.is_better(checkpoints, METRIC, {METRIC: value}):
        best.keep(checkpoints, step, METRIC, value)


def test_the_best_stays_across_launches_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    for name, value in world.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    words = ["hardware=cpu", f"trainer.v1.medcode.keep_best={METRIC}", "trainer.test_freq=2"]
    run = RunFolder(RECIPE, words, compose(RECIPE, words), "x")
    for steps, status in ((((2, 0.3), (4, 0.5)), "failed"), (((6, 0.5), (8, 0.2), (10, 0.4)), "finished")):
        run.open(fresh=False)
        run.begin()
        for step, value in steps:
            validate(run.checkpoints, step, value)
        run.end(status, int(status == "failed"), None)
        assert record.read(run.path)["best"] == {"step": 4, "metric": METRIC, "value": 0.5}
        assert (run.path / "best_model/model.safetensors").read_text() == "weights 4"
    assert sorted(path.name for path in run.checkpoints.glob("global_step_*")) == ["global_step_10", "global_step_8"]
    assert (run.path / "hf_model/model.safetensors").read_text() == "weights 10"


def test_it_takes_no_more_room_while_it_is_among_the_newest(tmp_path: Path) -> None:
    validate(tmp_path, 2, 0.1)
    name = "global_step_2/actor/huggingface/model.safetensors"
    assert os.path.samefile(tmp_path / name, tmp_path / "best" / name)


def test_another_metric_starts_again(tmp_path: Path) -> None:
    validate(tmp_path, 2, 0.9)
    assert not best.is_better(tmp_path, METRIC, {METRIC: 0.9})
    assert best.is_better(tmp_path, "val-core/mimic_drg/acc/maj@1", {"val-core/mimic_drg/acc/maj@1": 0.1})
    assert json.loads((tmp_path / "best/best.json").read_text())["step"] == 2


def test_a_metric_that_validation_has_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"no metric 'acc'; there is {METRIC}"):
        best.is_better(tmp_path, "acc", {METRIC: 0.1, "val-aux/x": 1.0})


@pytest.mark.parametrize("never", ["test_freq", "save_freq"])
def test_the_best_of_no_validation_is_refused(never: str) -> None:
    words = [f"trainer.v1.medcode.keep_best={METRIC}"]
    check_recipe(RECIPE, compose(RECIPE, words))
    with pytest.raises(UserError, match="keep_best needs validations and checkpoints"):
        check_recipe(RECIPE, compose(RECIPE, [*words, f"trainer.{never}=-1"]))
