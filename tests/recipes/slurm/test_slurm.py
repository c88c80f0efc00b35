"""recipes/submit.slurm under a real Slurm (debian.py); `make test-slurm` runs it.

What the script starts is a stand-in where only Slurm's part is the question, and a real run once.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import World
from tests.recipes.slurm.debian import GPUS, Slurm, slurm

pytestmark = pytest.mark.slow
SUBMIT, RECIPE = "recipes/submit.slurm", "drg_sapphire/strict"
# What launch.sh and symmetric-run start. Where a run would train, it says so, and on its first start waits for its end.
PYTHON = """#!/usr/bin/env bash
[[ $* == *recipes.check* ]] && exit
echo "ran on $SLURMD_NODENAME with ${CUDA_VISIBLE_DEVICES:-no GPU}, $(nproc) cores: $*"
echo "Ray: $RAY_AUTH_MODE $RAY_AUTH_TOKEN $RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT"
[[ -n ${CHECKPOINT:-} && ! -e $CHECKPOINT ]] || exit 0
if [[ $CHECKPOINT != never ]]; then mkdir -p "${CHECKPOINT%/*}" && echo 3 >"$CHECKPOINT"; fi
sleep 300
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Slurm]:
    with slurm() as made:
        yield made


@pytest.fixture
def stand_in(copy: Path) -> dict[str, str]:
    file = copy / "python"
    file.write_text(PYTHON)
    file.chmod(0o755)
    return {"PYTHON": str(file)}


def log(folder: Path, job: str) -> str:
    """The job's log, under the one name that it may have."""
    assert not list(folder.glob("*4294967294*"))
    file = folder / f"slurm-medcode-rl-{job}.out"
    return file.read_text() if file.exists() else ""


def test_a_job_takes_the_gpus_that_it_asked_for_and_not_all_of_its_node(cluster, copy, stand_in) -> None:
    job = cluster.submit(copy, SUBMIT, RECIPE, "name=a", **stand_in)
    cluster.wait(job)
    assert len(GPUS) > 4
    assert "with 0,1,2,3, " in log(copy, job)
    assert f"-m recipes.run {RECIPE} name=a trainer.nnodes=1 trainer.n_gpus_per_node=4\n" in log(copy, job)
    assert f" {cluster.run('nproc').strip()} cores" in log(copy, job)

    job = cluster.submit(copy, "--gpus-per-node=5", SUBMIT, RECIPE, "trainer.n_gpus_per_node=2", **stand_in)
    cluster.wait(job)
    assert f"-m recipes.run {RECIPE} trainer.n_gpus_per_node=2 trainer.nnodes=1\n" in log(copy, job)


def test_a_job_may_have_no_gpus(cluster, copy, stand_in) -> None:
    job = cluster.submit(copy, "--gpus-per-node=0", SUBMIT, RECIPE, "hardware=cpu", **stand_in)
    cluster.wait(job)
    assert f"-m recipes.run {RECIPE} hardware=cpu trainer.nnodes=1\n" in log(copy, job)
    assert "with no GPU" in log(copy, job)

    job = cluster.submit(copy, "--gpus-per-node=0", SUBMIT, RECIPE, **stand_in)
    cluster.wait(job, "FAILED")
    assert log(copy, job).startswith("error: the job has no GPUs to train on; ask for some")
    assert len(log(copy, job).splitlines()) == 1


def test_a_task_of_an_array_launches_its_line(cluster, copy, stand_in) -> None:
    (copy / "sweep.txt").write_text("drg_sapphire/strict name=one\ndrg_sapphire/kl_decay name=two\n")
    first = cluster.submit(copy, "--array=1-2", SUBMIT, "fresh=1", SWEEP="sweep.txt", **stand_in)
    for task in ("1", "2"):
        cluster.wait(f"{first}_{task}")
    logs = {file.name: file.read_text() for file in copy.glob("slurm-medcode-rl-*.out")}
    assert len(logs) == 2 and not [name for name in logs if "4294967294" in name]
    said = "".join(logs.values())
    for line in ("drg_sapphire/strict name=one", "drg_sapphire/kl_decay name=two"):
        assert f"-m recipes.run {line} fresh=1 trainer.nnodes=1" in said


