"""What a machine cannot run is one sentence, before Ray or a judge starts. Its driver is a script that answers."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from recipes.launcher.compose import compose
from recipes.sizing import host
from recipes.sizing.refusals import visible
from tests.conftest import ROOT, World, assert_refused, run_command, run_process

RECIPE, ICD = "drg_sapphire/strict", "deepicd_r1/sft_grpo"
HUB = {"MODEL_PATH": "Qwen/Qwen2.5-7B-Instruct"}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Machine":
    for name in ("HF_HUB_OFFLINE", "CUDA_VISIBLE_DEVICES", "JUDGE_URL", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    machine = Machine(tmp_path)
    monkeypatch.syspath_prepend(machine.place / "site")
    return machine


class Machine:
    """A node with GPUs, and the packages of a GPU's environment by name."""

    def __init__(self, place: Path) -> None:
        self.place = place
        (place / "site/vllm-0.24.0.dist-info").mkdir(parents=True)
        (place / "site/vllm-0.24.0.dist-info/METADATA").write_text(
            "Metadata-Version: 2.1\nName: vllm\nVersion: 0.24.0\n"
        )
        (place / "site/flash_attn").mkdir()
        (place / "site/flash_attn/__init__.py").touch()
        self.gpus(8)

    def gpus(self, count: int, mib: int = 81559, driver: str = "580.95.05", busy: int = 0) -> "Machine":
        rows = [f"{i}, GPU-{i}abc, {mib}, {mib * 9 // 10 if i < busy else 4}, {driver}" for i in range(count)]
        program = self.place / "bin/nvidia-smi"
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\ncat <<'END'\n" + "\n".join(rows) + "\nEND\n")
        program.chmod(0o755)
        return self

    def environment(self, **more: str) -> dict[str, str]:
        path = f"{self.place / 'bin'}:{os.environ['PATH']}"
        return {"PATH": path, "PYTHONPATH": f"{ROOT}:{self.place / 'site'}", **HUB, **more}

    def check(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        visible.cache_clear()
        importlib.invalidate_caches()
        seats = () if any("num_cpus" in word for word in words) else ("ray_kwargs.ray_init.num_cpus=64",)
        return run_command("recipes.check", *words, *seats, **self.environment(**environment))


def test_a_driver_that_is_too_old_is_refused(machine: Machine) -> None:
    assert_refused(machine.gpus(4, driver="570.133.20").check(RECIPE), "570.133.20", "CUDA 13", "580 or newer")


def test_more_gpus_than_are_visible_and_free_are_refused(machine: Machine) -> None:
    assert_refused(machine.gpus(2).check(RECIPE), "asks for 4 GPUs", "2 are visible", "hardware=h100x1")
    assert_refused(machine.gpus(8).check(RECIPE, CUDA_VISIBLE_DEVICES="0,1,2"), "3 are visible")
    assert_refused(machine.gpus(8).check(RECIPE, CUDA_VISIBLE_DEVICES=""), "0 are visible")
    assert_refused(machine.gpus(4, busy=1).check(RECIPE), "4 are visible, of which 1 are in use", "end what uses")
    # enough of them: it goes on, to the data that are not there
    assert_refused(machine.gpus(4).check(RECIPE, DATA_DIR="nowhere"), "the data file nowhere")
    assert_refused(machine.gpus(5, busy=1).check(RECIPE, DATA_DIR="nowhere"), "the data file nowhere")


def test_a_judge_needs_a_gpu_of_its_own(machine: Machine) -> None:
    assert_refused(machine.gpus(4).check(ICD), "4 GPUs and the judge for 1 more", "4 are visible", "JUDGE_URL")
    assert_refused(machine.gpus(5).check(ICD, DATA_DIR="nowhere"), "the data file nowhere")
    elsewhere = {"JUDGE_URL": "http://judge:8001/v1", "DATA_DIR": "nowhere"}
    assert_refused(machine.gpus(4).check(ICD, **elsewhere), "the data file nowhere")


def test_a_judge_is_not_loaded_beside_a_run_that_lacks_gpus(machine: Machine) -> None:
    words = ("bash", "recipes/judge.sh", "meta-llama/Llama-3.1-8B-Instruct", "--", "bash", "recipes/launch.sh", ICD)
    seats = ("name=mine", "ray_kwargs.ray_init.num_cpus=64")
    environment = {"PYTHON": sys.executable, "RUNS_DIR": str(machine.place / "runs"), "JUDGE_PORT": "48731"}
    done = run_process(*words, *seats, **machine.gpus(4).environment(**environment))
    assert_refused(done, "asks for 4 GPUs", "3 are visible (the judge has its own)")
    assert "judge: starting" not in done.stderr


def test_a_gpu_smaller_than_the_profiles_decides(machine: Machine) -> None:
    done = machine.gpus(4, mib=40960).check(RECIPE)
    assert_refused(done, "on each GPU", "41 of its 42.9 may be used", "say actor_rollout_ref.")
    done = machine.gpus(1).check(RECIPE, "hardware=h100x1")
    assert_refused(done, "155 GB on each GPU", "offload_policy=true")
    done = machine.gpus(1).check(RECIPE, "hardware=h100x1", "model=qwen2.5-3b-instruct", "places.model=Qwen/Qwen2.5-3B",
                                 DATA_DIR="nowhere")  # fmt: skip
    assert_refused(done, "the data file nowhere")


def test_flash_attn_is_named_where_it_is_missing(machine: Machine) -> None:
    (machine.place / "site/flash_attn/__init__.py").unlink()
    (machine.place / "site/flash_attn").rmdir()
    done = machine.check(RECIPE)
    assert_refused(done, "flash-attn is not installed", "FLASH_ATTN_WHEEL", "attn_implementation=sdpa")
    sdpa = re.search(r"actor_rollout_ref\S+=sdpa", done.stderr).group()
    assert_refused(machine.check(RECIPE, sdpa, DATA_DIR="nowhere"), "the data file nowhere")


def test_fewer_processors_than_verl_reserves_are_refused(machine: Machine) -> None:
    assert host.cpus(compose(RECIPE)) == 3 * 4 + 8 + 2
    assert host.cpus(compose(RECIPE, ["hardware=h100x1"])) == 3 + 1 + 2
    done = machine.check(RECIPE, "ray_kwargs.ray_init.num_cpus=21")
    assert_refused(done, "verl reserves 22 processors", "there are 21", "--cpus-per-task=22", "num_cpus=22")


def test_a_checkpoint_has_sixteen_bytes_a_parameter(machine: Machine, world: World) -> None:
    """32B: 3 checkpoints of 524 GB, though the start model is a name on the hub, and 66 GB to fetch it."""
    words = ("model=qwen2.5-32b-instruct", "hardware=h100x8", "places.model=Qwen/Qwen2.5-32B-Instruct")
    done = machine.check("deepicd_r1/no_judge", *words, "trainer.max_actor_ckpt_to_keep=2000", DATA_DIR=str(world.data))
    assert_refused(done, "the run needs about", "trainer.max_actor_ckpt_to_keep")
    said = int(re.search(r"about (\d+) GB", done.stderr).group(1))
    assert said == round((2**30 + 2001 * 16 * 32_763_876_352 + 2 * 32_763_876_352) / 1e9)


NO_NUMBERS = [
    ("data.train_batch_size=abc", "no whole number"),
    ("data.train_batch_size=null", "no whole number"),
    ("data.max_prompt_length=abc", "no whole number"),
    ("actor_rollout_ref.rollout.gpu_memory_utilization=abc", "no number"),
    ("trainer.n_gpus_per_node=0", "at least 1"),
    ("trainer.nnodes=0", "at least 1"),
    ("actor_rollout_ref.rollout.tensor_model_parallel_size=0", "at least 1"),
    ("actor_rollout_ref.actor.fsdp_config.ulysses_sequence_parallel_size=0", "at least 1"),
    ("study.gpu_gb=abc", "no number"),
    ("study.gpu_gb=null", "say study.gpu_gb=80"),
    ("trainer=null", "keys stand below it"),
    ("trainer.v1.medcode=3", "keys stand below it"),
    ("study=null", "keys stand below it"),
    ("data=5", "override 'data=5' cannot be read"),
]


@pytest.mark.parametrize(("override", "said"), NO_NUMBERS, ids=[override for override, _ in NO_NUMBERS])
def test_what_cannot_be_counted_is_a_sentence_before_anything_is_shown(override: str, said: str) -> None:
    for what in (RECIPE, "table1/strict"):
        done = run_command("recipes.memory", what, override)
        assert_refused(done, override.partition("=")[0], said)
        assert override == "study.gpu_gb=null" or not done.stdout
    if "gpu_gb=null" not in override:
        assert_refused(run_command("recipes.check", RECIPE, override), override.partition("=")[0], said)


@pytest.mark.parametrize("row", ["table1/strict", "table2/90/sft", "table3/qwen32b"])
def test_a_row_on_a_cpu_is_refused_before_a_table_is_shown(row: str) -> None:
    done = run_command("recipes.memory", row, "hardware=cpu")
    assert_refused(done, "no GPU memory")
    assert not done.stdout
