"""Jobs of the findings: skipped when done, resumed when interrupted, never mixed, nothing left running."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from benchmarks.studies import running
from benchmarks.studies.jobs import Job
from recipes.launcher.stages import Stage
from tests.conftest import ROOT


def write(out: Path, name: str, text: str, after: tuple[Job, ...] = ()) -> Job:
    """A job that adds a line to a file and stops before its end where a file `fail` stands."""
    line = f'mkdir -p "{out}" && echo {text} >>"{out}/{name}" && [ ! -e "{out}/fail" ] && touch "{out}/{name}.done"'
    return Job(name, name, (("bash", "-c", line),), Stage("", (), out / f"{name}.done"), 10, str(out), after)


def test_what_is_done_is_skipped_and_what_was_interrupted_is_started_again(tmp_path: Path, capfd) -> None:
    first = write(tmp_path, "first", "a")
    jobs = [first, write(tmp_path, "second", "b", (first,))]
    running.run(tmp_path, jobs[:1])
    (tmp_path / "fail").touch()
    with pytest.raises(running.UserError, match=r"second\.log"):
        running.run(tmp_path, jobs)
    assert "1 of 2 jobs are done already" in capfd.readouterr().out
    (tmp_path / "fail").unlink()
    running.check(tmp_path, jobs)
    running.run(tmp_path, jobs)
    assert (tmp_path / "first").read_text() == "a\n" and (tmp_path / "second").read_text() == "b\nb\n"
    running.run(tmp_path, jobs)
    assert (tmp_path / "second").read_text() == "b\nb\n"
    assert "2 jobs, 0 to do" in running.table(tmp_path, jobs)


def test_what_is_told_of_the_jobs_is_told_as_soon_as_each_is_done(tmp_path: Path) -> None:
    first, seen = write(tmp_path, "first", "a"), []
    jobs = [first, write(tmp_path, "second", "b", (first,))]
    running.run(tmp_path, jobs, tell=lambda: seen.append([running.is_done(tmp_path, job) for job in jobs]))
    assert seen == [[True, False], [True, True]]


def test_two_at_once_share_the_time_and_each_waits_for_what_it_needs(tmp_path: Path) -> None:
    def job(name: str, after: tuple[Job, ...] = ()) -> Job:
        needed = " && ".join(["true", *(f'[ -e "{before.done.done}" ]' for before in after)])
        line = f'{needed} && date +%s.%N >>"{tmp_path}/begun" && sleep 3 && touch "{tmp_path}/{name}.done"'
        return Job(name, name, (("bash", "-c", line),), Stage("", (), tmp_path / f"{name}.done"), 1, "", after)

    first, second = job("first"), job("second")
    running.run(tmp_path, [first, second, job("third", (first, second))], at_once=2)
    begun = sorted(float(line) for line in (tmp_path / "begun").read_text().split())
    assert begun[1] - begun[0] < 2.9 and begun[2] - begun[1] >= 3


def test_nothing_goes_on_when_the_program_is_killed(tmp_path: Path) -> None:
    command = ("bash", "-c", f"echo $$ >{tmp_path}/pid; sleep 300; :")
    code = (
        "from pathlib import Path; from benchmarks.studies import running; from benchmarks.studies.jobs import Job;"
        f"from recipes.launcher.stages import Stage; out = Path({str(tmp_path)!r});"
        f"running.run(out, [Job('a', 'a', ({command!r},), Stage('', (), out / 'done'), 1, '')])"
    )
    program = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    pid = int((tmp_path / "pid").read_text())
    program.kill()
    program.wait()
    wait_until(lambda: not psutil.pid_exists(pid))


def wait_until(holds: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_folder_made_with_other_settings_is_refused_and_so_is_somebody_elses(tmp_path: Path) -> None:
    first = write(tmp_path, "first", "a")
    running.run(tmp_path, [first, write(tmp_path, "second", "b", (first,))])
    other = write(tmp_path, "first", "c")
    with pytest.raises(running.UserError, match="made with other settings"):
        running.check(tmp_path, [other])
    with pytest.raises(running.UserError, match="made with other settings"):  # what it began with is another one
        running.check(tmp_path, [write(tmp_path, "second", "b", (other,))])
    (tmp_path / "third.done").touch()
    with pytest.raises(running.UserError, match="was not made by this program"):
        running.check(tmp_path, [write(tmp_path, "third", "a")])


def test_the_time_left_is_as_much_off_as_what_is_done_was(tmp_path: Path) -> None:
    jobs = [write(tmp_path, name, "a") for name in ("first", "second", "third")]
    assert running.left(tmp_path, jobs, jobs) == 30
    running.run(tmp_path, jobs[:1])
    note = running.note(tmp_path, jobs[0])
    note.write_text(json.dumps(json.loads(note.read_text()) | {"seconds": 30.0}))
    assert running.left(tmp_path, jobs, jobs[1:]) == 60


def test_a_job_without_its_output_and_a_file_in_the_place_of_the_folder_are_sentences(tmp_path: Path) -> None:
    empty = Job("empty", "empty", (("true",),), Stage("", (), tmp_path / "nothing.done"), 1, "")
    with pytest.raises(running.UserError, match=r"nothing\.done is not there"):  # what waits for it would wait for ever
        running.run(tmp_path, [empty, write(tmp_path, "second", "b", (empty,))])
    (tmp_path / "file").touch()
    with pytest.raises(running.UserError, match="is a file"), running.alone(tmp_path / "file"):
        pass


def test_what_was_made_from_something_older_is_refused_and_no_second_is_lost(tmp_path: Path) -> None:
    first = write(tmp_path, "first", "a")
    jobs = [first, write(tmp_path, "second", "b", (first,))]
    (tmp_path / "fail").touch()
    slow = Job("slow", "slow", (("sleep", "1"), ("false",)), Stage("", (), tmp_path / "slow.done"), 1, "")
    with pytest.raises(running.UserError):
        running.run(tmp_path, [slow])
    assert running.made(tmp_path, slow)["seconds"] >= 1
    (tmp_path / "fail").unlink()
    running.run(tmp_path, jobs)
    running.check(tmp_path, jobs)
    (tmp_path / "first.done").unlink()
    running.run(tmp_path, jobs)
    with pytest.raises(running.UserError, match="made from an earlier"):
        running.check(tmp_path, jobs)


def test_ctrl_c_lets_the_commands_end_as_they_want_to(tmp_path: Path) -> None:
    line = f"trap 'sleep 1; echo ended >{tmp_path}/ended; exit 130' INT; echo $$ >{tmp_path}/pid; sleep 300 & wait"
    code = (
        "from pathlib import Path; from benchmarks.studies import running; from benchmarks.studies.jobs import Job;"
        f"from common.commands import run; from recipes.launcher.stages import Stage; out = Path({str(tmp_path)!r});"
        f"run(lambda: running.run(out, [Job('a', 'a', (('bash', '-c', {line!r}),), Stage('', (), out / 'x'), 1, '')]))"
    )
    words = [sys.executable, "-c", code]
    program = subprocess.Popen(
        words,
        cwd=ROOT,
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job of the background would ignore it
    )
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    os.killpg(program.pid, signal.SIGINT)
    _, said = program.communicate(timeout=30)
    assert (tmp_path / "ended").read_text() == "ended\n"
    assert program.returncode == 130 and said.strip() == "stopped", said
