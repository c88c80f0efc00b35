"""Weights go to the vLLM of their own run."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

ASK = """
import verl
from verl.workers.rollout.vllm_rollout.bucketed_weight_transfer import BucketedWeightReceiver, BucketedWeightSender
name = "ipc:///tmp/rl-colocate-zmq-01000000-replica-0-rank-0.sock"
print(BucketedWeightSender(name, use_shm=True).zmq_handle, BucketedWeightReceiver(name, None, use_shm=True).zmq_handle)
"""


def test_two_runs_on_one_machine_have_a_socket_each(tmp_path: Path) -> None:
    handles = []
    for run in ("one", "two"):
        (tmp_path / run).mkdir()
        env = {**os.environ, "TMPDIR": str(tmp_path / run), "PYTHONPATH": str(ROOT), "VERL_PLATFORM": "cpu"}
        env["VERL_USE_EXTERNAL_MODULES"] = "verl_ext.cpu,verl_ext.trainer"
        asked = subprocess.run([sys.executable, "-c", ASK], env=env, capture_output=True, text=True)
        assert asked.returncode == 0, asked.stderr
        sender, receiver = asked.stdout.split()[-2:]
        assert sender == receiver == f"ipc://{tmp_path / run}/rl-colocate-zmq-01000000-replica-0-rank-0.sock"
        handles.append(sender)
    assert len({*handles}) == 2
