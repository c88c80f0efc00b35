"""Freed memory stays with a process that trains on a CPU: the kernel is not asked for the same pages again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGES = """
import resource, torch

def asked():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def tensors():
    for _ in range(12):  # the heap takes some to find its shape
        torch.ones(8 << 20)  # 32 MB, 8,192 pages of 4 kB
    return asked()

print(-tensors() + tensors())
"""
KEPT = "from common.memory import keep_what_is_freed; keep_what_is_freed()"
VERL = "import verl_ext.cpu"
SFT = """
from transformers import TrainingArguments
from sft.training import run_folder, settings
run_folder.begin(settings.Common(model="x"), TrainingArguments("out", use_cpu=True))
"""


def pages(folder: Path, before: str) -> int:
    """How many pages a process takes anew for twelve tensors, each freed before the next, after running `before`."""
    env = os.environ | {"PYTHONPATH": str(ROOT), "VERL_PLATFORM": "cpu"}
    command = [sys.executable, "-c", before + PAGES]
    return int(subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=True).stdout)


def test_every_tensor_is_taken_from_the_kernel_as_glibc_comes(tmp_path: Path) -> None:
    assert pages(tmp_path, "") > 1000  # whatever the size of the pages


@pytest.mark.parametrize("before", [KEPT, VERL, SFT], ids=["by itself", "in a worker of verl", "in sft"])
def test_what_is_freed_is_taken_again(tmp_path: Path, before: str) -> None:
    assert pages(tmp_path, before) < 100
