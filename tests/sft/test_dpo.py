"""DPO through its command: real trl on the tiny model, pairs from traces and from sampled completions."""

import json
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common import record
from common.commands import UserError
from data_prep import parquet
from eval.generation import parts
from reward_fns.task import TASKS
from sft.dpo import main
from sft.pairs import SCHEMA
from tests.conftest import World, assert_refused, run_command, run_process

CONFIG = ("--config", "recipes/drg_sapphire/sft/staged_dpo.yaml", "--hardware", "cpu")
WRONG = TASKS["drg"].completion("The course speaks of pain, and of nothing else that counts.", "CHEST PAIN")
SETTINGS = {
    "model": {"name": "m", "fingerprint": "f"},
    "data": {"name": "d", "sha256": "s", "limit": None},
    "sampling": {"n": 3},
    "seed": 0,
    "prefill": "",
    "dtype": "float32",
}


def generations(folder: Path, rows: list[dict]) -> Path:
    """A folder as eval.generate leaves it."""
    folder.mkdir()
    record.write(folder, settings=SETTINGS, prompts=len(rows), finished=True)
    parts.add(folder, pa.Table.from_pylist(rows, schema=parts.SCHEMA), SETTINGS)
    return folder


@pytest.fixture(scope="module")
def pairs(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of every training case: its accepted trace, and a completion that claims chest pain."""
    place = tmp_path_factory.mktemp("pairs")
    table = parquet.read(world.data / "drg/sft/full_75.parquet")
    columns = (parquet.infos(table, "index"), parquet.infos(table, "hadm_id"), parquet.golds(table))
    rows = [
        {
            "index": index, "hadm_id": hadm_id, "subject_id": 1, "data_source": "mimic_drg", "ground_truth": gold,
            "completions": [TASKS["drg"].completion("It is.", gold), WRONG, WRONG.replace("speaks", "talks")],
            "n_tokens": [9, 9, 9], "finish_reason": ["stop", "length" if hadm_id % 2 else "stop", "stop"],
        }
        for index, hadm_id, gold in zip(*columns, strict=True)
    ]  # fmt: skip
    done = run_command(
        *("sft.pairs", "--cases", world.data / "drg/sft/full_75.parquet", "--out", place / "pairs.parquet"),
        *("--traces", world.mimic / "traces.parquet", "--generations", generations(place / "samples", rows)),
    )
    assert done.returncode == 0, done.stderr
    assert "without a trace" in done.stdout
    return place / "pairs.parquet"


def dpo(world: World, pairs: Path, out: Path, *flags: object) -> subprocess.CompletedProcess[str]:
    words = ("sft.dpo", *CONFIG, "--model", world.model, "--pairs", pairs, "--output_dir", out)
    return run_process(*words, "--learning_rate", 1e-4, "--max_steps", 8, *flags)


def test_pairs_set_the_accepted_trace_against_the_first_whole_wrong_completion(world: World, pairs: Path) -> None:
    rows = pq.read_table(pairs).to_pylist()
    accepted = {
        (row["hadm_id"], TASKS["drg"].completion(row["reasoning"], row["answer"]))
        for row in parquet.read_traces(world.mimic / "traces.parquet").to_pylist()
        if row["accepted"] and row["style"] == "cot_first"
    }
    assert len(rows) > 100
    for row in rows:
        assert (row["hadm_id"], row["chosen"][0]["content"]) in accepted
        assert row["rejected"][0]["content"] == (WRONG.replace("speaks", "talks") if row["hadm_id"] % 2 else WRONG)


@pytest.mark.slow
def test_training_lifts_the_margin_on_held_out_cases_and_leaves_a_model_that_loads(
    world: World, pairs: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    done = dpo(world, pairs, tmp_path / "dpo")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "dpo/run.json").read_text())
    assert record["metrics"]["held_out_margin"] > 0.1
    AutoModelForCausalLM.from_pretrained(tmp_path / "dpo")
    assert AutoTokenizer.from_pretrained(tmp_path / "dpo").chat_template
    assert_refused(dpo(world, pairs, tmp_path / "dpo"), "finished run", "--fresh")


def test_bad_pairs_are_named(world: World, pairs: Path, tmp_path: Path) -> None:
    rows = pq.read_table(pairs).to_pylist()
    rows[3]["rejected"] = []
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), tmp_path / "hole.parquet")
    for flags, said in (
        (("--pairs", tmp_path / "none.parquet"), "none.parquet does not exist; run `python -m sft.pairs`"),
        (("--pairs", tmp_path / "hole.parquet"), "rows 3 have no rejected"),
        (("--max_length", 60), "longer than max_length 60"),
        (("--held_out", 1.5), "held_out 1.5"),
    ):
        words = [*CONFIG, "--model", world.model, "--pairs", pairs, "--output_dir", tmp_path / "out", *flags]
        with pytest.raises(UserError, match=said):
            main([str(word) for word in words])


def test_no_pair_at_all_is_refused_with_the_counts(world: World, tmp_path: Path) -> None:
    done = run_command(
        *("sft.pairs", "--cases", world.data / "drg/test.parquet", "--out", tmp_path / "pairs.parquet"),
        *("--traces", world.mimic / "traces.parquet", "--generations", generations(tmp_path / "samples", [])),
    )
    assert_refused(done, "no pair", "without a wrong completion")
    assert not (tmp_path / "pairs.parquet").exists()
