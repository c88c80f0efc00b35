"""Processes end with the one that started them, and their sockets have a place."""

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from common.commands import UserError
from common.processes import SOCKET_ROOM, descendants, end, scratch_folder

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def test_a_stopped_and_a_stubborn_process_are_ended_and_others_live() -> None:
    started = [subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    other = subprocess.Popen(["sleep", "60"])
    try:
        for process in started:
            assert process.stdout is not None and process.stdout.readline() == "up\n"
        started[0].send_signal(signal.SIGSTOP)
        assert {process.pid for process in (*started, other)} <= {process.pid for process in descendants()}
        began = time.monotonic()
        end((psutil.Process(process.pid) for process in started), grace=0.5)
        assert time.monotonic() - began < 5 and other.poll() is None
        assert not any(psutil.pid_exists(process.pid) for process in started)
    finally:
        other.kill()
        other.wait()


def test_the_scratch_folder_is_short_and_gone_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * SOCKET_ROOM)
    long.mkdir()
    for place in (long, Path("/tmp")):
        monkeypatch.setenv("TMPDIR", str(place))
        with scratch_folder() as folder:
            assert Path(folder).is_dir() and Path(folder).parent == Path("/tmp")
        assert not Path(folder).exists()


def test_a_place_that_cannot_be_used_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/nonexistent")
    with pytest.raises(UserError, match=r"temporary folder /nonexistent cannot be used .*TMPDIR"), scratch_folder():
        pass


LAUNCHER = """
import subprocess, sys, time
orphan = "import os, sys, time; os.setsid(); print(os.getpid(), flush=True); time.sleep(60)"
child = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {orphan!r}])"
driver = f"import subprocess, sys, time; subprocess.run([sys.executable, '-c', {child!r}]); time.sleep(60)"
subprocess.Popen([sys.executable, "-m", "common.guard", sys.executable, "-c", driver], start_new_session=True)
time.sleep(60)
"""


def test_what_a_guarded_command_started_ends_with_a_launcher_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", LAUNCHER], stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        orphan = psutil.Process(int(launcher.stdout.readline()))  # in a session of its own, its parent long gone
        guard = orphan.parent()
        assert guard is not None and "common.guard" in guard.cmdline()
        launcher.kill()
        assert psutil.wait_procs([orphan, guard], timeout=15)[1] == []


def test_a_guard_ends_as_its_command_does() -> None:
    for code, status in (("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 137)):
        assert subprocess.run([sys.executable, "-m", "common.guard", sys.executable, "-c", code]).returncode == status


HELD = """
import time
from common.processes import scratch_folder
with scratch_folder() as folder:
    print(folder, flush=True)
    time.sleep(60)
"""


def test_the_folder_of_a_killed_command_is_removed_by_the_next_and_that_of_a_living_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="t-") as place:
        monkeypatch.setenv("TMPDIR", place)
        started = [subprocess.Popen([sys.executable, "-c", HELD], stdout=subprocess.PIPE, text=True) for _ in range(2)]
        killed, living = (Path(process.stdout.readline().strip()) for process in started if process.stdout)
        try:
            started[0].kill()
            started[0].wait()
            assert killed.is_dir()
            with scratch_folder() as ours:
                assert not killed.exists() and living.is_dir() and Path(ours).is_dir()
        finally:
            for process in started:
                process.kill()
                process.wait()
