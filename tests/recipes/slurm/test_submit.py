"""recipes/submit.slurm with stand-ins for Slurm's own programs, which write down how they are called."""

import os
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.conftest import ROOT

SRUN = """#!/usr/bin/env bash
if [[ $* == *getent* ]]; then echo "$ADDRESS STREAM ${*: -1}"; exit; fi
printf "%s\\n" "$@" >>"$CALLS/srun"; printf -- "---\\n" >>"$CALLS/srun"; exit "${STATUS:-0}"
"""
SCONTROL = '#!/usr/bin/env bash\n[[ $1 == show && $2 == hostnames ]] && tr , "\\n" <<<"$3"\n'
PYTHON = '#!/usr/bin/env bash\nprintf "%s\\n" "$*" >>"$CALLS/python"\n'


def submit(
    tmp_path: Path, nodes: int, *words: str, **environment: str
) -> tuple[subprocess.CompletedProcess, list[list[str]]]:
    """What the script ends with, and every srun that it made."""
    tools = tmp_path / "bin"
    tools.mkdir(exist_ok=True)
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL), ("python", PYTHON)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    env = {
        **os.environ,
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PYTHON": str(tools / "python"),
        "CALLS": str(tmp_path),
        "SLURM_SUBMIT_DIR": str(ROOT),
        "SLURM_JOB_ID": "123456",
        "SLURM_JOB_NODELIST": ",".join(f"node{i}" for i in range(nodes)),
        "SLURM_GPUS_PER_NODE": "4",
        "ADDRESS": "192.0.2.7",
        **environment,
    }
    done = subprocess.run(["bash", "recipes/submit.slurm", *words], cwd=ROOT, env=env, capture_output=True, text=True)
    calls = (tmp_path / "srun").read_text().split("---\n")[:-1] if (tmp_path / "srun").exists() else []
    return done, [call.splitlines() for call in calls]


def test_one_node_needs_no_cluster(tmp_path: Path) -> None:
    done, calls = submit(tmp_path, 1, "drg_sapphire/strict", "name=a")
    assert done.returncode == 0, done.stderr
    assert calls == [
        ["--nodes=1", "--ntasks=1", "bash", "recipes/launch.sh", "drg_sapphire/strict", "name=a",
         "trainer.nnodes=1", "trainer.n_gpus_per_node=4"]
    ]  # fmt: skip


@pytest.mark.parametrize("nodes", [2, 4])
def test_several_nodes_start_ray_everywhere_and_the_driver_once(tmp_path: Path, nodes: int) -> None:
    done, calls = submit(tmp_path, nodes, "deepicd_r1/zero", "hardware=h100x8x2", SLURM_GPUS_PER_NODE="h100:8")
    assert done.returncode == 0, done.stderr
    assert len(calls) == 1
    call = calls[0]
    assert call[:2] == [f"--nodes={nodes}", "--ntasks-per-node=1"]
    start = call.index("symmetric-run")
    ray, driver = call[start : call.index("--")], call[call.index("--") + 1 :]
    assert ray == ["symmetric-run", "--address", "192.0.2.7:23456", "--min-nodes", str(nodes), "--num-gpus", "8"]
    assert driver[:2] == ["env", "RAY_ADDRESS=192.0.2.7:23456"] and driver[3:5] == ["-m", "recipes.run"]
    assert driver[5:] == [
        "deepicd_r1/zero",
        "hardware=h100x8x2",
        f"trainer.nnodes={nodes}",
        "trainer.n_gpus_per_node=8",
    ]
    # the check comes before any node is asked for anything
    assert (tmp_path / "python").read_text().splitlines() == [" ".join(["-m", "recipes.check", *driver[5:]])]


def test_a_judge_takes_its_gpus_from_the_nodes(tmp_path: Path) -> None:
    _, calls = submit(tmp_path, 1, "deepicd_r1/sft_grpo", JUDGE="some/model", SLURM_GPUS_PER_NODE="5")
    assert calls[0][2:8] == ["bash", "recipes/judge.sh", "some/model", "--", "bash", "recipes/launch.sh"]
    assert calls[0][-1] == "trainer.n_gpus_per_node=4"
    done, _ = submit(tmp_path, 2, "deepicd_r1/sft_grpo", JUDGE="some/model")
    assert done.returncode == 2 and "JUDGE_URL" in done.stderr


def test_a_task_of_an_array_launches_its_line_of_the_sweep(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep.txt"
    sweep.write_text("drg_sapphire/best sft_share=50\ndrg_sapphire/best sft_share=75\n")
    done, calls = submit(tmp_path, 1, "name=s", SWEEP=str(sweep), SLURM_ARRAY_TASK_ID="2")
    assert done.returncode == 0, done.stderr
    assert calls[0][4:7] == ["drg_sapphire/best", "sft_share=75", "name=s"]


def test_the_status_of_a_job_is_that_of_its_run(tmp_path: Path) -> None:
    done, _ = submit(tmp_path, 1, "drg_sapphire/strict", STATUS="3")
    assert done.returncode == 3


def test_a_requeued_job_keeps_its_checkpoints(tmp_path: Path) -> None:
    _, calls = submit(tmp_path, 1, "drg_sapphire/strict", "fresh=1", "name=a", SLURM_RESTART_COUNT="1")
    assert "fresh=1" not in calls[0] and "name=a" in calls[0]


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        ((), {}, "name a recipe"),
        (("drg_sapphire/strict",), {"SLURM_JOB_NODELIST": ""}, "submit it"),
        ((), {"SWEEP": "nowhere.txt", "SLURM_ARRAY_TASK_ID": "1"}, "nowhere.txt"),
        (("drg_sapphire/strict",), {"SLURM_SUBMIT_DIR": "/"}, "submit from there"),
        (("drg_sapphire/strict",), {"SLURM_GPUS_PER_NODE": "0"}, "hardware=cpu"),
        (("drg_sapphire/strict",), {"SLURM_JOB_NODELIST": "a,b", "ADDRESS": "127.0.1.1"}, "HEAD=ADDRESS"),
    ],
)
def test_bad_input_is_one_sentence(
    tmp_path: Path, words: tuple[str, ...], environment: dict[str, str], said: str
) -> None:
    done, calls = submit(tmp_path, 1, *words, **environment)
    assert done.returncode == 2 and said in done.stderr and not calls


def test_all_shell_files_are_clean() -> None:
    files = [*ROOT.glob("recipes/**/*.sh"), *ROOT.glob("recipes/*.slurm")]
    assert len(files) >= 7
    scripts = f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}"  # of this environment, whose lock brings it
    done = subprocess.run(
        ["shellcheck", "--external-sources", *files], cwd=ROOT, env={**os.environ, "PATH": scripts},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
