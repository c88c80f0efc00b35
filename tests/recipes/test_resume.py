"""A run that is killed and launched again goes on as if nothing had happened: step, KL, order of the data."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from data_prep import parquet
from recipes.launcher.compose import compose
from recipes.launcher.run_folder import RunFolder
from tests.conftest import ROOT, World
from verl_ext.trainer import kl_coefficient

RECIPE, PROMPTS, STEPS, SAVE_EVERY = "drg_sapphire/kl_decay", 4, 10, 3
SRUN = '#!/usr/bin/env bash\nwhile [[ $1 == --* ]]; do shift; done\nexec "$@"\n'  # one node: what srun does in the end
SCONTROL = '#!/usr/bin/env bash\necho "$3"\n'


@pytest.mark.slow
@pytest.mark.parametrize("through", ["recipes/launch.sh", "recipes/submit.slurm"])
def test_a_killed_run_goes_on_from_its_last_checkpoint(world: World, tmp_path: Path, through: str) -> None:
    data = tmp_path / "one_epoch.parquet"
    table = parquet.read(world.data / "drg" / "rl" / "full_75.parquet").slice(0, PROMPTS * STEPS)
    parquet.write(table, data)
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    env = {
        **os.environ,
        **world.environment(tmp_path),
        "PYTHON": sys.executable,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        **{"SLURM_JOB_NODELIST": "here", "SLURM_GPUS_PER_NODE": "1", "SLURM_SUBMIT_DIR": str(ROOT)},
    }
    words = [
        *("bash", through, RECIPE, "hardware=cpu", "name=killed", f"data.train_files={data}"),
        *(f"data.train_batch_size={PROMPTS}", f"trainer.total_training_steps={STEPS}", "trainer.total_epochs=1"),
        f"trainer.save_freq={SAVE_EVERY}",
    ]
    last = random.randint(SAVE_EVERY + 1, STEPS - 2)
    first = subprocess.Popen(words, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert first.stdout is not None
    assert any(line.split()[:2] == ["step", f"{last}/{STEPS}"] for line in first.stdout), f"step {last} never came"
    family = psutil.Process(first.pid).children(recursive=True)
    os.killpg(first.pid, signal.SIGKILL)
    psutil.wait_procs(family, timeout=60)

    second = subprocess.run(words, cwd=ROOT, env={**env, "SLURM_RESTART_COUNT": "1"}, capture_output=True, text=True)
    assert second.returncode == 0, second.stdout + second.stderr
    folder = tmp_path / RECIPE / "killed"
    assert f"going on from step {last // SAVE_EVERY * SAVE_EVERY};" in second.stdout
    assert len(list((folder / "checkpoints").glob("global_step_*"))) == 2
    shown = [int(line.split()[1].split("/")[0]) for line in second.stdout.splitlines() if line.startswith("step ")]
    assert shown == list(range(last // SAVE_EVERY * SAVE_EVERY + 1, STEPS + 1))  # from the last checkpoint, none twice

    rows = {row["step"]: row["data"] for row in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())}
    start = compose(RECIPE).actor_rollout_ref.actor.kl_loss_coef
    for step in range(1, STEPS + 1):
        wanted = kl_coefficient("cosine", start, step - 1, STEPS)
        assert rows[step]["actor/kl_coef"] == pytest.approx(wanted), step

    outcomes = pq.read_table(folder / "outcomes.parquet", columns=["step", "index"]).to_pylist()
    assert sorted(row["index"] for row in outcomes) == sorted(parquet.infos(table, "index"))  # each prompt once
    assert json.loads((folder / "run.json").read_text())["status"] == "finished"


def test_a_tracker_that_a_kill_cut_off_is_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNS_DIR", str(tmp_path))
    folder = RunFolder(RECIPE, ["hardware=cpu"], compose(RECIPE, ["hardware=cpu"]), "cut")
    for step, whole in ((2, True), (4, True), (6, False)):
        (folder.checkpoints / f"global_step_{step}").mkdir(parents=True)
        if whole:
            (folder.checkpoints / f"global_step_{step}" / "data.pt").touch()
    tracker = folder.checkpoints / "latest_checkpointed_iteration.txt"
    tracker.write_text("")
    folder.open(fresh=False)
    assert tracker.read_text() == "4"
