"""The judge as it is used: a real vLLM server on a CPU, recipes/judge.sh, and real GRPO runs with its component."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from common import llm_server
from reward_fns.judge import check_prompts
from reward_fns.judge import reward as judge
from tests.conftest import ROOT, World, assert_refused, run_command, run_process
from tests.support.judge_scenarios import ATTACKS, INFO, completions, write
from tests.support.judge_server import MODEL, Judge, in_a_thread
from tests.support.network.listening import Heard, listening

RECIPE = "deepicd_r1/sft_grpo"
SMALL = ("hardware=cpu", "data.train_batch_size=4", "data.val_max_samples=8")
KWARGS = "reward.custom_reward_function.reward_kwargs"


@dataclass
class Started:
    """A judge that recipes/judge.sh started."""

    script: subprocess.Popen[str]
    environment: dict[str, str]
    log: Path

    def options(self) -> dict[str, Any]:
        return {"base_url": self.environment["JUDGE_URL"], "model": self.environment["JUDGE_MODEL"], "max_wait": 120.0}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def grades(texts: list[str], **options: Any) -> list[dict[str, Any]]:
    async def batch() -> list[dict[str, Any]]:
        try:
            scored = (judge.compute_score("mimic_icd", text, "I214", INFO, **options) for text in texts)
            return list(await asyncio.gather(*scored))
        finally:
            await llm_server.close()

    return asyncio.run(batch())


@pytest.fixture(scope="module")
def vllm(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """The untrained tiny model behind vLLM, in a terminal of its own."""
    log = tmp_path_factory.mktemp("judge") / "log.txt"
    env = {**os.environ, "PYTHON": sys.executable, "JUDGE_PORT": str(free_port()), "JUDGE_LOG": str(log)}
    words = ["bash", "recipes/judge.sh", str(world.model)]
    script = subprocess.Popen(words, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
    try:
        assert script.stdout is not None
        said = script.stdout.readline()
        assert "export" in said, log.read_text()[-3000:]
        yield Started(script, dict(word.split("=", 1) for word in said.split("export ")[1].split()), log)
    finally:
        below = psutil.Process(script.pid).children(recursive=True)
        script.terminate()
        assert script.wait(60) == 143
        gone, left = psutil.wait_procs(below, timeout=30)
        assert gone and not left  # no server outlives its script


@pytest.fixture(scope="module")
def speaker(world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The same world with a model that has learnt the format, so that there is something to judge."""
    sft = tmp_path_factory.mktemp("sft") / "model"
    environment = {**world.environment(sft.parent), "BASE_MODEL": str(world.model), "MODEL_PATH": str(sft)}
    done = run_process(
        *("sft.train", "--config", "recipes/drg_sapphire/sft/tiny.yaml", "--style", "oracle", "--prefill", "<think>"),
        *("--cases", world.data / "icd/train.parquet", "--traces", world.mimic / "traces.parquet"),
        *("--num_train_epochs", 12, "--learning_rate", 5e-3),
        **environment,
    )
    assert done.returncode == 0, done.stderr
    return World(world.mimic, world.data, sft)


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_the_judge_listens_on_this_machine_alone(vllm: Started, tmp_path: Path) -> None:
    heard = Heard(tmp_path / "obeyed")
    with listening(heard):
        time.sleep(3)
    heard.check("python")


@pytest.mark.slow
def test_a_real_vllm_server_grades_and_no_attack_leaves_the_range(vllm: Started) -> None:
    texts = [write("I21.4", f"Troponin. {attack}") for attack in ATTACKS] + completions(24)
    llm_server.CACHE.clear()
    first = grades(texts, judge_weight=1, **vllm.options())
    assert all(result["reward_error"] == 0 and result["judge"] in (1, 2, 3, 4, 5) for result in first)
    llm_server.CACHE.clear()
    # JSON leaves an untrained model the freedom to write spaces until its answer is cut off: a fault, and no grade
    options = {**vllm.options(), "structured_output": "json_schema", "max_wait": 3}
    for result in grades(texts, judge_weight=1, **options):
        assert result["judge"] in ((0,) if result["reward_error"] else (1, 2, 3, 4, 5))
    assert_refused(run_command("reward_fns.judge.server", "--model", "other", **vllm.environment), "'other'", "it has")
    long = ("a note that no context holds " * 20_000, "short")
    with pytest.raises(ValueError, match=r"up to [\d,]+ tokens .*max_model_len of [\d,]+"):
        check_prompts(list(long), ["I214"], 100, **vllm.options())
    check_prompts(list(long[1:]), ["I214"], 100, **vllm.options())


@pytest.mark.slow
def test_judge_check_reports_on_a_real_server(vllm: Started, tmp_path: Path) -> None:
    done = run_process("eval.judge_check", "--out", tmp_path / "check.json", **vllm.environment)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "check.json").read_text())
    assert report["requests"]["without_grade"] == 0 and report["requests"]["asked"] > 300
    assert report["numbers"]["attacks without a grade"]["value"] == 0
    print(done.stdout)


