"""data_prep.pretrained: a GGUF file becomes a folder that answers like it and ends at its template's end."""

import json
import os
from pathlib import Path

import gguf
import numpy as np
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from tests.conftest import assert_refused, run_command

WIDTH, LAYERS, HEADS, INNER = 64, 2, 2, 128
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_gguf(path: Path, architecture: str = "llama", chat: str | None = CHAT) -> Path:
    """A llama of two layers with random weights, its vocabulary the bytes and three tokens of a chat."""
    file = gguf.GGUFWriter(path, architecture)
    file.add_context_length(512)
    file.add_embedding_length(WIDTH)
    file.add_block_count(LAYERS)
    file.add_feed_forward_length(INNER)
    file.add_head_count(HEADS)
    file.add_head_count_kv(HEADS)
    file.add_layer_norm_rms_eps(1e-5)
    file.add_rope_dimension_count(WIDTH // HEADS)
    tokens = [*("<|endoftext|>", "<|im_start|>", "<|im_end|>"), *bytes_to_unicode().values(), "th", "he"]
    file.add_vocab_size(len(tokens))
    file.add_tokenizer_model("gpt2")
    file.add_token_list(tokens)
    file.add_token_merges(["t h", "h e"])
    file.add_token_types([gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.NORMAL] * (len(tokens) - 3))
    file.add_bos_token_id(1)
    file.add_eos_token_id(0)  # not the end of a turn, as in the wild
    if chat:
        file.add_chat_template(chat)
    random = np.random.default_rng(0)

    def tensor(name: str, *shape: int) -> None:
        file.add_tensor(f"{name}.weight", random.normal(0, 0.3, shape).astype(np.float32))

    tensor("token_embd", len(tokens), WIDTH)
    file.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    for layer in range(LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            file.add_tensor(f"blk.{layer}.{name}.weight", np.ones(WIDTH, np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensor(f"blk.{layer}.{name}", WIDTH, WIDTH)
        tensor(f"blk.{layer}.ffn_gate", INNER, WIDTH)
        tensor(f"blk.{layer}.ffn_up", INNER, WIDTH)
        tensor(f"blk.{layer}.ffn_down", WIDTH, INNER)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()
    return path


def test_a_gguf_file_becomes_an_ordinary_folder_that_answers_like_it(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    done = run_command("data_prep.pretrained", "--gguf", path, "--out", tmp_path / "model", "--dtype", "float32")
    assert done.returncode == 0, done.stderr
    about = json.loads((tmp_path / "model/origin.json").read_text())
    assert about["tied_embeddings"] and about["eos_token"] == "<|im_end|>" and about["origin"] == "tiny.gguf"
    assert about["weights_sha256"]["model.safetensors"][:12] in done.stdout
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert tokenizer.chat_template and tokenizer.eos_token == "<|im_end|>" == tokenizer.pad_token
    assert model.config.eos_token_id == model.generation_config.eos_token_id == tokenizer.eos_token_id == 2
    again = run_command("data_prep.pretrained", "--gguf", path, "--out", tmp_path / "again", "--dtype", "float32")
    assert again.returncode == 0
    hashes = json.loads((tmp_path / "again/origin.json").read_text())["weights_sha256"]
    assert hashes == about["weights_sha256"]


def test_files_that_are_no_model_to_train_are_refused(tmp_path: Path) -> None:
    def refused(path: Path, *said: str) -> None:
        assert_refused(run_command("data_prep.pretrained", "--gguf", path, "--out", tmp_path / "model"), *said)
        assert not (tmp_path / "model").exists()

    refused(write_gguf(tmp_path / "m.gguf", "mamba"), "m.gguf is of the architecture mamba; give one of llama, qwen2")
    refused(write_gguf(tmp_path / "base.gguf", chat=None), "base.gguf has no chat template")
    (tmp_path / "text.gguf").write_text("GGUF it is not, however long the text may be")
    refused(tmp_path / "text.gguf", "text.gguf is no GGUF file")
    refused(tmp_path / "none.gguf", "none.gguf does not exist; leave --gguf out")
    done = run_command("data_prep.pretrained", "--out", tmp_path)  # before anything is downloaded
    assert_refused(done, ".gguf was not written by this command", "another --out")


@pytest.mark.slow
@pytest.mark.skipif("SMOLLM2_GGUF" not in os.environ, reason="SMOLLM2_GGUF names no copy of the package's file")
def test_smollm2_names_the_disease(tmp_path: Path) -> None:
    done = run_command("data_prep.pretrained", "--gguf", os.environ["SMOLLM2_GGUF"], "--out", tmp_path / "model")
    assert done.returncode == 0, done.stderr
    about = json.loads((tmp_path / "model/origin.json").read_text())
    assert "myocardial infarction" in about["greedy_answer"].lower() and about["tied_embeddings"]
    assert about["parameters"] == 134_515_008 and about["eos_token"] == "<|im_end|>"
