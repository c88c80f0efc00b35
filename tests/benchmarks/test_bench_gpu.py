"""The bench of a GPU: what it counts, what it refuses, and the whole of it in its smallest size."""

import json
from pathlib import Path

import pytest

from benchmarks.card import Card, operations
from recipes.sizing.shapes import KNOWN
from tests.conftest import assert_refused, run_process


@pytest.mark.parametrize(
    ("name", "peak"),
    [("NVIDIA H100 80GB HBM3", 989e12), ("NVIDIA A100-SXM4-80GB", 312e12), ("NVIDIA A10", 125e12), ("Some card", 0)],
)
def test_a_card_is_known_by_its_name(name: str, peak: float) -> None:
    assert Card(name, 80e9).peak == peak


def test_a_token_takes_six_operations_a_weight_and_attention() -> None:
    small, large = KNOWN["Qwen/Qwen2.5-0.5B"], KNOWN["Qwen/Qwen2.5-7B"]
    assert operations(small, 0) == 6 * 494_032_768  # its embedding is its output layer
    assert operations(large, 0) == 6 * (7_615_616_512 - 152_064 * 3_584)
    # forward: a score and a sum of values, two operations each, over half of 1,000 tokens; backward: twice that
    assert operations(large, 1000) - operations(large, 0) == 3 * 2 * 2 * 500 * 28 * 3_584


def test_a_machine_without_a_gpu_is_told(tmp_path: Path) -> None:
    done = run_process("benchmarks.gpu", "--out", tmp_path / "b", PATH="/usr/bin:/bin", CUDA_VISIBLE_DEVICES="")
    assert_refused(done, "there is no GPU here; --quick")
    assert not (tmp_path / "b").exists()


@pytest.mark.slow
def test_the_bench_runs_in_its_smallest_size_and_leaves_out_what_it_has_measured(tmp_path: Path) -> None:
    words = ("benchmarks.gpu", "--quick", "--out", tmp_path)
    done = run_process(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    file = tmp_path / "tiny" / "bench.json"
    parts = json.loads(file.read_text())["parts"]
    assert parts["sft"]["tokens_per_second"] > 0 and parts["sft"]["mean_length"] > 50
    assert parts["generate"]["tokens_per_second"] > 0 and parts["generate"]["plain"] > 0
    for name in ("grpo", "stock"):
        phases = sum(parts[name][key] for key in ("gen", "old_log_prob", "ref", "update_actor"))
        assert 0 < phases <= parts[name]["step"]
    ours, stock = (tmp_path / "tiny" / f"drg_sapphire/strict/{name}/metrics.jsonl" for name in ("ours", "stock"))
    assert "reward/acc/mean" in ours.read_text() and "reward/acc/mean" not in stock.read_text()

    before = file.read_bytes()
    again = run_process(*words)
    assert again.returncode == 0 and again.stdout == done.stdout and file.read_bytes() == before
