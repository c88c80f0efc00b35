"""Another reward is a few lines of YAML: three of them, each launched, and what changes in a real run."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_prep import parquet
from reward_fns.drg.reward import payments
from tests.conftest import World, run_process

ONE_STEP = ("hardware=cpu", "trainer.total_training_steps=1", "data.train_batch_size=8", "trainer.save_freq=-1")
RECIPE = """# @package _global_
defaults:
  - /drg_sapphire/_base
  - _self_
reward:
  custom_reward_function:
"""
OWN = """
def compute_score(data_source, solution_str, ground_truth, extra_info=None, *, bonus):
    long = len(ground_truth) > 30
    return {"score": bonus * long + 0.25, "acc": 0.0, "pred": "", "long": float(long), "reward_error": 0.0}
"""


@pytest.fixture(scope="module")
def terse(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that answers without reasoning: the published format test passes an empty think block, the exact not."""
    place = tmp_path_factory.mktemp("terse")
    cases = parquet.read(world.data / "drg/sft/full_75.parquet")
    answers = [f"<think></think>\n<answer>\n{gold}\n</answer>" for gold in parquet.golds(cases)]
    chats = pa.array([[{"role": "assistant", "content": answer}] for answer in answers], parquet.MESSAGES)
    pq.write_table(pa.table({"prompt": cases["prompt"], "completion": chats}), place / "cases.parquet")
    words = ("--config", "recipes/drg_sapphire/sft/tiny.yaml", "--num_train_epochs", 20, "--save_strategy", "no")
    places = ("--model", world.model, "--cases", place / "cases.parquet", "--output_dir", place / "model")
    done = run_process("sft.train", *words, *places)
    assert done.returncode == 0, done.stderr[-3000:]
    return place / "model"


def outcomes(copy: Path, world: World, model: Path, section: str) -> dict[str, np.ndarray]:
    """Every component of every completion of one step with a recipe of the user's own."""
    (copy / "recipes/own/mine.yaml").write_text(RECIPE + section)
    environment = {**world.environment(copy / "runs"), "MODEL_PATH": str(model)}
    words = ("bash", copy / "recipes/launch.sh", "own/mine", *ONE_STEP, "name=mine")
    done = run_process(*words, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = copy / "runs/own/mine/mine"
    table = pq.read_table(folder / "outcomes.parquet")
    found = {
        name: np.array(table[name].to_pylist(), dtype=float).ravel()
        for name in table.column_names
        if pa.types.is_list(table.schema.field(name).type)
    }
    metrics = json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])["data"]
    assert metrics["critic/score/mean"] == pytest.approx(found["score"].mean(), abs=1e-5)
    return found


@pytest.mark.slow
def test_scheme_and_matching_are_two_lines(copy: Path, world: World, terse: Path) -> None:
    options = "    reward_kwargs:\n      accuracy: balanced\n      matching: published\n"
    found = outcomes(copy, world, terse, options)
    assert (found["format"] == 0).mean() > 0.8  # an empty think block passes the published test
    seen = set(found["accuracy"].tolist())
    assert seen <= payments("balanced") | {0.0} and seen & {1.0, -0.5}  # neither is in the strict table


@pytest.mark.slow
def test_the_exact_matching_sees_the_same_completions_otherwise(copy: Path, world: World, terse: Path) -> None:
    found = outcomes(copy, world, terse, "    reward_kwargs:\n      accuracy: strict\n")
    assert (found["format"] == -2).mean() > 0.8 and set(found["score"].tolist()) <= {-2.0, *payments("strict")}


@pytest.mark.slow
def test_a_users_own_file_is_a_path(copy: Path, world: World, terse: Path) -> None:
    (copy / "mine.py").write_text(OWN)
    options = f"    path: {copy / 'mine.py'}\n    reward_kwargs:\n      bonus: 2.0\n"
    found = outcomes(copy, world, terse, options)
    assert set(found["score"].tolist()) == {0.25, 2.25}
    assert np.allclose(found["score"], 2.0 * found["long"] + 0.25)
