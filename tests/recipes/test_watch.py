"""The watch over a run's workers, with real processes that bear the titles of Ray's and vLLM's."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from common.processes import adopt_orphans, end_descendants
from recipes.launcher import watch
from recipes.launcher.watch import Watch
from recipes.run import follow

WORKER = "import setproctitle, time; setproctitle.setproctitle({title!r}); print('up', flush=True); time.sleep(600)"
BUSY = "import setproctitle; setproctitle.setproctitle({title!r}); print('up', flush=True)\nwhile True: pass"


def worker(title: str, code: str = WORKER) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", code.format(title=title)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    return process


@pytest.fixture(autouse=True)
def short_graces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(watch, "DEATH_GRACE", 0.5)
    monkeypatch.setattr(watch, "STOP_GRACE", 0.5)
    monkeypatch.setattr(watch, "IDLE_CORES", 0.02)  # a busy machine may leave a worker little
    yield
    end_descendants(grace=2)


def fault_within(eye: Watch, seconds: float) -> str | None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if fault := eye.fault():
            return fault
        time.sleep(0.1)
    return None


def test_a_dead_worker_is_named() -> None:
    eye = Watch(hang_seconds=0)
    killed = worker("VLLM::EngineCore")
    assert eye.fault() is None
    killed.kill()
    fault = fault_within(eye, 10)
    assert fault and "VLLM::EngineCore" in fault and str(killed.pid) in fault and "died" in fault


def test_the_worker_that_died_before_the_others_is_the_cause() -> None:
    eye = Watch(hang_seconds=0)
    workers = [worker("VLLM::EngineCore"), *(worker(f"ray::Worker{i}") for i in range(4))]
    assert eye.fault() is None and eye.first_death() is None
    workers[0].kill()
    assert fault_within(eye, 0.3) is None and eye.first_death() is None  # the others may be about to follow
    time.sleep(1)
    eye.fault()
    for each in workers[1:]:
        each.kill()
    assert "VLLM::EngineCore" in (eye.first_death() or "")


def test_workers_that_die_together_are_no_cause() -> None:
    eye = Watch(hang_seconds=0)
    workers = [worker(f"ray::Worker{i}") for i in range(5)]
    assert eye.fault() is None
    for each in workers:
        each.kill()
    time.sleep(1)
    eye.fault()
    assert eye.first_death() is None


def test_a_stopped_worker_is_named() -> None:
    eye = Watch(hang_seconds=0)
    stopped = worker("ray::WorkerDict.actor_rollout_ref_update_actor")
    stopped.send_signal(signal.SIGSTOP)
    fault = fault_within(eye, 5)
    assert fault and "ray::WorkerDict" in fault and "stopped" in fault


def test_workers_that_all_wait_are_a_hang_and_a_busy_one_is_not() -> None:
    idle = worker("ray::TaskRunnerV1.run")
    fault = fault_within(Watch(hang_seconds=1), 5)
    assert fault and "ray::TaskRunnerV1" in fault and "1 s" in fault
    busy = worker("ray::WorkerDict.update", BUSY)
    assert fault_within(Watch(hang_seconds=2), 4) is None
    assert idle.poll() is None and busy.poll() is None


def test_a_run_whose_files_stand_still_hangs_however_busy_it_is(tmp_path: Path) -> None:
    log, metrics = tmp_path / "log.txt", tmp_path / "metrics.part.jsonl"  # the second is not there yet
    log.write_text("a line of an earlier launch\n")
    worker("ray::WorkerDict.update", BUSY)  # as NCCL and CUDA wait
    assert fault_within(Watch(hang_seconds=0.25), 4) is None  # without files to look at
    eye = Watch(hang_seconds=0.25, grows=(metrics, log))
    assert fault_within(eye, 1) is None
    metrics.write_text("a step\n")
    assert fault_within(eye, 1.5) is None
    began = time.monotonic()
    fault = fault_within(eye, 10)
    assert fault and "metrics.part.jsonl and log.txt" in fault and "HANG_SECONDS" in fault
    # a longer silence than HANG_SECONDS asks for was well before, and may come again five times as long
    assert time.monotonic() - began > 5 * 1 - 1.5 - 0.5


def test_ray_may_end_its_idle_processes() -> None:
    eye = Watch(hang_seconds=0)
    idle = worker("ray::IDLE")
    assert eye.fault() is None
    idle.kill()
    assert fault_within(eye, 1.5) is None


def test_a_fork_of_a_worker_may_end() -> None:
    eye = Watch(hang_seconds=0)
    code = "import os, setproctitle, sys, time; setproctitle.setproctitle({title!r})\n"
    code += "pid = os.fork()\nif pid == 0: time.sleep(1.5); os._exit(0)\n"
    code += "print('up', flush=True); os.waitpid(pid, 0); time.sleep(600)"
    parent = worker("ray::TaskRunnerV1.run", code)
    assert eye.fault() is None and len(psutil.Process(parent.pid).children()) == 1
    assert fault_within(eye, 4) is None and not psutil.Process(parent.pid).children()


def test_orphans_are_found_and_ended() -> None:
    adopt_orphans()
    parent = subprocess.Popen(
        ["bash", "-c", f"{sys.executable} -c 'import time; time.sleep(600)' & echo $!"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    orphan = psutil.Process(int(parent.stdout.readline()))
    parent.wait()
    assert orphan in psutil.Process().children(recursive=True)
    end_descendants(grace=2)
    assert not orphan.is_running()


@pytest.mark.parametrize(("last", "fault"), [(3, "the worker ray::A died"), (4, None)])
def test_workers_that_verl_ends_after_the_last_step_are_no_fault(last: int, fault: str | None) -> None:
    silent = SimpleNamespace(follow=lambda: None, fault=lambda: None, last=last, total=4)
    seen = SimpleNamespace(fault=lambda: "the worker ray::A died")
    with subprocess.Popen(["sleep", "1.2"]) as child:
        assert follow(child, silent, silent, seen) == fault  # type: ignore[arg-type]
        child.kill()
