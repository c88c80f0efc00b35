"""A launch that joins a running Ray, a real one without verl: its token, its nodes, what they hold, who died."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from common.ray_token import settled
from recipes.cluster import joining
from recipes.cluster.joining import Cluster, address_of, compared, overrides, request, variables
from recipes.cluster.nodes import differing
from recipes.launcher.compose import compose
from tests.conftest import ROOT, World, assert_refused
from tests.support.commands import refused
from tests.support.network.ray_nodes import HOSTS, Nodes, ray_nodes

RECIPE, CPU = "drg_sapphire/strict", "hardware=cpu"
TWO = (RECIPE, CPU, "trainer.nnodes=2")


@pytest.fixture(scope="module")
def ray() -> Iterator[Nodes]:
    """One node, whose home folder holds a token, so that it asks for it."""
    with ray_nodes(count=1) as nodes:
        yield nodes


def test_several_nodes_without_a_ray_are_refused(world: World, tmp_path: Path) -> None:
    done = refused(*TWO, **world.environment(tmp_path), RAY_ADDRESS="")
    assert_refused(done, "trainer.nnodes=2", "RAY_ADDRESS", "recipes/submit.slurm")


def test_an_address_where_no_ray_answers_is_refused(world: World, tmp_path: Path) -> None:
    done = refused(*TWO, **world.environment(tmp_path), RAY_ADDRESS="127.0.0.9:1", NODES_SECONDS="1")
    assert_refused(done, "no Ray answers at 127.0.0.9:1", "ray start --head")
    done = refused(*TWO, **world.environment(tmp_path), RAY_ADDRESS="127.0.0.9:1", NODES_SECONDS="soon")
    assert_refused(done, "NODES_SECONDS=soon")
    assert not list(tmp_path.rglob("run.json"))


def test_one_node_has_a_ray_of_its_own_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert address_of(compose(RECIPE, [CPU])) is None
    assert address_of(compose(RECIPE, TWO[1:])) == "10.0.0.1:6379"
    assert address_of(compose(RECIPE, ["hardware=h100x8x2"])) == "10.0.0.1:6379"
    named = ["hardware=h100x8x2", "ray_kwargs.ray_init.address=10.0.0.2:1"]
    assert address_of(compose(RECIPE, named)) == "10.0.0.2:1"


def test_a_second_node_that_does_not_come_is_refused(world: World, tmp_path: Path, ray: Nodes) -> None:
    done = refused(*TWO, **world.environment(tmp_path), **ray.environment, NODES_SECONDS="2")
    assert_refused(done, "after 2 s", "1 of the 2 nodes", "127.0.0.3: 1 GPUs, 12 CPUs", "NODES_SECONDS")
    assert not list(tmp_path.rglob("run.json"))


def test_a_token_that_is_missing_or_another_is_refused(world: World, tmp_path: Path, ray: Nodes) -> None:
    places = {**world.environment(tmp_path), "RAY_ADDRESS": ray.address, "HOME": str(tmp_path)}
    assert_refused(refused(*TWO, **places), "asks for its token", "RAY_AUTH_TOKEN")
    assert_refused(refused(*TWO, **places, RAY_AUTH_TOKEN="0" * 64), "refuses the token")
    assert_refused(refused(*TWO, **places, RAY_AUTH_TOKEN="0" * 64, RAY_AUTH_MODE="disabled"), "refuses the token")


GENERATION = """
import sys
from eval.generation.ray_session import ray_session
with ray_session(sys.argv[1]):
    import ray
    print(len(ray.nodes()))
"""


def test_generation_finds_out_of_the_token_too(ray: Nodes) -> None:
    words = [sys.executable, "-c", GENERATION, ray.address]
    done = subprocess.run(words, cwd=ROOT, env={**os.environ, **ray.environment}, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.split() == ["1"], done.stderr


@pytest.mark.slow
def test_a_ray_without_a_token_is_joined_with_a_warning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, ray: Nodes
) -> None:
    monkeypatch.setenv("HOME", str(ray.home))
    assert settled(ray.address) == {"RAY_AUTH_MODE": "token"} and not capsys.readouterr().err
    assert settled("auto") == {"RAY_AUTH_MODE": "token"}
    with ray_nodes(count=1, token=False) as open_to_all:
        assert settled(open_to_all.address) == {"RAY_AUTH_MODE": "disabled"}
    assert "asks for no token" in capsys.readouterr().err


@pytest.fixture
def joining_environment(world: World, monkeypatch: pytest.MonkeyPatch, ray: Nodes, tmp_path: Path) -> dict[str, str]:
    for name, value in (world.environment(tmp_path) | ray.environment).items():
        monkeypatch.setenv(name, value)
    return {**os.environ, **settled(ray.address), "PYTHONPATH": str(ROOT)}


def test_nodes_with_other_data_code_or_run_folders_are_named(
    joining_environment: dict[str, str], ray: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, lock = compose(RECIPE, [CPU]), tmp_path / "lock"
    lock.write_text("mine")
    asked = request(ray.address, config, lock)
    names = set(asked["files"])
    assert {str(ROOT / "verl_ext/trainer.py"), str(ROOT / "recipes/drg_sapphire/strict.yaml"), str(lock)} <= names
    assert any(name.endswith(".parquet") for name in names) and any(
        name.endswith("model.safetensors") for name in names
    )
    data, gone = next(name for name in names if name.endswith(".parquet")), str(tmp_path / "gone")
    monkeypatch.setattr(joining, "request", lambda *_: asked | {"files": asked["files"] | {data: "0" * 64}})
    with (
        open(tmp_path / "log", "ab") as log,
        pytest.raises(joining.UserError, match=f"the node {HOSTS[0]} differs from this one: {data} is another"),
    ):
        Cluster(ray.address, config, lock, joining_environment, [], log)
    assert differing(asked["files"], asked["packages"]) == []
    assert differing({gone: "0" * 64}, {}) == [f"{gone} is missing"]
    assert differing({}, {"verl": "0.0"}) == ["verl is 0.9.1, not 0.0"]


NOISY = """
import os, ray
init = ray.init
def noisy(*words, **settings):
    os.write(1, b"a warning\\n")
    return init(*words, **settings)
