"""What the whole session of tests does: spread over two workers, leave out what passed, and leave no trace.

With pytest-xdist (`-n 2`) the tests of a file stay together, as they share what it prepares. The files of ALONE are one
group, of which no two run at once; it begins first, as it takes longest.
"""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.commands import ROOT

ALONE = (  # verl, vLLM and trl, which take both cores, and what keeps an eye on the clock
    "tests/recipes/test_launch.py",
    "tests/eval/generation/test_eval_generate.py",
    "tests/sft/test_sft.py",
    "tests/benchmarks/test_bench_data.py",
    "tests/recipes/test_watch.py",
    "tests/reward_fns/judge/test_judge_faults.py",
)
CACHES = ("__pycache__", ".pytest_cache", ".ruff_cache", ".hypothesis", ".venv")
TREE = pytest.StashKey[set[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--resume", action="store_true", help="leave out slow tests that passed at this clean commit")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "alone" if _file(nodeid) in ALONE else _file(nodeid)

    config.option.loadscopereorder = False  # in the order of the collection
    return ByFile(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: ALONE.index(_file(item.nodeid)) if _file(item.nodeid) in ALONE else len(ALONE))
    commit = _clean_commit()
    if not config.getoption("--resume") or commit is None or not getattr(config, "cache", None):
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
    if commit and getattr(item.config, "cache", None):  # written at once: a killed `make test-full` goes on from here
        passed = item.config.cache.get(f"medcode/{commit}", [])
        item.config.cache.set(f"medcode/{commit}", [*passed, item.nodeid])


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[TREE] = _tree()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tests write to folders of their own: what they leave in the tree ends the session with status 1."""
    left = sorted(_tree() - session.config.stash[TREE])
    if left and not hasattr(session.config, "workerinput"):  # a worker of xdist leaves that to the first process
        session.exitstatus = 1
        print("\nerror: the tree changed while the tests ran:", *left, sep="\n  ", file=sys.stderr)


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def _clean_commit() -> str | None:
    """The commit when no file differs from it: only then does an earlier pass still count."""
    commit, dirty = _git("rev-parse", "HEAD"), _git("status", "--porcelain")
    return commit.strip() if commit and not dirty else None


def _tree() -> set[str]:
    """What git says is new, changed or ignored here, caches aside."""
    lines = _git("status", "--porcelain", "--ignored").splitlines()
    return {line for line in lines if not any(name in line for name in CACHES)}


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout
