"""manifest.json: what was kept and why, so that two people can compare cohorts without sharing data."""

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAME = "manifest.json"
DIGEST = 16  # bytes


@dataclass
class Manifest:
    """Collects steps and facts, prints the steps as they come, and is written beside the data."""

    task: str
    facts: dict[str, Any] = field(default_factory=dict)
    filters: list[dict[str, Any]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    def step(self, name: str, before: int, after: int, reason: str) -> None:
        """Record and print one filter: rows before and after it, and why the rest was dropped."""
        self.filters.append({"name": name, "before": before, "after": after, "reason": reason})
        print(f"{name:<28} {before:>9,} -> {after:>9,}  {reason}")

    def say(self, what: str) -> None:
        """Record and print something that a reader of the counts must know; "" is nothing."""
        if what:
            self.said.append(what)
            print(f"note: {what}")

    def write(self, folder: Path) -> None:
        """Write it."""
        content = {"task": self.task, **self.facts}
        content |= {"filters": self.filters, "notes": self.said, "files": self.files}
        (folder / NAME).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def digest(text: str) -> bytes:
    """What tells two texts apart in little room."""
    return hashlib.blake2b(text.encode(), digest_size=DIGEST).digest()


def number(case: str) -> int:
    """The id of a case as the whole number that rows carry, the same for everybody."""
    return int.from_bytes(digest(case)[:8]) >> 1


def rows_of(hadm_ids: Collection[int]) -> dict[str, Any]:
    """What identifies the rows of a file: how many there are, and the hash of their admission ids."""
    return {"rows": len(hadm_ids), "hadm_ids_sha256": ids_hash(hadm_ids)}


def ids_hash(hadm_ids: Iterable[int]) -> str:
    """SHA-256 of the sorted ids, one per line."""
    return hashlib.sha256("".join(f"{i}\n" for i in sorted(hadm_ids)).encode()).hexdigest()
