"""What verl, Ray and vLLM print, read for a person: how far the start is, and why a run ended.

log = Log(path)          # what is there already is of an earlier launch
log.follow()             # now and then: shows the start
log.fault()
log.cause()
"""

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from common.processes import LOOPBACK

NOISE = re.compile(r"^(\x1b\[\d+m)?\([^)]*pid=[^)]*\)(\x1b\[0m)?\s*")
DEAD_ACTOR = re.compile(r"class_name: (?:[\w<>]+\.)*(\w+)")  # in Ray's ActorDiedError
# vLLM's engine is a process of its own and no actor, so that only its server's words tell of its death on another node
ENGINE = re.compile(
    r"\(\w+ pid=(\d+)(?:, ip=\S+)?\)[^\n]*(?:EngineDeadError|[Ee]ngine core [^\n]*(?:exited|died) unexpectedly)"
)
SERVER = r"vLLMHttpServer[^\n]*\bpid={pid}, ip=([\d.]+)"  # Ray names the node in some of its lines and not in others
ENGINE_GRACE = 15.0  # seconds in which verl may end by itself after it
CAUSE = re.compile(r"^(?:ray\.exceptions\.\w+: )?(?:[\w.]+\.)?(\w*(?:Error|Exception|Exit|Interrupt)): \S.*")
FULL = re.compile(r"No space left on device|os error 28|Disk quota exceeded|PytorchStreamWriter failed writing")
NOTHING = 4 << 20  # bytes of a disk on which no log line and no checkpoint fits
CRASHED = re.compile(r"[^.:]*\b[Nn]ode (?:has crashed|died)[^.]*")  # what Ray says when one of its daemons is gone
STARTS = (  # what the log says first, and what it means
    ("Started a local Ray instance|Connected to Ray cluster", "Ray is up; verl is loaded"),
    (r"\(TaskRunner\w* pid=", "verl is there; it starts its workers"),
    (r"\(WorkerDict pid=", "the model is loaded into the trainer"),
    (r"\(vLLMHttpServer pid=", "the model is there; vLLM starts"),
    ("ready to fit", "vLLM is up; the first completions are sampled"),
)


class Log:
    """The log of a run, from this launch on."""

    def __init__(self, path: Path) -> None:
        self.path, self._from = path, path.stat().st_size if path.exists() else 0
        self._read, self._began, self._left = self._from, time.monotonic(), list(STARTS)
        self._engine: tuple[float, str] | None = None  # when its death was read, and the process of its server

    def follow(self) -> None:
        """Print what of the start has been reached since the last call, with the seconds since the launch."""
        with open(self.path, "rb") as file:
            file.seek(self._read)
            new = file.read()
        self._read += len(new)
        text = new.decode(errors="replace")
        for reached in [at for at in self._left if re.search(at[0], text)]:
            del self._left[: self._left.index(reached) + 1]  # what comes before it has been passed, too
            print(f"{time.monotonic() - self._began:4.0f} s  {reached[1]}", flush=True)
        if not self._engine and (found := ENGINE.search(text)):
            self._engine = time.monotonic(), found[1]

    def fault(self) -> str | None:
        """That vLLM's engine died, on whatever node, when verl has not ended by itself after it."""
        late = self._engine is not None and time.monotonic() - self._engine[0] > ENGINE_GRACE
        return self._dead_engine() if late else None

    def _dead_engine(self) -> str:
        """Which engine it was; on a machine of its own a run has one address, which says nothing."""
        server = re.compile(SERVER.format(pid=self._engine[1] if self._engine else ""))
        found = next((found for line in self._lines(whole=True) if (found := server.search(line))), None)
        return f"the worker VLLM::EngineCore{f' on node {found[1]}' if found and found[1] != LOOPBACK else ''} died"

    def cause(self) -> str:
        """The last line that names an error, after a worker that the log says died."""
        self.follow()
        found, unexpected = "no error is named in the log", False
        dead = f"{self._dead_engine()}; " if self._engine else ""
        for line in self._lines():
            if CAUSE.match(line):
                found = line[:400]
            if "EngineDeadError" in line and not dead:
                dead = "the worker VLLM::EngineCore died; "
            unexpected = unexpected or "actor died unexpectedly" in line  # Ray says so, then which
            if unexpected and not dead and (actor := DEAD_ACTOR.search(line)):
                dead = f"the worker ray::{actor[1]} died; "
        return dead + found

    def full(self) -> str | None:
        """That the disk is full, which a dead worker and the errors that follow hide; the log may have had no room."""
        what = next((line[:300] for line in self._lines() if FULL.search(line)), None)
        if not what and shutil.disk_usage(self.path.parent).free < NOTHING:
            what = f"there is no room left at {self.path.parent}"
        return f"the disk is full: {what}; free some and launch again, which resumes the run" if what else None

    def crash(self) -> str | None:
        """What Ray says of a daemon that is gone."""
        return next((found[0].strip() for line in self._lines() if (found := CRASHED.search(line))), None)

    def _lines(self, whole: bool = False) -> Iterator[str]:
        if not self.path.exists():
            return
        with open(self.path, errors="replace") as file:
            file.seek(self._from)
            for line in file:
                yield line if whole else NOISE.sub("", line).strip()
