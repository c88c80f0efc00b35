"""A progress bar on a terminal is redrawn; in a file or a pipe it is a line now and then, not thousands of redraws."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

from tests.conftest import ROOT

BAR = """
import time
from tqdm import tqdm
from common import bars
from common.commands import run
bars.SECONDS = 1.0
def main():
    for _ in tqdm(range(2_500), desc="prompts", unit=" rows", mininterval=0.01, leave={leave}):
        time.sleep(0.001)
run(main)
"""


def test_in_a_pipe_a_bar_is_a_line_now_and_then() -> None:
    done = subprocess.run([sys.executable, "-c", BAR.format(leave=True)], cwd=ROOT, capture_output=True, text=True)
    lines = done.stderr.splitlines()
    assert done.returncode == 0 and "\r" not in done.stderr and 2 <= len(lines) <= 8, done.stderr
    assert all(line.startswith("prompts: ") for line in lines)
    assert "2500/2500" in lines[-1] and done.stderr.endswith("\n") and "2500/2500" not in lines[0]


def test_a_bar_that_is_not_left_behind_leaves_no_end() -> None:
    done = subprocess.run([sys.executable, "-c", BAR.format(leave=False)], cwd=ROOT, capture_output=True, text=True)
    assert "2500/2500" not in done.stderr and "\r" not in done.stderr, done.stderr


def test_on_a_terminal_it_is_redrawn_as_ever() -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with subprocess.Popen([sys.executable, "-c", BAR.format(leave=True)], cwd=ROOT, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        try:
            while piece := os.read(ours, 65536):
                seen += piece
        except OSError:  # Linux: the other side has closed
            pass
    assert process.returncode == 0 and seen.count(b"\r") > 20
