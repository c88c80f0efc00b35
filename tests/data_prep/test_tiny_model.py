"""The tiny model is a model folder like any other, with a compact tokenizer whose tags are ordinary text."""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from data_prep import parquet, prompts
from data_prep.cohort import mimic, sections
from data_prep.tiny_model import build_model, tokens_per_word
from reward_fns.task import TASKS
from tests.conftest import World, assert_refused, run_command


@pytest.fixture(scope="module")
def tokenizer(world: World) -> AutoTokenizer:
    return AutoTokenizer.from_pretrained(world.model)


def texts(world: World) -> list[str]:
    rows = parquet.read_traces(world.mimic / "traces.parquet").to_pylist()
    return [TASKS["drg"].completion(row["reasoning"], row["answer"]) for row in rows[:200]]


def test_a_word_of_a_course_takes_at_most_one_and_a_quarter_tokens(world: World, tokenizer: AutoTokenizer) -> None:
    notes = [text for batch in mimic.notes(world.mimic / "note", ("text",)) for text in batch.column(0).to_pylist()]
    courses = [sections.unwrapped(course) for text in notes if (course := sections.hospital_course(text))]
    assert tokens_per_word(tokenizer, courses) <= 1.25


def test_text_survives_the_tokenizer_with_special_tokens_skipped(world: World, tokenizer: AutoTokenizer) -> None:
    for text in [*texts(world), "Naïve 40° µg — “quoted”\n\ttab", "<|im_start"]:
        assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text


def test_transformers_reads_the_tokenizer_file_as_it_is(world: World, tokenizer: AutoTokenizer) -> None:
    plain = Tokenizer.from_file(str(world.model / "tokenizer.json"))
    for text in texts(world):
        assert tokenizer(text)["input_ids"] == plain.encode(text).ids


def test_tags_are_compact_and_no_special_tokens(tokenizer: AutoTokenizer) -> None:
    for tag in ("<think>\n", "</think>\n", "<answer>\n", "</answer>", "<diagnosis>\n", "</diagnosis>"):
        ids = tokenizer(tag)["input_ids"]
        assert len(ids) <= 3
        assert not set(ids) & set(tokenizer.all_special_ids)
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")


def test_the_chat_template_has_qwens_headers(tokenizer: AutoTokenizer) -> None:
    chat = prompts.messages("drg", "A note.")
    text = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    system, user = (message["content"] for message in chat)
    assert text == (
        f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"
    )
    answered = tokenizer.apply_chat_template([*chat, {"role": "assistant", "content": "Yes."}], tokenize=False)
    assert answered == text + "Yes.<|im_end|>\n"


def test_the_model_loads_runs_and_depends_only_on_its_seed(world: World, tokenizer: AutoTokenizer) -> None:
    model = AutoModelForCausalLM.from_pretrained(world.model)
    assert type(model).__name__ == "Qwen2ForCausalLM"
    assert model.dtype == torch.float32
    assert model.config.tie_word_embeddings and model.config.vocab_size == len(tokenizer)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    ids = tokenizer("A note.", return_tensors="pt")
    assert torch.isfinite(model(**ids).logits).all()
    same, other = (build_model(tokenizer, 64, 2, seed).state_dict() for seed in (0, 1))
    name = "model.embed_tokens.weight"
    assert torch.equal(same[name], model.state_dict()[name])
    assert not torch.equal(other[name], same[name])


def test_bad_arguments_are_a_sentence(world: World, tmp_path: Path) -> None:
    call = ("data_prep.tiny_model", "--note", world.mimic / "note", "--out", tmp_path / "out")
    assert_refused(run_command(*call, "--hidden", 100), "--hidden 100", "32")
    assert_refused(run_command(*call, "--vocab", 100), "--vocab")
    assert_refused(
        run_command("data_prep.tiny_model", "--note", tmp_path, "--out", tmp_path / "out"), "discharge.csv.gz"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_the_users_own_stays_as_it_is(world: World, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("mine")  # a name that it writes, too
    call = ("data_prep.tiny_model", "--note", world.mimic / "note", "--out")
    assert_refused(run_command(*call, tmp_path / "model"), "model/config.json was not written by this command")
    assert_refused(run_command(*call, tmp_path / "model/config.json"), "config.json is no folder")
    assert (tmp_path / "model/config.json").read_text() == "mine"
