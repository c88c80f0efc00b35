"""Supervised fine-tuning through its command: real trl on the tiny model."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reward_fns import drg
from sft.examples import check_lengths, completion, load
from tests.conftest import World, assert_refused, run_command

TINY = ("--config", "recipes/drg_sapphire/sft/tiny.yaml", "--per_device_train_batch_size", 8)


def sft(world: World, out: Path, *flags: object) -> object:
    environment = {"DATA_DIR": str(world.data), "TRACES": str(world.mimic / "traces.parquet"), "MODEL_PATH": str(out)}
    words = ("sft.train", *TINY, "--model", world.model, "--max_steps", 4, *flags)
    return run_command(*words, BASE_MODEL=str(world.model), **environment)


def test_training_lowers_the_loss_and_leaves_a_model_that_loads(world: World, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    done = sft(world, tmp_path / "sft", "--logging_steps", 1)
    assert done.returncode == 0, done.stderr
    losses = [
        json.loads(line)["data"].get("loss") for line in (tmp_path / "sft/metrics.jsonl").read_text().splitlines()
    ]
    assert losses[3] < losses[0]
    trained = AutoModelForCausalLM.from_pretrained(tmp_path / "sft").state_dict()
    before = AutoModelForCausalLM.from_pretrained(world.model).state_dict()
    assert any((trained[name] != before[name]).any() for name in before)
    assert AutoTokenizer.from_pretrained(tmp_path / "sft").chat_template
    assert not list((tmp_path / "sft").glob("checkpoint-*"))
    assert_refused(sft(world, tmp_path / "sft"), "finished run", "--fresh")


def test_loss_is_on_the_completion_and_its_end_alone(world: World, tmp_path: Path) -> None:
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    examples = load(world.data / "drg/sft/full_75.parquet", world.mimic / "traces.parquet").select([0])
    tokenizer = AutoTokenizer.from_pretrained(world.model)
    config = SFTConfig(str(tmp_path), max_length=512, bf16=False, use_cpu=True, report_to="none")
    trainer = SFTTrainer(str(world.model), args=config, train_dataset=examples, processing_class=tokenizer)
    batch = next(iter(trainer.get_train_dataloader()))
    trained = [token for token, label in zip(batch["input_ids"][0], batch["labels"][0], strict=True) if label != -100]
    assert tokenizer.decode(trained) == f"{examples[0]['completion'][0]['content']}<|im_end|>\n"


def test_accepted_traces_earn_the_maximum_as_completions(world: World) -> None:
    rows = [row for row in pq.read_table(world.mimic / "traces.parquet").to_pylist() if row["accepted"]]
    for row in rows[:200]:
        written = completion("drg", row["reasoning"], row["answer"])
        assert drg.compute_score("mimic_drg", written, row["ground_truth"], accuracy="strict")["score"] == 2


def test_only_accepted_leaves_out_traces_with_a_wrong_answer(world: World) -> None:
    source = (world.data / "drg/sft/full_75.parquet", world.mimic / "traces.parquet", "cot_first")
    assert 0 < len(load(*source, only_accepted=True)) < len(load(*source, only_accepted=False))


def test_bad_sources_are_named(world: World, tmp_path: Path) -> None:
    assert_refused(sft(world, tmp_path, "--cases", "nowhere.parquet"), "nowhere.parquet", "data_prep.drg")
    assert_refused(sft(world, tmp_path, "--style", "haiku"), "haiku", "cot_first")
    assert_refused(sft(world, tmp_path, "--model", tmp_path / "none"), "none", "tiny_model")
    assert_refused(sft(world, tmp_path, "--max_length", 50), "max_length 50", "rows 0, 1", "--max-prompt-tokens")
    empty = pa.table({"prompt": [[{"role": "user", "content": "Why?"}]], "completion": [[]]})
    pq.write_table(empty, tmp_path / "empty.parquet")
    assert_refused(sft(world, tmp_path, "--cases", tmp_path / "empty.parquet"), "rows 0", "completion")
    assert_refused(sft(world, tmp_path, "--learning_speed", 1), "learning_speed")
    (tmp_path / "typo.yaml").write_text("modell: x\n")
    assert_refused(run_command("sft.train", "--config", tmp_path / "typo.yaml"), "typo.yaml", "modell")


def test_the_longest_example_is_counted_with_its_template(world: World) -> None:
    from transformers import AutoTokenizer

    examples = load(world.data / "drg/sft/full_75.parquet", world.mimic / "traces.parquet")
    tokenizer = AutoTokenizer.from_pretrained(world.model)
    longest = check_lengths(examples, tokenizer, 512, "here")
    assert check_lengths(examples, tokenizer, longest, "here") == longest
    with pytest.raises(Exception, match="would lose the end"):
        check_lengths(examples, tokenizer, longest - 1, "here")
