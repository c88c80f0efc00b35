"""The folder of a run: only so many checkpoints are in it, however often it was launched."""

from pathlib import Path

import pytest

from recipes.launcher.compose import compose
from recipes.launcher.run_folder import RunFolder
from tests.conftest import World

RECIPE, CPU = "drg_sapphire/strict", "hardware=cpu"


def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: World, *overrides: str) -> RunFolder:
    for name, value in world.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    return RunFolder(RECIPE, [CPU, *overrides], compose(RECIPE, [CPU, *overrides]), "x")


def save(run: RunFolder, *steps: int) -> None:
    for step in steps:
        place = run.checkpoints / f"global_step_{step}"
        (place / "actor/huggingface").mkdir(parents=True)
        (place / "data.pt").touch()
        (run.checkpoints / "latest_checkpointed_iteration.txt").write_text(str(step))


def kept(run: RunFolder) -> list[int]:
    return sorted(int(path.name.rpartition("_")[2]) for path in run.checkpoints.glob("global_step_*"))


def test_launches_that_fail_and_one_that_finishes_leave_as_many_as_the_recipe_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    run = folder(tmp_path, monkeypatch, world)
    for steps, status in (((2, 4), "failed"), ((6, 8), "failed"), ((10, 12), "finished")):
        run.open(fresh=False)
        before = kept(run)
        assert len(before) <= 1 and (not before or before == [run.checkpoint()])  # what the launch goes on from
        run.begin()
        save(run, *steps)
        run.end(status, int(status == "failed"), None)
    assert kept(run) == [10, 12] and (run.path / "hf_model").resolve().parent.parent.name == "global_step_12"


def test_what_a_kill_cut_off_goes_and_the_whole_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    run = folder(tmp_path, monkeypatch, world)
    save(run, 2, 4)
    (run.checkpoints / "global_step_6/actor").mkdir(parents=True)
    run.open(fresh=False)
    assert kept(run) == [4] and run.checkpoint() == 4


def test_without_a_limit_none_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    run = folder(tmp_path, monkeypatch, world, "trainer.max_actor_ckpt_to_keep=null")
    save(run, 2, 4, 6)
    run.open(fresh=False)
    assert kept(run) == [2, 4, 6]
