"""Find Chromium, which opens the report in the tests, or install it.

    python -m benchmarks.browser    # installs it when there is none, and prints where it is

It takes CHROMIUM, an installed Chromium or Chrome, or Playwright's own; to get one it asks Playwright, then apt-get.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from common.commands import UserError, parser, run

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALLERS = (
    [sys.executable, "-m", "playwright", "install", "chromium", "chromium-headless-shell"],
    ["apt-get", "install", "--yes", "--no-install-recommends", "chromium"],
)


def main(argv: list[str] | None = None) -> None:
    parser(__doc__, "python -m benchmarks.browser").parse_args(argv)
    for command in ((), *INSTALLERS):
        if command and shutil.which(command[0]):
            print(f"no Chromium yet: {' '.join(command)}", file=sys.stderr)
            subprocess.run(command, stdout=sys.stderr, stderr=subprocess.DEVNULL, check=False)
        if found := chromium():
            print(found)
            return
    raise UserError("Chromium cannot be installed here; install it and set CHROMIUM to its path")


def chromium() -> str | None:
    """The first Chromium that starts."""
    return next((path for path in _candidates() if _starts(path)), None)


def _candidates() -> Iterator[str]:
    yield os.environ.get("CHROMIUM", "")
    for name in NAMES:
        yield shutil.which(name) or ""
    cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", Path.home() / ".cache/ms-playwright"))
    for pattern in ("chromium_headless_shell-*/*/*headless*shell*", "chromium-*/*/chrome"):
        yield from map(str, sorted(cache.glob(pattern), reverse=True))


def _starts(path: str) -> bool:
    try:
        done = subprocess.run([path, "--version"], capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


if __name__ == "__main__":
    run(main)