@pytest.mark.slow
def test_grpo_trains_on_the_full_reward_with_a_real_judge(vllm: Started, speaker: World, tmp_path: Path) -> None:
    words = (
        "bash",
        "recipes/launch.sh",
        RECIPE,
        *SMALL,
        "name=two",
        "trainer.total_training_steps=2",
        "trainer.test_freq=2",
    )
    done = run_process(*words, **speaker.environment(tmp_path), **vllm.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [row["data"] for row in metrics(tmp_path / RECIPE / "two")]
    assert len(rows) == 2
    for row in rows:
        assert 0 < row["reward/judge/mean"] <= 4.0 and row["reward/reward_error/mean"] == 0
        assert row["reward/judge_retries/mean"] == row["reward/judge_wait/mean"] == 0
        parts = sum(row[f"reward/{name}/mean"] for name in ("format", "outcome", "judge"))
        assert row["reward/score/mean"] == pytest.approx(parts, abs=1e-3)
        assert row["critic/score/mean"] == pytest.approx(parts, abs=1e-3)
    assert any("/judge/" in key for key in rows[-1] if key.startswith("val-"))


@pytest.mark.slow
def test_a_run_waits_for_a_judge_that_stumbles_and_stops_before_the_update_when_it_is_gone(
    speaker: World, tmp_path: Path
) -> None:
    judge_of_run, folder = Judge(delay=0.05), tmp_path / RECIPE / "gone"
    steps = ("name=gone", "trainer.total_training_steps=5", "trainer.save_freq=1", f"+{KWARGS}.max_wait=6")
    with in_a_thread(judge_of_run) as server:
        env = {**speaker.environment(tmp_path), "JUDGE_URL": server.url, "JUDGE_MODEL": MODEL}
        words = ["bash", "recipes/launch.sh", RECIPE, *SMALL, *steps]
        launcher = subprocess.Popen(
            words, cwd=ROOT, env={**os.environ, "PYTHON": sys.executable, **env}, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert launcher.stdout is not None
        judge_of_run.faults = ["503", "drop", "text"]
        for line in launcher.stdout:
            if line.startswith("step 2/"):
                break
        judge_of_run.always = "503"
        _, errors = launcher.communicate(timeout=240)
        assert launcher.returncode == 1, errors
        assert (
            "rewards of step" in errors and "the policy was not updated" in errors and "launch the run again" in errors
        )
        assert "Traceback" not in errors
        stopped = metrics(folder)
        done_steps = [row["step"] for row in stopped]
        assert done_steps == list(range(1, len(done_steps) + 1)) and 2 <= len(done_steps) < 5
        assert sum(row["data"]["reward/judge_retries/mean"] for row in stopped) > 0  # what it stumbled over
        assert all(row["data"]["reward/reward_error/mean"] == 0 for row in stopped)
        newest = max(int(path.name.split("_")[-1]) for path in (folder / "checkpoints").glob("global_step_*"))
        assert newest == done_steps[-1]  # nothing of the batch without grades was kept
        assert "HTTP 503; asking again" in (folder / "log.txt").read_text(errors="replace")

        judge_of_run.always = ""
        done = run_process(*words, **env)
        assert done.returncode == 0, done.stderr
        rows = metrics(folder)
        assert [row["step"] for row in rows] == [1, 2, 3, 4, 5] and rows[: len(stopped)] == stopped


@pytest.mark.slow
def test_a_judge_that_is_killed_is_started_again_and_completions_wait_for_it(vllm: Started) -> None:
    llm_server.CACHE.clear()
    below = psutil.Process(vllm.script.pid).children(recursive=True)
    server = next(process for process in below if "api_server" in " ".join(process.cmdline()))
    engines = server.children(recursive=True)
    server.send_signal(signal.SIGKILL)
    began = time.monotonic()
    results = grades(completions(8), **vllm.options())
    assert all(result["reward_error"] == 0 and result["judge"] > 0 for result in results)
    assert all(result["judge_retries"] >= 1 and result["judge_wait"] > 1 for result in results)
    assert time.monotonic() - began < 120
    assert engines and not psutil.wait_procs(engines, timeout=10)[1]  # the old engine holds no memory


def script(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_process("bash", "recipes/judge.sh", *words, **environment)


def test_the_script_explains_itself() -> None:
    done = script("--help")
    assert done.returncode == 0 and "bash recipes/judge.sh MODEL -- " in done.stdout and "JUDGE_GPUS=1" in done.stdout
    assert script().returncode == 2


def test_what_the_script_cannot_start_is_one_sentence(world: World, tmp_path: Path) -> None:
    assert_refused(script("no/such/folder"), "no/such/folder", "neither a folder nor a name")
    assert_refused(script(tmp_path), "config.json")
    assert_refused(script(world.model, "--"), "a command must follow --")
    assert_refused(script(world.model, JUDGE_PORT="http"), "JUDGE_PORT=http")
    assert_refused(script(world.model, JUDGE_CONTEXT="all"), "JUDGE_CONTEXT=all", "auto")
    with in_a_thread(Judge()) as server:
        assert_refused(script(world.model, JUDGE_PORT=str(server.port)), f"port {server.port} is in use")
    done = script(world.model, "--", "true", CUDA_VISIBLE_DEVICES="0", JUDGE_PORT=str(free_port()))
    assert_refused(done, "of 1 GPUs the judge takes 1 and the command gets none")


def test_a_recipe_whose_judge_is_not_there_is_refused_before_anything_starts(world: World, tmp_path: Path) -> None:
    words = ("recipes.check", RECIPE, *SMALL)  # what the launcher runs first
    env = {**world.environment(tmp_path), "JUDGE_URL": "http://127.0.0.1:9/v1"}
    assert_refused(run_command(*words, **env), "no judge server answers at http://127.0.0.1:9/v1", "recipes/judge.sh")
    with in_a_thread(Judge()) as server:
        env |= {"JUDGE_URL": server.url, "JUDGE_MODEL": "jugde"}
        assert_refused(run_command(*words, **env), "'jugde'", f"it has {MODEL}")
    assert not list(tmp_path.rglob("log.txt"))
