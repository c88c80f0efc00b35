"""What the tests of data_prep.drg share: the command as a user types it, and readers of what it writes."""

import json
import shutil
from pathlib import Path

from data_prep import parquet
from tests.conftest import World, run_command, run_process

SHARES = (50, 75, 90, 95)
TRAINING = [f"{kind}/{name}" for kind in ("rl", "sft") for name in
            ("cold", "small", *(f"{size}_{share}" for size in ("small", "full") for share in SHARES))]  # fmt: skip
FILES = ["test", "test_small", *TRAINING]


def prepare(mimic: Path, out: Path, *options: object, **environment: str) -> Path:
    call = ("data_prep.drg", "--hosp", mimic / "hosp", "--note", mimic / "note", "--out", out, *options)
    done = (run_process if environment else run_command)(*call, **environment)  # Python reads some at its start alone
    assert done.returncode == 0, done.stderr
    return out / "drg"


def read(folder: Path, name: str) -> list[dict]:
    return parquet.read(folder / f"{name}.parquet").to_pylist()


def ids(folder: Path, name: str, what: str = "index") -> list[int]:
    return [row["extra_info"][what] for row in read(folder, name)]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def synthetic(place: Path, notes: int, seed: int) -> Path:
    done = run_command("data_prep.synthesize", "--out", place / "mimic", "--notes", notes, "--seed", seed)
    assert done.returncode == 0, done.stderr
    return place / "mimic"


def copied(world: World, place: Path) -> Path:
    return Path(shutil.copytree(world.mimic, place / "mimic"))
