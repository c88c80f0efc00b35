"""A recipe through the launcher: real verl, real FSDP2, real vLLM, on a CPU."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from pyarrow.parquet import read_table

from benchmarks.proofs import proofs
from recipes.launcher.compose import compose
from recipes.launcher.log import STARTS
from tests.conftest import ROOT, World, assert_refused, run_process
from tests.support.commands import refused
from tests.support.network.listening import Heard, listening

RECIPE = "drg_sapphire/strict"
BEST = "drg_sapphire/best"  # differs from its base in loss, KL schedule and reward
TWO_STEPS = ("hardware=cpu", "trainer.total_training_steps=2", "data.train_batch_size=4", "data.val_max_samples=8")
LARGE_STEPS = (
    "actor_rollout_ref.actor.optim.lr=3e-3",
    "reward.custom_reward_function.path=tests/support/graded_reward.py",
)
CORRELATION = "training/rollout_actor_probs_pearson_corr"


def launch(
    world: World, runs: Path, *overrides: str, recipe: str = RECIPE, **environment: str
) -> subprocess.CompletedProcess[str]:
    words = ("bash", "recipes/launch.sh", recipe, *TWO_STEPS, *overrides)
    return run_process(*words, **world.environment(runs), **environment)


def start(world: World, runs: Path, *overrides: str, **environment: str) -> subprocess.Popen[str]:
    """Launch a long run in the background, as a user would in a terminal of his own."""
    env = {**os.environ, "PYTHON": sys.executable, **world.environment(runs), **environment}
    words = ["bash", "recipes/launch.sh", RECIPE, *TWO_STEPS, *overrides, "trainer.total_training_steps=500"]
    return subprocess.Popen(words, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line)["data"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def wait_for_step(launcher: subprocess.Popen[str]) -> dict[str, psutil.Process]:
    """The workers by title, once a first step is done."""
    assert launcher.stdout is not None
    assert any(line.startswith("step") for line in launcher.stdout), launcher.stderr and launcher.stderr.read()
    found = {}
    for process in psutil.Process(launcher.pid).children(recursive=True):
        found[(process.cmdline() or [process.name()])[0].split(".")[0]] = process
    return found


def still_running(processes: dict[str, psutil.Process]) -> list[str]:
    return [title for title, process in processes.items() if process.is_running()]


@pytest.fixture(scope="session")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Heard:
    """What the run listened on."""
    return Heard(tmp_path_factory.mktemp("heard") / "obeyed")


@pytest.fixture(scope="session")
def run(
    world: World, heard: Heard, tmp_path_factory: pytest.TempPathFactory
) -> tuple[subprocess.CompletedProcess[str], Path]:
    """One run of two steps with steps so large that the second one's weights are other ones; validated and exported."""
    runs = tmp_path_factory.mktemp("runs")
    loggers = "trainer.logger=[console,wandb,tensorboard]"  # without the file that metrics.jsonl is made of
    with listening(heard):
        done = launch(world, runs, "name=two", *LARGE_STEPS, "trainer.test_freq=2", loggers, recipe=BEST, WANDB_MODE="")
    assert done.returncode == 0, done.stdout + done.stderr
    return done, runs / BEST / "two"


def test_a_recipe_trains_and_shows_a_line_a_step(run: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, folder = run
    steps = [line for line in done.stdout.splitlines() if line.startswith("step")]
    assert [line.split()[1] for line in steps] == ["1/2", "2/2"] and all("reward" in line for line in steps)
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "finished" and record["versions"]["verl"] and len(record["data"]) == 2
    assert "accuracy: strict" in (folder / "config.yaml").read_text()


def test_what_comes_before_the_first_step_is_shown_with_seconds(
    run: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    before = run[0].stdout.partition("step 1/2")[0].splitlines()
    reached = [re.fullmatch(r" *(\d+) s  (.+)", line) for line in before]
    seconds = [int(found[1]) for found in reached if found]
    assert seconds == sorted(seconds) and 0 < seconds[0] < seconds[-1]
    assert [text for _, text in STARTS] == [found[2] for found in reached if found]


def test_a_run_without_the_loggers_file_is_whole_and_tensorboards_files_are_in_its_folder(
    run: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    assert len(metrics(run[1])) == 2 and json.loads((run[1] / "run.json").read_text())["status"] == "finished"
    assert list(run[1].glob("tensorboard/**/events.out.tfevents.*"))
    assert not (ROOT / "tensorboard_log").exists()


def test_nothing_of_a_run_listens_beyond_this_machine_but_what_obeys_no_stranger(
    run: tuple[subprocess.CompletedProcess[str], Path], heard: Heard
) -> None:
    heard.check("gcs_server", "ray::TransferQueueController", "ray::vLLMHttpServer")


def test_vllm_samples_from_the_weights_that_are_trained(run: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    rows = metrics(run[1])
    assert all(row[CORRELATION] >= 0.99 for row in rows), [row[CORRELATION] for row in rows]
    assert (
        rows[0]["actor/grad_norm"] > 0 and rows[1]["actor/kl_loss"] > 0
    )  # the second step's weights are not the first's


def test_the_components_of_the_reward_are_metrics_of_training_and_of_validation(
    run: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    rows = metrics(run[1])
    assert all(row["critic/score/min"] >= -2 and row["critic/score/max"] <= 3 for row in rows)
    for name in ("acc", "accuracy", "base", "cot_first", "format", "reward_error", "score", "status"):
        assert all(f"reward/{name}/mean" in row for row in rows), sorted(rows[-1])  # of training batches
        assert any(key.startswith("val-") and f"/mimic_drg/{name}/" in key for key in rows[-1]), name  # of validation
    assert all(row["reward/reward_error/mean"] == 0 for row in rows)


def proven(folder: Path, recipe: str) -> list[str]:
    """What the run proves of its recipe, and nothing that it does not."""
    found = proofs(
        compose(recipe, [*TWO_STEPS, *LARGE_STEPS]), metrics(folder), read_table(folder / "outcomes.parquet")
    )
    assert all(proof.holds for proof in found), found
    return [proof.claim for proof in found]


def test_advantage_loss_kl_and_reward_are_those_of_the_recipe(
    run: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    assert proven(run[1], BEST) == ["advantage (r - mean) / std", "loss token-mean", "KL cosine", "reward strict"]
    first, second = (row["actor/kl_coef"] for row in metrics(run[1]))
    assert first == 0.04 and second == pytest.approx(0.02)  # half of a cosine that starts at the paper's 0.04


def test_trackers_and_logs_hold_numbers_and_no_text_of_a_note(
    run: tuple[subprocess.CompletedProcess[str], Path], world: World
) -> None:
    folder = run[1]
    tracked = list(folder.glob("wandb/offline-run-*/*.wandb"))
    assert len(tracked) == 1  # on this machine alone
    content = tracked[0].read_bytes()
    assert json.loads((folder / "run.json").read_text())["commit"].encode() in content and b"drg_sapphire" in content
    prompts = [
        message["content"]
        for name in ("rl/small", "test_small")
        for chat in read_table(world.data / f"drg/{name}.parquet")["prompt"].to_pylist()
        for message in chat
        if message["role"] == "user"
    ]
    pieces = {prompt[at : at + 60].encode() for prompt in prompts for at in range(100, len(prompt) - 60, 60)}
    for file in folder.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert not any(piece in content for piece in pieces), file


@pytest.mark.slow
def test_another_recipe_has_another_loss_and_kl(world: World, tmp_path: Path) -> None:
    done = launch(world, tmp_path, "name=two", *LARGE_STEPS, "trainer.save_freq=-1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"loss seq-mean-token-mean", "KL constant"} <= set(proven(tmp_path / RECIPE / "two", RECIPE))
    assert all(row["actor/kl_coef"] == 0.04 for row in metrics(tmp_path / RECIPE / "two"))


def test_the_trained_model_is_exported_for_vllm_and_transformers(
    run: tuple[subprocess.CompletedProcess[str], Path], world: World
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    trained = AutoModelForCausalLM.from_pretrained(run[1] / "hf_model").state_dict()
    before = AutoModelForCausalLM.from_pretrained(world.model).state_dict()
    assert trained.keys() == before.keys() and any((trained[name] != before[name]).any() for name in before)
    assert AutoTokenizer.from_pretrained(run[1] / "hf_model").chat_template


def test_a_finished_run_is_not_overwritten(run: tuple[subprocess.CompletedProcess[str], Path], world: World) -> None:
    again = refused(BEST, *TWO_STEPS, *LARGE_STEPS, "name=two", **world.environment(run[1].parents[2]))
    assert_refused(again, "finished run", "fresh=1")


@pytest.mark.slow
def test_a_broken_weight_sync_would_be_noticed(world: World, tmp_path: Path) -> None:
    plugins = "'verl_ext.cpu,verl_ext.trainer,tests.support.broken_sync'"
    key = "ray_kwargs.ray_init.runtime_env.env_vars.VERL_USE_EXTERNAL_MODULES"
    done = launch(world, tmp_path, "name=broken", f"{key}={plugins}")
    assert done.returncode == 0, done.stderr
    assert all(row[CORRELATION] < 0.9 for row in metrics(tmp_path / RECIPE / "broken"))


@pytest.mark.slow
def test_a_faulty_reward_stops_the_run_before_the_policy_is_updated(world: World, tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text(
        "def compute_score(data_source, solution_str, ground_truth, extra_info=None, *, accuracy):\n"
        "    return {'score': 0.0, 'acc': 0.0, 'pred': '', 'reward_error': 1.0}\n"
    )
    path = f"reward.custom_reward_function.path={tmp_path / 'faulty.py'}"
    done = launch(world, tmp_path, "name=faulty", path)
    assert done.returncode == 1
    assert "RewardError: 100.0% of the rewards of step 1" in done.stderr and "not updated" in done.stderr
    assert not metrics(tmp_path / RECIPE / "faulty")


@pytest.mark.slow
@pytest.mark.parametrize("worker", ["VLLM::EngineCore", "ray::WorkerDict", "ray::vLLMHttpServer"])
def test_a_killed_worker_ends_the_run_and_is_named(world: World, tmp_path: Path, worker: str) -> None:
    launcher = start(world, tmp_path)
    processes = wait_for_step(launcher)
    processes[worker].send_signal(signal.SIGKILL)
    killed = time.monotonic()
    _, errors = launcher.communicate(timeout=120)
    assert launcher.returncode not in (0, None) and time.monotonic() - killed < 60
    assert worker.split("::")[1] in errors, errors
    assert not still_running(processes)


@pytest.mark.slow
def test_a_hanging_worker_ends_the_run_and_is_named(world: World, tmp_path: Path) -> None:
    launcher = start(world, tmp_path)
    processes = wait_for_step(launcher)
    processes["VLLM::EngineCore"].send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    _, errors = launcher.communicate(timeout=120)
    assert launcher.returncode == 1 and time.monotonic() - stopped < 60
    assert "VLLM::EngineCore" in errors and not still_running(processes)


@pytest.mark.slow
def test_a_killed_launcher_leaves_nothing_running(world: World, tmp_path: Path) -> None:
    launcher = start(world, tmp_path)
    processes = wait_for_step(launcher)
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    deadline = time.monotonic() + 20
    while still_running(processes) and time.monotonic() < deadline:
        time.sleep(1)
    assert not still_running(processes)


@pytest.mark.slow
def test_somebody_elses_ray_on_the_machine_does_not_matter(world: World, tmp_path: Path) -> None:
    ray = [str(Path(sys.executable).with_name("ray"))]
    place = tempfile.mkdtemp(prefix="r-", dir="/tmp")  # short: it holds sockets
    theirs = ["start", "--head", "--num-cpus=1", "--include-dashboard=false", f"--temp-dir={place}", "--block"]
    with subprocess.Popen([*ray, *theirs], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as cluster:
        time.sleep(15)
        assert cluster.poll() is None
        done = launch(world, tmp_path / "runs", "name=beside", "trainer.total_training_steps=1")
        assert done.returncode == 0 and cluster.poll() is None, done.stderr
        cluster.terminate()
