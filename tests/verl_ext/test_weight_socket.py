"""Weights go to the vLLM of their own run."""

import importlib.metadata
import tempfile
from pathlib import Path

import pytest

from verl_ext import cpu, trainer  # noqa: F401  the trainer has the sockets moved where verl's module is imported


def test_two_runs_on_one_machine_have_a_socket_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", importlib.metadata.version)  # what the next line changes
    cpu.find_vllm_under_its_cpu_name()
    from verl.workers.rollout.vllm_rollout.bucketed_weight_transfer import BucketedWeightReceiver, BucketedWeightSender

    name, handles = "rl-colocate-zmq-01000000-replica-0-rank-0.sock", set()
    for run in ("one", "two"):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / run))
        sender = BucketedWeightSender(f"ipc:///tmp/{name}", use_shm=True)
        receiver = BucketedWeightReceiver(f"ipc:///tmp/{name}", None, use_shm=True)
        assert sender.zmq_handle == receiver.zmq_handle == f"ipc://{tmp_path / run}/{name}"
        handles.add(sender.zmq_handle)
    assert len(handles) == 2
