"""datasets and verl load every prepared file, as training will."""

import warnings
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset

from data_prep import parquet
from tests.conftest import World

FOLDERS = ("drg", "icd")


def files(world: World, folder: str) -> list[Path]:
    """Every parquet file of a prepared folder."""
    found = sorted((world.data / folder).rglob("*.parquet"))
    assert found
    return found


@pytest.fixture(scope="module")
def rlhf_dataset(world: World) -> Any:
    """verl's data set of one file, with the prompt budget that the files were prepared for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from verl.utils.dataset.rl_dataset import RLHFDataset
    from omegaconf import OmegaConf
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(world.model)

    def load(path: Path) -> Any:
        keys = {"prompt_key": "prompt", "reward_fn_key": "data_source", "max_prompt_length": 384, "truncation": "error",
                "filter_overlong_prompts": True, "filter_overlong_prompts_workers": 1, "return_raw_chat": True,
                "cache_dir": str(world.data / "cache")}  # fmt: skip
        return RLHFDataset(data_files=str(path), tokenizer=tokenizer, config=OmegaConf.create(keys))

    return load


@pytest.mark.parametrize("folder", FOLDERS)
def test_datasets_loads_every_file_row_by_row(world: World, folder: str, tmp_path: Path) -> None:
    for path in files(world, folder):
        loaded = load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(tmp_path))
        assert loaded.to_list() == parquet.read(path).to_pylist(), path.name


@pytest.mark.parametrize("folder", FOLDERS)
def test_verl_loads_every_file_and_drops_no_prompt(world: World, folder: str, rlhf_dataset: Any) -> None:
    for path in files(world, folder):
        rows = parquet.read(path).to_pylist()
        data = rlhf_dataset(path)
        assert len(data) == len(rows), path.name
        for row in (0, len(rows) - 1):
            item = data[row]
            assert list(item["raw_prompt"]) == rows[row]["prompt"]
            assert item["reward_model"]["ground_truth"] == rows[row]["reward_model"]["ground_truth"]
            assert (item["data_source"], item["index"]) == (rows[row]["data_source"], rows[row]["extra_info"]["index"])