def test_a_job_that_nears_its_time_limit_requeues_itself_and_goes_on(cluster, copy, stand_in) -> None:
    tracker = copy / "runs" / RECIPE / "long" / "checkpoints" / "latest_checkpointed_iteration.txt"
    limit = ("--time=1", "--signal=B:USR1@45")  # Slurm looks at the limits about twice a minute
    words = (SUBMIT, RECIPE, "name=long", "fresh=1")
    job = cluster.submit(copy, *limit, *words, CHECKPOINT=str(tracker), **stand_in)
    cluster.until(lambda: "requeued" in log(copy, job), lambda: log(copy, job), 90)
    cluster.wait(job, "PENDING")
    cluster.run("scontrol", "update", f"JobId={job}", "StartTime=now")  # Slurm lets it wait for two minutes
    cluster.wait(job)
    starts = [line for line in log(copy, job).splitlines() if "recipes.run" in line]
    assert len(starts) == 2 and "fresh=1" in starts[0] and "fresh=1" not in starts[1]


def test_without_a_checkpoint_a_job_does_not_start_over_for_ever(cluster, copy, stand_in) -> None:
    job = cluster.submit(copy, SUBMIT, RECIPE, "name=slow", CHECKPOINT="never", **stand_in)
    cluster.until(lambda: "recipes.run" in log(copy, job), lambda: log(copy, job))
    cluster.run("scancel", "--batch", "--signal=USR1", job)
    cluster.until(lambda: "error: " in log(copy, job), lambda: log(copy, job))
    assert "no checkpoint was written" in log(copy, job) and cluster.state(job) == "RUNNING"
    cluster.run("scancel", job)
    cluster.wait(job, "CANCELLED")


def test_several_nodes_share_a_head_and_a_token(cluster, copy, stand_in) -> None:
    words = ("--nodes=2", SUBMIT, RECIPE)
    job = cluster.submit(copy, *words, HEAD="192.0.2.1", **stand_in)
    cluster.wait(job)
    lines = log(copy, job).splitlines()
    starts = [line for line in lines if " symmetric-run --address 192.0.2.1:" in line]
    assert sorted(line.split()[2] for line in starts) == ["n1", "n2"]
    assert all("--min-nodes 2 --num-gpus 4 -- env RAY_ADDRESS=192.0.2.1:" in line for line in starts)
    tokens = [line for line in lines if line.startswith("Ray: token ")]
    assert len(tokens) == 2 and len(set(tokens)) == 1 and tokens[0].endswith(" 600") and len(tokens[0].split()[2]) == 64

    job = cluster.submit(copy, *words, **stand_in)  # nobody here knows a host by the name of a node
    cluster.wait(job, "FAILED")
    assert "error: n2 does not know the address of n1; say HEAD=ADDRESS" in log(copy, job)


def test_a_requeued_run_goes_on_from_its_checkpoint(cluster, copy, world: World, tmp_path: Path) -> None:
    words = ("hardware=cpu", "name=requeued", "data.train_batch_size=4", "trainer.save_freq=2", "fresh=1")
    environment = {**world.environment(tmp_path / "runs"), "PYTHON": sys.executable}
    wanted = ("--gpus-per-node=0", SUBMIT, RECIPE, *words, "trainer.total_training_steps=4")
    job = cluster.submit(copy, *wanted, **environment)
    cluster.until(lambda: "\nstep 3/4" in log(copy, job), lambda: log(copy, job), 1200)
    cluster.run("scontrol", "requeue", job)
    cluster.wait(job, "PENDING")
    cluster.run("scontrol", "update", f"JobId={job}", "StartTime=now")
    cluster.wait(job, seconds=1200)
    assert "going on from step 2;" in log(copy, job)
    folder = tmp_path / "runs" / RECIPE / "requeued"
    assert json.loads((folder / "run.json").read_text())["status"] == "finished"
    assert (folder / "hf_model" / "config.json").exists()
