"""Run the jobs of a plan: those that are done are skipped, the time left is said.

What a job was made with stands in OUT/jobs/KEY.json, what it printed in OUT/logs/KEY.log. An interrupted job is started
again, and its commands go on where they stopped.
"""

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.studies.jobs import Job
from benchmarks.studies.plan import ROOT
from common.commands import UserError
from common.files import whole_file
from common.record import commit

LAST = 5  # lines of a log that a fault shows


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """One program at a time in a folder."""
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; choose a folder")
    out.mkdir(parents=True, exist_ok=True)
    with open(out / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another benchmarks.findings is at work in {out}; wait for it or choose --out") from None
        yield


def note(out: Path, job: Job) -> Path:
    """Where it stands what a job was made with."""
    return out / "jobs" / f"{job.key.replace('/', '-')}.json"


def made(out: Path, job: Job) -> dict[str, Any]:
    """What a job was made with, and in how many seconds; nothing where it has not begun."""
    path = note(out, job)
    return json.loads(path.read_text()) if path.is_file() else {}


def is_done(out: Path, job: Job) -> bool:
    """Whether it has finished with these settings."""
    return made(out, job).get("print") == job.print and job.done.is_done()


def check(out: Path, jobs: Sequence[Job]) -> None:
    """A folder that was made with other settings, by somebody else, or from what has been remade is a sentence."""
    for job in jobs:
        before, folder = made(out, job), job.folder
        if before and before["print"] != job.print:
            pairs = zip([*before["settings"], "nothing"], [*job.settings, "nothing"], strict=False)
            then, now = next(pair for pair in pairs if pair[0] != pair[1])
            raise UserError(
                f"{folder} was made with other settings ({then!r} then, {now!r} now); choose another --out, or remove "
                f"{out} to start over"
            )
        if not before and job.done.done.exists():
            raise UserError(f"{folder} was not made by this program; choose another --out")
        for source in job.after:
            if before and before["began"] < made(out, source).get("finished", 0):
                raise UserError(
                    f"{folder} was made from an earlier {source.folder}; remove {folder} and {note(out, job)}"
                )


def run(out: Path, jobs: Sequence[Job], at_once: int = 1, tell: Callable[[], None] = lambda: None) -> None:
    """Run what is not done, so many at a time, each when what it needs is there; `tell` is called after each."""
    waiting = [job for job in jobs if not is_done(out, job)]
    if len(waiting) < len(jobs):
        print(f"{len(jobs) - len(waiting)} of {len(jobs)} jobs are done already", flush=True)
    finished, all_of_them, at_work = 0, len(waiting), {}
    threads = max(1, len(os.sched_getaffinity(0)) // at_once)  # jobs with more than their share hinder each other
    with ThreadPoolExecutor(at_once) as pool:  # on a fault what is at work ends first
        while waiting or at_work:
            ready = [job for job in waiting if all(is_done(out, before) for before in job.after)]
            for job in ready[: at_once - len(at_work)]:
                print(f"{'':9}{job.what} begins, its log is {_log(out, job)}", flush=True)
                waiting.remove(job)
                at_work[pool.submit(_job, out, job, threads)] = job
            for future in wait(at_work, return_when=FIRST_COMPLETED).done:
                job, seconds, finished = at_work.pop(future), future.result(), finished + 1
                rest = left(out, jobs, [*at_work.values(), *waiting]) / at_once
                print(
                    f"{finished:>3}/{all_of_them:<4} {job.what:44}{seconds:>5.0f} s, {duration(rest)} left", flush=True
                )
                tell()


def _job(out: Path, job: Job, threads: int) -> float:
    """Run a job; the seconds that it has taken in all."""
    before, now = made(out, job), time.time()
    if "finished" in before:  # what it made is gone
        before = {}
    about = {"print": job.print, "settings": job.settings, "predicted": job.seconds, "commit": commit()}
    about |= {"began": before.get("began", now), "seconds": before.get("seconds", 0.0)}
    _write(out, job, about)
    began = time.monotonic()
    try:
        for words in job.commands:
            _command(out, job, words, threads)
        if not job.done.is_done():
            raise UserError(f"{job.done.done} is not there after {job.what}; its output is {_log(out, job)}")
        about["finished"] = time.time()
    finally:
        about["seconds"] = round(about["seconds"] + time.monotonic() - began, 1)
        _write(out, job, about)
    return about["seconds"]


def left(out: Path, jobs: Sequence[Job], todo: Sequence[Job]) -> float:
    """The predicted seconds of the rest, as much off as those of what is done were."""
    done = [(made(out, job)["seconds"], job.seconds) for job in jobs if is_done(out, job)]
    measured, predicted = (sum(column) for column in zip(*done, strict=True)) if done else (1.0, 1.0)
    return sum(job.seconds for job in todo) * measured / predicted


def duration(seconds: float) -> str:
    """Seconds as one says them."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def table(out: Path, jobs: Sequence[Job], at_once: int = 1) -> str:
    """The jobs with the time that each took or will take."""
    lines = []
    for job in jobs:
        finished = is_done(out, job)
        seconds = made(out, job)["seconds"] if finished else job.seconds
        lines.append(f"{job.key:28}{job.what:46}{seconds:>6.0f} s  {'done' if finished else ''}".rstrip())
    todo = [job for job in jobs if not is_done(out, job)]
    lines.append(f"{len(jobs)} jobs, {len(todo)} to do in about {duration(left(out, jobs, todo) / at_once)}")
    return "\n".join(lines)


def _log(out: Path, job: Job) -> Path:
    return out / "logs" / f"{job.key.replace('/', '-')}.log"


def _write(out: Path, job: Job, about: dict[str, Any]) -> None:
    with whole_file(note(out, job)) as file:
        file.write_text(json.dumps(about, indent=1) + "\n")


def _command(out: Path, job: Job, words: Sequence[str], threads: int) -> None:
    log = _log(out, job)
    log.parent.mkdir(exist_ok=True)
    command = [sys.executable, *words[1:]] if words[0] == "python" else list(words)
    command = [sys.executable, "-m", "common.guard", *command]  # nothing outlives a program that is killed
    environment = {**os.environ, **job.environment, "PYTHON": sys.executable}
    environment.setdefault("OMP_NUM_THREADS", str(threads))
    with open(log, "ab") as file:
        start = file.tell()
        status = subprocess.run(command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT).returncode
    if status:
        said = log.read_bytes()[start:].decode(errors="replace").strip().splitlines()[-LAST:]
        print("\n".join(said), file=sys.stderr)
        raise UserError(f"`{' '.join(words)}` ended with status {status}; its output is {log}")
