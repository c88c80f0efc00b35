"""The layout holds: arrows point one way, no circles, no crowded folder, tasks named in their rooms alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

# Each may import what stands behind it, and itself.
ORDER = ("recipes", "sft", "eval", "data_prep", "reward_fns", "common")
MAY_IMPORT = {name: set(ORDER[at:]) for at, name in enumerate(ORDER)} | {
    "verl_ext": {"verl_ext", "reward_fns", "common"}
}
MAY_IMPORT["recipes"] |= {"verl_ext"}
TASKS = ("drg", "icd", "icd_set", "mimic_drg", "mimic_icd", "codiesp_icd_set")
ROOMS = ("reward_fns", "data_prep/cohort", "data_prep/synthetic", "data_prep/prompts")
MOST_NAMES, MOST_MODULES = 12, 14


def modules(*packages: str) -> Iterator[Path]:
    for package in packages or MAY_IMPORT:
        yield from sorted((ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> set[str]:
    """The modules of this repository that a module imports, also those for typing and inside functions."""
    known, found = {name_of(other) for other in modules()}, set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else node.module for name in inner}
    return found & known


def test_arrows_point_one_way() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules()
        for name in imports(path)
        if name.split(".")[0] not in MAY_IMPORT[path.relative_to(ROOT).parts[0]]
    ]
    assert not wrong, wrong


def test_rewards_can_be_carried_elsewhere() -> None:
    for folder in ("drg", "icd", "icd_set"):
        for path in modules(f"reward_fns/{folder}"):
            if path.name != "task.py":
                assert all(name.startswith("reward_fns") for name in imports(path)), path


def test_no_import_circle_not_even_for_typing() -> None:
    graph = {name_of(path): imports(path) - {name_of(path)} for path in modules()}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way[way.index(name) :], name))
        if name not in done:
            for other in graph[name]:
                visit(other, (*way, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_no_folder_is_crowded() -> None:
    folders = {path.parent for path in modules(*MAY_IMPORT, "benchmarks", "tests")}
    counts = {str(folder.relative_to(ROOT)): len([*folder.glob("*.py")]) - 1 for folder in folders}
    assert max(counts.values()) <= MOST_MODULES, sorted(counts.items(), key=lambda item: -item[1])[:3]


def test_tasks_are_named_in_their_rooms() -> None:
    places = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules()
        if not str(path.relative_to(ROOT)).startswith(ROOMS) and path.name not in ("drg.py", "icd.py", "task.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in TASKS
    ]
    assert len(places) <= MOST_NAMES, places


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_every_package_says_what_it_is(package: str) -> None:
    for path in modules(package):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path