ray.init = noisy
from recipes.cluster import nodes
nodes.main()
"""


def test_what_ray_prints_is_not_taken_for_what_was_found(joining_environment: dict[str, str], ray: Nodes) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    eye = subprocess.Popen([sys.executable, "-c", NOISY], env=joining_environment, **pipes)
    asked = {"address": ray.address, "seconds": 60, "nodes": 1, "each": {"CPU": 1}, "cpus": 1, "files": {}}
    with eye, eye.stdin, eye.stdout:
        eye.stdin.write(json.dumps(asked | {"packages": {}, "variables": {}}))
        eye.stdin.close()
        assert json.loads(eye.stdout.readline()) == {"nodes": [HOSTS[0]]}
        eye.kill()
        assert "a warning" in eye.stderr.read()


DRIVER = """
import os, ray
ray.init(os.environ["RAY_ADDRESS"], log_to_driver=False)
@ray.remote(num_cpus=0)
class WorkerDict:
    def pid(self): return os.getpid()
kept, ended = WorkerDict.remote(), WorkerDict.remote()
ray.get(ended.pid.remote())
ray.kill(ended)  # as verl ends some of its own
print(ray.get(kept.pid.remote()), flush=True)
import time; time.sleep(600)
"""


def test_a_worker_that_died_anywhere_is_named_and_one_that_was_ended_is_not(
    joining_environment: dict[str, str], ray: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "GRACE", 1.0)
    monkeypatch.setattr(joining, "LATE", 4.0)
    words = [sys.executable, "-c", DRIVER]
    lock = tmp_path / "lock"
    lock.write_text("mine")
    with open(tmp_path / "log", "ab") as log:
        cluster = Cluster(ray.address, compose(RECIPE, [CPU]), lock, joining_environment, [], log)
        assert cluster.nodes == [HOSTS[0]]
        driver = subprocess.Popen(words, env=joining_environment, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            assert driver.stdout is not None
            worker = psutil.Process(int(driver.stdout.readline()))
            assert cluster.first_death() is None and cluster.fault() is None
            worker.kill()
            until = time.monotonic() + 20
            while not (fault := cluster.fault()) and time.monotonic() < until:
                time.sleep(0.1)
            assert fault and f"ray::WorkerDict (process {worker.pid} on node {HOSTS[0]}) died" in fault
            assert cluster.first_death() == fault
        finally:
            driver.kill()
            driver.wait()
            cluster.close()


def test_workers_get_what_the_launcher_sets_and_no_secret() -> None:
    config = compose(RECIPE, [CPU])
    env = {"WANDB_MODE": "offline", "WANDB_API_KEY": "s", "HF_TOKEN": "s", "HF_HUB_OFFLINE": "1", "DATA_DIR": "/d'x"}
    passed = variables(config, {**env, "PATH": "/bin", "RAY_ADDRESS": "a"}, ["WANDB_MODE", "PYTHONPATH"])
    assert passed == {"WANDB_MODE": "offline", "HF_HUB_OFFLINE": "1", "DATA_DIR": "/d'x"}
    words = overrides("10.0.0.1:6379", config, passed)
    told = compose(RECIPE, [CPU, *words]).ray_kwargs.ray_init
    assert dict(told.runtime_env.env_vars).items() >= passed.items()
    assert told.address == "10.0.0.1:6379" and told.num_cpus is None and told.num_gpus is None


def test_what_nodes_compare_is_small_enough_to_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in world.environment(Path("runs")).items():
        monkeypatch.setenv(name, value)
    files = list(compared(compose(RECIPE, [CPU])))
    assert all(file.is_file() for file in files) and len(json.dumps([str(file) for file in files])) < 100_000
