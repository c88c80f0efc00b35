"""Supervised fine-tuning through its command: real trl on the tiny model."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.commands import UserError
from data_prep import parquet
from reward_fns import drg
from reward_fns.drg import ms_drg
from reward_fns.task import TASKS
from sft import titles
from sft.train import main
from sft.training.examples import inputs, load
from sft.training.settings import Source
from tests.conftest import ROOT, World, assert_refused, run_command, run_process

TINY = ("--config", "recipes/drg_sapphire/sft/tiny.yaml", "--per_device_train_batch_size", 8)


def places(world: World) -> dict[str, str]:
    return {"DATA_DIR": str(world.data), "TRACES": str(world.mimic / "traces.parquet")}


def sft(world: World, out: Path, *flags: object) -> subprocess.CompletedProcess[str]:
    words = ("sft.train", *TINY, "--model", world.model, "--output_dir", out, "--max_steps", 4, *flags)
    return run_process(*words, **places(world))


def source(world: World, **keys: object) -> Source:
    keys = {"cases": world.data / "drg/sft/full_75.parquet", "traces": world.mimic / "traces.parquet"} | keys
    return Source(model=str(world.model), **{key: str(v) if isinstance(v, Path) else v for key, v in keys.items()})


def losses(run: Path) -> list[float]:
    rows = [json.loads(line)["data"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows if "loss" in row]


def test_training_lowers_the_loss_and_leaves_a_model_that_loads(world: World, trained: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    first, *_, last = losses(trained)
    assert last < first
    after = AutoModelForCausalLM.from_pretrained(trained).state_dict()
    before = AutoModelForCausalLM.from_pretrained(world.model).state_dict()
    assert any((after[name] != before[name]).any() for name in before)
    assert AutoTokenizer.from_pretrained(trained).chat_template
    assert not list(trained.glob("checkpoint-*"))


def test_what_is_shown_of_a_training_is_a_line_now_and_then(trained: Path) -> None:
    shown = (trained / "stderr.txt").read_text()
    steps = [line for line in shown.splitlines() if line.startswith("step ")]
    assert 2 <= len(steps) <= 4 and steps[0].startswith("step 1/4  loss ") and steps[-1].startswith("step 4/4  loss ")
    assert "min left" in steps[0] and "min left" not in steps[-1]
    assert "'loss'" not in shown + (trained / "stdout.txt").read_text() and "\r" not in shown


def test_a_finished_run_is_not_overwritten(world: World, trained: Path) -> None:
    again = run_command("sft.train", *TINY, "--model", world.model, "--output_dir", trained, **places(world))
    assert_refused(again, "finished run", "--fresh")


def test_accepted_traces_earn_the_maximum_as_completions(world: World) -> None:
    rows = [row for row in pq.read_table(world.mimic / "traces.parquet").to_pylist() if row["task"] == "drg"]
    for row in [row for row in rows if row["accepted"]][:200]:
        written = TASKS["drg"].completion(row["reasoning"], row["answer"])
        assert drg.compute_score("mimic_drg", written, row["ground_truth"], accuracy="strict")["score"] == 2


def test_only_accepted_leaves_out_traces_with_a_wrong_answer(world: World) -> None:
    assert 0 < len(load(source(world))) < len(load(source(world, only_accepted=False)))


def test_the_title_questions_hold_every_title_and_every_mdc() -> None:
    lists = [example.completion.split("\n") for example in titles.questions()]
    assert len(lists) == 28
    everything, *parts = lists
    assert everything == [drg.title for drg in ms_drg.DRGS]
    assert sorted(title for part in parts for title in part) == sorted(everything)
    asked = [example.prompt[0]["content"] for example in titles.questions()]
    assert len(set(asked)) == 28 and not any("{" in text for text in asked)


def test_titles_are_added_to_the_cases(world: World) -> None:
    assert len(load(source(world, titles=True))) == len(load(source(world))) + 28


def test_requests_add_the_answer_conditioned_form_of_every_trace(world: World) -> None:
    plain, both = load(source(world)), load(source(world, requests=True))
    assert len(both) == 2 * len(plain)
    asked, request = both[0], both[1]
    assert request["completion"] == asked["completion"]
    answer = re.search("<answer>\n(.*)\n</answer>", asked["completion"][0]["content"])[1]
    assert f"DRG: {answer}" in request["prompt"][0]["content"]
    assert asked["prompt"][-1]["content"] in request["prompt"][0]["content"]


def test_outcome_only_rows_are_the_answer_alone(world: World) -> None:
    rows = load(source(world, style="outcome", traces=None))
    golds = parquet.golds(world.data / "drg/sft/full_75.parquet")
    assert len(rows) == len(golds)
    for row, gold in zip(rows, golds, strict=True):
        written = row["completion"][0]["content"]
        assert len(written.split()) == 5 + len(gold.split())
        assert drg.compute_score("mimic_drg", written, gold, accuracy="strict")["score"] == 2


def test_bad_sources_are_named(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = pa.table({"prompt": [[{"role": "user", "content": "Why?"}]], "completion": [[]]})
    pq.write_table(empty, tmp_path / "empty.parquet")
    for name, value in places(world).items():
        monkeypatch.setenv(name, value)
    for flags, said in (
        (("--cases", "nowhere.parquet"), "nowhere.parquet does not exist; run `python -m data_prep.drg`"),
        (("--style", "haiku"), "no trace style 'haiku'; there is cot_first"),
        (("--model", tmp_path / "none"), "none does not exist; make one with `python -m data_prep.tiny_model`"),
        (("--max_length", 50), "longer than max_length 50 .*rows 0, 1.*--max-prompt-tokens"),
        (("--cases", tmp_path / "empty.parquet"), "empty.parquet: rows 0 have no completion"),
        (("--lora_rank", -1), "lora_rank -1"),
    ):
        words = [*TINY, "--model", world.model, "--output_dir", tmp_path / "out", *flags]
        with pytest.raises(UserError, match=said):
            main([str(word) for word in words])
    refused = run_command("sft.train", *TINY, "--output_dir", tmp_path, "--style", "haiku", BASE_MODEL=str(world.model))
    assert_refused(refused, "haiku")


def test_a_bad_configuration_is_named(tmp_path: Path) -> None:
    for text, said in (
        ("model: m\noutput_dir: o\nlearning_rat: 1\n", "no key learning_rat, did you mean learning_rate?"),
        ("base: gone.yaml\nmodel: m\n", "gone.yaml does not exist"),
        ("model: [m\n", "is no YAML"),
        ("- model\n", "holds no keys"),
        ("model: ${nobody}\n", "nobody"),
        ("model: m\nhardware: mars\n", "mars.yaml does not exist; there is cpu"),
        ("model: m\nlearning_rate: fast\n", "bad.yaml: argument --learning_rate/--learning-rate: invalid float value"),
        ("model: m\nlora_rank: [8]\n", "bad.yaml: lora_rank: Value '[8]'"),
        ("output_dir: o\n", "--model must be said"),
    ):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(UserError, match=re.escape(said)):
            main(["--config", str(tmp_path / "bad.yaml")])


def test_traces_are_an_input_only_where_completions_come_from_them(world: World, tmp_path: Path) -> None:
    cases, traces = str(world.data / "drg/sft/cold.parquet"), str(tmp_path / "gone.parquet")
    written = tmp_path / "written.parquet"
    chat = pa.array([[{"role": "user", "content": "x"}]], parquet.MESSAGES)
    pq.write_table(pa.table({"prompt": chat, "completion": chat}), written)
    for given, style, wanted in (
        (cases, "cot_first", [cases, traces]),
        (cases, "outcome", [cases]),
        (str(written), "cot_first", [str(written)]),
    ):
        assert inputs(Source(model="", cases=given, traces=traces, style=style)) == wanted


@pytest.mark.slow
def test_the_same_seed_gives_the_same_curve_and_another_a_different_one(world: World, tmp_path: Path) -> None:
    for run, seed in (("one", 1), ("again", 1), ("other", 2)):
        done = sft(world, tmp_path / run, "--logging_steps", 1, "--max_steps", 10, "--seed", seed)
        assert done.returncode == 0, done.stderr
    assert losses(tmp_path / "one") == losses(tmp_path / "again") != losses(tmp_path / "other")


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_where_an_unbroken_one_does(world: World, tmp_path: Path) -> None:
    flags = ("--max_steps", 16, "--logging_steps", 1, "--save_strategy", "steps", "--save_steps", 5)
    assert sft(world, tmp_path / "whole", *flags).returncode == 0
    out = tmp_path / "broken"
    words = [sys.executable, "-m", "sft.train", *TINY, "--model", world.model, *flags, "--output_dir", out]
    process = subprocess.Popen([str(word) for word in words], env={**os.environ, **places(world)}, cwd=ROOT)
    while not (out / "checkpoint-5/trainer_state.json").exists() and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not (out / "run.json").exists()
    done = sft(world, out, *flags)
    assert done.returncode == 0, done.stderr
    whole, broken = losses(tmp_path / "whole"), losses(out)
    assert len(whole) == len(broken) == 16
    assert broken == pytest.approx(whole, abs=1e-3)


@pytest.mark.slow
def test_adapters_are_merged_into_a_model_that_loads(world: World, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    done = sft(world, tmp_path / "lora", "--lora_rank", 4, "--logging_steps", 1)
    assert done.returncode == 0, done.stderr
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "lora").eval()
    assert merged.dtype == torch.float32  # half precision would round the adapters away
    base = AutoModelForCausalLM.from_pretrained(world.model, dtype=torch.float32)
    trained = PeftModel.from_pretrained(base, tmp_path / "lora/adapter").eval()
    chat = parquet.read(world.data / "drg/test.parquet")["prompt"][0].as_py()
    ids = AutoTokenizer.from_pretrained(tmp_path / "lora").apply_chat_template(
        chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    said = [model.generate(**ids, max_new_tokens=40, do_sample=False) for model in (trained, merged)]
    assert said[0].tolist() == said[1].tolist()
    with torch.no_grad():
        one, other = (model(said[0]).logits.log_softmax(-1) for model in (trained, merged))
    assert (one - other).abs().max() < 1e-3
    before = AutoModelForCausalLM.from_pretrained(world.model).state_dict()
    changed = {name for name, value in merged.state_dict().items() if (value != before[name]).any()}
    assert changed and all("proj" in name for name in changed)
