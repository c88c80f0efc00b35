"""What several tests share: commands as a user types them, and one small synthetic world made by those commands."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run_command(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m …` or `bash …` from the repository root, as the README says."""
    command = [str(word) for word in words]
    if command[0] != "bash":
        command = [sys.executable, "-m", *command]
    env = {**os.environ, "PYTHON": sys.executable, **environment}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def assert_refused(done: subprocess.CompletedProcess[str], *said: str) -> None:
    """Status 2 and one sentence that says these things; never a traceback."""
    assert done.returncode == 2, done.stdout + done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "Traceback" not in done.stderr, done.stderr
    for text in said:
        assert text in errors[0], errors[0]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--resume", action="store_true", help="leave out slow tests that passed at this clean commit")


def _clean_commit() -> str | None:
    """The commit when no file differs from it: only then does an earlier pass still count."""
    commit, dirty = (
        subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()
        for words in (("rev-parse", "HEAD"), ("status", "--porcelain"))
    )
    return commit if commit and not dirty else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    commit = _clean_commit()
    if not config.getoption("--resume") or commit is None or config.cache is None:
        return
    passed = set(config.cache.get(f"medcode/{commit}", []))
    again = [item for item in items if item.nodeid not in passed]
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in passed])
    items[:] = again


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    commit = _clean_commit() if report.when == "call" and report.passed and item.get_closest_marker("slow") else None
    if commit and item.config.cache is not None:  # written at once: a killed `make test-full` goes on from here
        passed = item.config.cache.get(f"medcode/{commit}", [])
        item.config.cache.set(f"medcode/{commit}", [*passed, item.nodeid])


@dataclass(frozen=True)
class World:
    """Folders of a synthetic MIMIC and of what was made from it."""

    mimic: Path
    data: Path
    model: Path

    def environment(self, runs: Path) -> dict[str, str]:
        return {"DATA_DIR": str(self.data), "MODEL_PATH": str(self.model), "RUNS_DIR": str(runs)}


@pytest.fixture(scope="session")
def command() -> Callable[..., subprocess.CompletedProcess[str]]:
    return run_command


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A few hundred synthetic notes, an untrained model of half a million parameters, the DRG and the ICD parquet."""
    place = tmp_path_factory.mktemp("world")
    mimic, data, model = place / "mimic", place / "data", place / "model"
    source = ("--hosp", mimic / "hosp", "--note", mimic / "note", "--out", data, "--tokenizer", model)
    for words in (
        ("data_prep.synthesize", "--out", mimic, "--notes", 500, "--words", 60),
        ("data_prep.tiny_model", "--note", mimic / "note", "--out", model, "--hidden", 64, "--layers", 2),
        ("data_prep.drg", *source, "--split", "patient", "--max-prompt-tokens", 384),
        ("data_prep.icd", *source, "--split", "patient", "--max-prompt-tokens", 384),
    ):
        done = run_command(*words)
        assert done.returncode == 0, done.stderr
    return World(mimic, data, model)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository's code in another place, whose recipes a test may break or add to."""
    place = tmp_path / "copy"
    place.mkdir()
    for name in ("benchmarks", "common", "recipes", "reward_fns", "verl_ext", "data_prep", "eval", "sft"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, place / name)
    return place
