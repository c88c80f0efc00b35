"""What README.md and recipes/README.md tell the reader to type: the blocks of their fences, in order.

A block is `bash` (typed as it stands), `bash cluster` (needs MIMIC-IV, GPUs or Slurm), or a file that the reader saves.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

from tests.support.commands import ROOT

PAGES = ("README.md", "recipes/README.md")
SAVED_AS = {"python": "my_reward.py", "yaml": "recipes/own/mine.yaml"}  # as the text beside the block says
FENCE = re.compile(r"^ *```(\w+)(?: (\w+))?\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """One fence: its language, the word after it, and what stands in it."""

    language: str
    mark: str
    text: str

    def lines(self) -> list[list[str]]:
        """The words of every command."""
        joined = self.text.replace("\\\n", " ").splitlines()
        return [words for line in joined if (words := shlex.split(line, comments=True))]


def blocks() -> list[Block]:
    """Every block of both pages."""
    texts = [(ROOT / page).read_text(encoding="utf-8") for page in PAGES]
    found = [Block(*fence) for text in texts for fence in FENCE.findall(text)]
    return [Block(language, mark, textwrap.dedent(text)) for language, mark, text in found]


def clone(place: Path) -> Path:
    """A copy of what git has, with the environment that these tests run in where `make` puts it."""
    environment = Path(sys.prefix)
    assert (environment / "bin/activate").exists(), "the tests run in the environment that `make` has made"
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    for name in filter(lambda name: (ROOT / name).is_file(), names):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, place / name)
    (place / ".venv-cpu").symlink_to(environment)
    os.utime(place / "requirements-cpu.txt", (0, 0))  # older than what was made from it: `make` leaves it as it is
    return place


def script(chosen: list[Block]) -> str:
    """The blocks as one session of a shell, with the files that the reader saves between them."""
    parts = ["set -euo pipefail"]
    for block in chosen:
        if block.language == "bash":
            parts.append(block.text)
        else:
            parts.append(f"cat >{SAVED_AS[block.language]} <<'END OF THE BLOCK'\n{block.text}END OF THE BLOCK")
    return "\n".join(parts) + "\n"
