"""The log of a run: its start is shown, and what ended it is found behind what merely followed."""

from pathlib import Path

import pytest

from common.processes import LOOPBACK
from recipes.launcher.log import Log

EARLIER = "RuntimeError: of a launch long ago\nEngineDeadError\n"
START = """2026-01-01 00:00:00,000 INFO worker.py:2038 -- Started a local Ray instance.
\x1b[36m(TaskRunnerV1 pid=1)\x1b[0m {'actor_rollout_ref': {}}
\x1b[36m(WorkerDict pid=2)\x1b[0m Monkey patch
\x1b[36m(vLLMHttpServer pid=3)\x1b[0m ['serve']
"""


def log(tmp_path: Path, text: str) -> Log:
    path = tmp_path / "log.txt"
    path.write_text(EARLIER)
    found = Log(path)
    with open(path, "a") as file:
        file.write(text)
    return found


def test_the_start_is_shown_once_with_seconds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen = log(tmp_path, START)
    seen.follow()
    seen.follow()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and all(line.split()[1] == "s" and line.split()[0].isdigit() for line in lines)
    assert "Ray is up" in lines[0] and "vLLM starts" in lines[3]
    with open(seen.path, "a") as file:
        file.write("(TaskRunnerV1 pid=1) all initialize finished, ready to fit\n")
    seen.follow()
    assert "vLLM is up" in capsys.readouterr().out


@pytest.mark.parametrize(
    "line",
    [
        "(vLLMHttpServer pid=3, ip=10.0.0.2) WARNING [core_client.py:728] [shutdown] MPClient: engine core exited "
        "unexpectedly; starting cleanup",
        "(vLLMHttpServer pid=3, ip=10.0.0.2) ERROR [core_client.py] Engine core proc EngineCore_DP0 died unexpectedly, "
        "shutting down client.",
        "\x1b[36m(vLLMHttpServer pid=3, ip=10.0.0.2)\x1b[0m vllm.v1.engine.exceptions.EngineDeadError: EngineCore",
    ],
)
def test_an_engine_that_died_on_another_node_is_a_fault_when_verl_goes_on(
    tmp_path: Path, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = log(tmp_path, f"{START}{line}\n")
    seen.follow()
    assert seen.fault() is None
    monkeypatch.setattr("recipes.launcher.log.ENGINE_GRACE", -1.0)
    assert seen.fault() == "the worker VLLM::EngineCore on node 10.0.0.2 died"
    assert seen.cause().startswith("the worker VLLM::EngineCore on node 10.0.0.2 died; ")


SERVER = "(vLLMHttpServer pid=7) ERROR [async_llm.py] vllm.v1.engine.exceptions.EngineDeadError: EngineCore"
TASK = "(AgentLoop pid=9) RayTaskError(EngineDeadError): ray::vLLMHttpServer.generate() (pid={}, ip={}, actor_id=0)"


@pytest.mark.parametrize(
    ("pid", "ip", "named"), [(7, "10.0.0.2", " on node 10.0.0.2"), (8, "10.0.0.2", ""), (7, LOOPBACK, "")]
)
def test_the_node_of_an_engine_is_read_where_ray_says_it(tmp_path: Path, pid: int, ip: str, named: str) -> None:
    seen = log(tmp_path, f"{START}{SERVER}\n{TASK.format(pid, ip)}\n")
    assert seen.cause().startswith(f"the worker VLLM::EngineCore{named} died; ")


FULL = (
    "(WorkerDict pid=2) OSError: [Errno 28] No space left on device: 'x/model.pt'",
    "(WorkerDict pid=2) safetensors_rust.SafetensorError: I/O error: No space left on device (os error 28)",
    "(WorkerDict pid=2) RuntimeError: [enforce fail] PytorchStreamWriter failed writing file data/0: file write failed",
)


@pytest.mark.parametrize("line", FULL)
def test_a_full_disk_is_called_so_whatever_fails_after_it(tmp_path: Path, line: str) -> None:
    seen = log(
        tmp_path, f"{line}\nray.exceptions.ActorDiedError: The actor died unexpectedly\nclass_name: WorkerDict\n"
    )
    said = seen.full() or ""
    assert said.startswith("the disk is full") and line.partition(") ")[2][:40] in said


def test_a_daemon_of_ray_that_crashed_is_named(tmp_path: Path) -> None:
    seen = log(tmp_path, "(raylet) The leased worker has unrecoverable failure. Owner's node has crashed.\n")
    assert seen.crash() == "Owner's node has crashed" and seen.full() is None


def test_an_earlier_launch_is_no_cause(tmp_path: Path) -> None:
    assert log(tmp_path, "all is well\n").cause() == "no error is named in the log"
    seen = log(tmp_path, "ValueError: of this one\n")
    assert seen.cause() == "ValueError: of this one" and seen.full() is None and seen.crash() is None
