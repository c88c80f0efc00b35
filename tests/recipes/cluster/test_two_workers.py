"""Real verl and vLLM with a world of two: over two nodes of a Ray that runs already, and on one node."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from recipes.launcher.compose import compose
from tests.conftest import ROOT, World
from tests.support.network.ray_nodes import HOSTS, Nodes, ray_nodes
from verl_ext.trainer import kl_coefficient

RECIPE, STEPS = "drg_sapphire/kl_decay", 3
PRIVATE = {"WANDB_MODE": "offline", "VLLM_NO_USAGE_STATS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
PRIVATE |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


class Launches:
    """Launches of one run, one after the other, whose workers write down what reaches them."""

    def __init__(self, world: World, place: Path, *words: str, **environment: str) -> None:
        self.folder, self.records = place / RECIPE / "two", place / "records"
        self.records.mkdir()
        self.words = ["bash", "recipes/launch.sh", RECIPE, "hardware=cpu", "name=two", "data.train_batch_size=4"]
        self.words += [f"trainer.total_training_steps={STEPS}", "trainer.save_freq=1", *words]
        offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "WANDB_MODE": ""}
        recorded = {"PYTHONPATH": str(ROOT / "tests/support/recording"), "VERL_RECORDS": str(self.records)}
        self.env = {**os.environ, "PYTHON": sys.executable, **world.environment(place), **offline, **recorded}
        self.env |= environment

    def start(self) -> subprocess.Popen[str]:
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(self.words, cwd=ROOT, env=self.env, start_new_session=True, **pipes)

    def until_step(self, launcher: subprocess.Popen[str], step: int) -> str:
        """What is said up to the line of a step."""
        assert launcher.stdout is not None and launcher.stderr is not None
        said = ""
        for line in launcher.stdout:
            said += line
            if re.match(rf"step +{step}/", line):
                return said
        raise AssertionError(said + launcher.stderr.read())

    def kill(self, launcher: subprocess.Popen[str]) -> None:
        """End the launcher as a machine that fails would: it has no say."""
        family = psutil.Process(launcher.pid).children(recursive=True)
        os.killpg(launcher.pid, signal.SIGKILL)
        assert not psutil.wait_procs(family, timeout=60)[1]

    def check(self) -> None:
        """The run is whole, both workers had a part in each step, and the model is there for others."""
        from transformers import AutoModelForCausalLM

        assert json.loads((self.folder / "run.json").read_text())["status"] == "finished"
        rows = [json.loads(line) for line in (self.folder / "metrics.jsonl").read_text().splitlines()]
        steps = {row["step"]: row["data"] for row in rows}
        assert sorted(steps) == list(range(1, STEPS + 1))
        assert all(row["training/rollout_actor_probs_pearson_corr"] >= 0.99 for row in steps.values())
        start = compose(RECIPE).actor_rollout_ref.actor.kl_loss_coef
        wanted = [kl_coefficient("cosine", start, step, STEPS) for step in range(STEPS)]
        assert [steps[step]["actor/kl_coef"] for step in sorted(steps)] == pytest.approx(wanted)
        used = [self.coefficients(rank) for rank in (0, 1)]
        assert used[0] == used[1] == pytest.approx(wanted)  # of each rank's own loss
        assert {len(list(path.glob("actor/model_world_size_2_rank_[01].pt"))) for path in self.checkpoints()} == {2}
        AutoModelForCausalLM.from_pretrained(self.folder / "hf_model")

    def checkpoints(self) -> list[Path]:
        return list((self.folder / "checkpoints").glob("global_step_*"))

    def coefficients(self, rank: int) -> list[float]:
        """What the loss of a rank was given, over all launches."""
        files = self.records.glob(f"kl-{rank}-*.jsonl")
        return sorted({float(line) for file in files for line in file.read_text().splitlines()}, reverse=True)

    def environments(self) -> list[dict[str, str]]:
        return [json.loads(file.read_text()) for file in self.records.glob("environ-*.json")]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with ray_nodes(count=2) as nodes:
        yield nodes


@pytest.mark.slow
def test_two_nodes_survive_a_dead_worker_and_a_killed_launcher(world: World, tmp_path: Path, nodes: Nodes) -> None:
    launches = Launches(world, tmp_path, "trainer.nnodes=2", **nodes.environment)
    first = launches.start()
    said = launches.until_step(first, 1)
    assert all(host in said for host in HOSTS)
    there = nodes.processes(HOSTS[1])
    assert {"ray::WorkerDict", "VLLM::EngineCore"} <= there.keys() & nodes.processes(HOSTS[0]).keys()
    there["ray::WorkerDict"].kill()
    killed = time.monotonic()
    _, errors = first.communicate(timeout=120)
    assert first.returncode == 1 and time.monotonic() - killed < 60
    assert "ray::WorkerDict" in errors and HOSTS[1] in errors, errors

    second = launches.start()
    assert "going on from step" in launches.until_step(second, 2)
    launches.kill(second)

    third = launches.start()
    output, errors = third.communicate(timeout=600)
    assert third.returncode == 0 and "going on from step" in output, output + errors
    launches.check()
    found = launches.environments()
    assert {environ["node"] for environ in found} == set(HOSTS)
    for environ in found:  # of every process that Ray started for the run, on either node
        assert environ.items() >= PRIVATE.items(), {name: environ.get(name) for name in PRIVATE}
        assert environ["VERL_FILE_LOGGER_PATH"].startswith(str(launches.folder))
    left = [title for host in HOSTS for title in nodes.processes(host) if title.startswith("VLLM::")]
    assert not left  # a Ray that goes on is given back as it was


@pytest.mark.slow
@pytest.mark.parametrize("worker", ["VLLM::EngineCore", "raylet"])
def test_what_dies_on_the_other_node_ends_the_run_and_is_named(
    world: World, tmp_path: Path, nodes: Nodes, worker: str
) -> None:
    launches = Launches(world, tmp_path, "trainer.nnodes=2", "trainer.total_training_steps=500", **nodes.environment)
    launcher = launches.start()
    launches.until_step(launcher, 1)
    nodes.processes(HOSTS[1])[worker].kill()
    killed = time.monotonic()
    _, errors = launcher.communicate(timeout=180)
    assert launcher.returncode == 1 and time.monotonic() - killed < 60, errors
    assert HOSTS[1] in errors and (worker in errors or "node is gone" in errors), errors


@pytest.mark.slow
def test_two_workers_on_one_node_are_killed_and_resumed(world: World, tmp_path: Path) -> None:
    launches = Launches(world, tmp_path, "trainer.n_gpus_per_node=2")
    first = launches.start()
    launches.until_step(first, 1)
    launches.kill(first)
    second = launches.start()
    output, errors = second.communicate(timeout=600)
    assert second.returncode == 0 and "going on from step" in output, output + errors
    launches.check()
