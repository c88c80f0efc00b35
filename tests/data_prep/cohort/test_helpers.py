"""Work on batches is shared with other processes: every result once, in order, and nobody left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from common.commands import UserError
from data_prep.cohort import helpers
from tests.conftest import ROOT
from tests.support.batches import batches, who


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_results_come_in_order_and_are_of_several_processes() -> None:
    alone = list(helpers.each(batches(range(12)), who, 0))
    assert [batch["process"][0].as_py() for batch in alone] == [os.getpid()] * 12
    before = open_files()
    found = pa.Table.from_batches(helpers.each(batches(range(20, 220)), who, 1)).to_pydict()
    assert found["number"] == list(range(20, 220)) and set(found["text"]) == {"x" * 100_000}
    assert len(set(found["process"])) == 2 and found["process"].count(os.getpid()) > 20
    assert open_files() <= before + 2  # the resource tracker's pipe may stay


def test_a_fault_in_a_helper_is_the_callers() -> None:
    before = open_files()
    with pytest.raises(UserError, match="thirteen"):
        list(helpers.each(batches(range(100)), who, 1))
    assert open_files() <= before + 2


def die(batch: pa.RecordBatch) -> pa.RecordBatch:
    """As a process does that runs out of memory."""
    if os.getpid() != batch["number"][0].as_py():
        os.kill(os.getpid(), signal.SIGKILL)
    return batch


def test_a_helper_that_is_killed_is_said() -> None:
    mine = os.getpid()
    with pytest.raises(UserError, match="helped was killed"):
        list(helpers.each(batches(range(mine, mine + 1)) * 50, die, 1))


def test_small_files_have_no_helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(16))
    file = tmp_path / "notes"
    assert helpers.wanted(file) == 0
    for size, wanted in ((helpers.WORTH - 1, 0), (helpers.WORTH, helpers.MOST)):
        with open(file, "wb") as made:
            made.truncate(size)
        assert helpers.wanted(file) == wanted


PROGRAM = """
from itertools import count
from data_prep.cohort import helpers
from tests.support.batches import batches, who
if __name__ == "__main__":
    endless = (batch for start in count(100) for batch in batches(range(start, start + 1)))
    for found in helpers.each(endless, who, 1):
        print(found["process"][0].as_py(), flush=True)
"""


def test_no_helper_outlives_a_process_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, tmp_path / "program.py"], env=environment, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        helper = next(int(line) for line in child.stdout if int(line) != child.pid)
        process = psutil.Process(helper)
        child.kill()
    deadline = time.monotonic() + 10
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
