"""`make` in a fresh folder: what it says when it cannot set up, and that it removes nothing but what it says."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT


def make(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    for name in ("Makefile", "requirements.txt", "requirements-cpu.txt"):
        shutil.copy(ROOT / name, folder)
    given = ("MAKE", "MFLAGS", "ACCEL", "PYTHON", "FRESH", "HARDWARE")  # of the `make test` that runs this
    clean = {key: value for key, value in os.environ.items() if not key.startswith(given)}
    return subprocess.run(["make", *words], cwd=folder, env={**clean, **environment}, capture_output=True, text=True)


def program(folder: Path, name: str, text: str) -> Path:
    """A stand-in for a program, in a folder of its own."""
    file = folder / "bin" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


def first_in_path(file: Path) -> str:
    return f"{file.parent}:{os.environ['PATH']}"


def assert_refused(done: subprocess.CompletedProcess[str], folder: Path, *said: str) -> None:
    """One sentence that says these things, status 2, and no environment that was begun."""
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2 and len(errors) == 1, done.stderr
    for text in said:
        assert text in errors[0]
    assert not list(folder.glob(".venv*"))


@pytest.mark.parametrize("version", ["3.10.14", "3.13.1"])
def test_another_python_is_refused_in_a_sentence(tmp_path: Path, version: str) -> None:
    other = program(tmp_path, "python-other", f'[ "$1" = --version ] && echo "Python {version}" && exit 0\nexit 1')
    done = make(tmp_path, "setup", "ACCEL=cpu", f"PYTHON={other}")
    assert_refused(done, tmp_path, version, "3.11 or 3.12", "make setup PYTHON=python3.11")


def test_an_unknown_accelerator_is_refused(tmp_path: Path) -> None:
    assert_refused(make(tmp_path, "setup", "ACCEL=tpu"), tmp_path, "ACCEL=tpu is neither cpu nor gpu")


@pytest.mark.parametrize("machine", ["Darwin arm64", "Linux aarch64"])
@pytest.mark.parametrize("accel", ["cpu", "gpu"])
def test_another_machine_is_told_what_is_supported(tmp_path: Path, machine: str, accel: str) -> None:
    uname = program(tmp_path, "uname", f"echo {machine}")
    done = make(tmp_path, "test", f"ACCEL={accel}", PATH=first_in_path(uname))
    assert_refused(done, tmp_path, "Linux on x86-64 is supported", machine)


def test_an_install_that_fails_is_tried_again_and_leaves_the_other_environment(tmp_path: Path) -> None:
    (tmp_path / "no-index").mkdir()
    other = tmp_path / ".venv-gpu" / "kept"
    other.parent.mkdir()
    other.touch()
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "no-index"), "TORCH_CPU_INDEX": "file:///nowhere"}
    done = make(tmp_path, "setup", "ACCEL=cpu", **offline)
    assert done.returncode == 2 and "torch" in done.stderr
    assert (tmp_path / ".venv-cpu/bin/python").exists() and not list((tmp_path / ".venv-cpu").glob(".made-from-*"))
    assert other.exists()


@pytest.mark.parametrize(
    ("goal", "environment"), [("test", ".venv-cpu"), ("demo", ".venv-cpu"), ("check", ".venv-gpu")]
)
def test_what_trains_on_a_cpu_has_an_environment_for_it_beside_that_of_a_gpu(
    tmp_path: Path, goal: str, environment: str
) -> None:
    driver = program(tmp_path, "nvidia-smi", "exit 0")
    done = make(tmp_path, "--dry-run", goal, PATH=first_in_path(driver))
    assert f"setting up {environment} " in done.stdout
    assert f"rm -rf {environment}\n" in done.stdout and done.stdout.count("rm -rf") == 1


@pytest.mark.parametrize(
    ("words", "environment"),
    [((), ".venv-cpu"), (("HARDWARE=cpu",), ".venv-cpu"), (("HARDWARE=h100x1",), ".venv-gpu")],
)
def test_findings_on_a_gpu_have_an_environment_for_it(tmp_path: Path, words: tuple[str, ...], environment: str) -> None:
    driver = program(tmp_path, "nvidia-smi", "exit 0")
    done = make(tmp_path, "--dry-run", "findings", *words, PATH=first_in_path(driver))
    assert f"setting up {environment} " in done.stdout, done.stderr


def test_clean_removes_what_it_says_and_nothing_else(tmp_path: Path) -> None:
    gone = (".venv-cpu/x", ".pytest_cache/x", "eval/scoring/__pycache__/x", "outputs/demo/x")
    kept = (".venv-gpu/lib/__pycache__/x", "data/x", "runs/__pycache__/x", "outputs/mine/x", "eval/scoring/x")
    for name in (*gone, *kept):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert make(tmp_path, "clean").returncode == 0
    assert [name for name in (*gone, *kept) if (tmp_path / name).exists()] == list(kept)
    assert make(tmp_path, "clean", "ACCEL=gpu").returncode == 0
    assert not (tmp_path / ".venv-gpu").exists()


def test_help_lists_every_target(tmp_path: Path) -> None:
    done = make(tmp_path)
    assert done.returncode == 0
    for target in ("demo", "test", "test-full", "smoke-all", "findings", "check", "lint", "clean"):
        assert f"make {target} " in done.stdout


@pytest.mark.parametrize(("driver", "status"), [("570.133.20", 2), ("580.95.05", 0)])
def test_a_driver_that_cuda_13_does_not_take_is_refused_before_anything_is_installed(
    tmp_path: Path, driver: str, status: int
) -> None:
    program(tmp_path, "nvidia-smi", f"echo {driver}")
    python = program(tmp_path, "python-env", ENVIRONMENT)
    done = make(tmp_path, "setup", "ACCEL=gpu", f"PYTHON={python}", PATH=first_in_path(python))
    assert done.returncode == status, done.stderr
    if status:
        assert_refused(done, tmp_path, driver, "CUDA 13", "580 or newer")


# In the place of a Python that takes minutes to fill an environment: its pip writes down what it is asked.
ENVIRONMENT = """[ "$1" = -m ] || exit 0
mkdir -p "$3/bin"
printf '#!/bin/sh\\necho "$@" >>"%s/asked"\\n' "$PWD" >"$3/bin/pip"
chmod +x "$3/bin/pip\""""


def test_a_wheel_of_flash_attn_is_installed_where_one_is_named(tmp_path: Path) -> None:
    python = program(tmp_path, "python-env", ENVIRONMENT)
    wheel = "https://example.org/flash_attn-2.8.3-cp312-cp312-linux_x86_64.whl"
    done = make(tmp_path, "setup", "ACCEL=gpu", f"PYTHON={python}", f"FLASH_ATTN_WHEEL={wheel}")
    assert done.returncode == 0, done.stderr
    *_, last = (tmp_path / "asked").read_text().splitlines()
    assert last.endswith(f"--no-deps {wheel}")
