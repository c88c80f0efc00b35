"""Run a command, and end all that it started when the process that started this one is killed.

    python -m common.guard python -m verl.trainer.main_ppo

Ray's agents outlive their daemons by a minute, and belong to nobody then: here they belong to this process.
"""

import signal
import subprocess
import sys
from typing import NoReturn

from common.processes import adopt_orphans, die_with_parent, end_descendants


def _end(signum: int, frame: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end_descendants(grace=2.0)
    sys.exit(128 + signum)


def main(argv: list[str]) -> None:
    adopt_orphans()
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C reaches the command, too, which ends as it wants to
    die_with_parent(signal.SIGTERM)
    status = subprocess.Popen(argv, preexec_fn=die_with_parent).wait()
    sys.exit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    main(sys.argv[1:])
