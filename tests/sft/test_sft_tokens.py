"""What the loss is on, for tokenizers with Qwen's and Llama's chat templates, saved to files and read back."""

from pathlib import Path

import pytest
from datasets import Dataset

from common.commands import UserError
from sft.training import start, tokens

QWEN = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are helpful.<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
SPECIAL = {
    "qwen": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    "llama": ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|end_of_text|>"],
}
CASES = [
    ("<think>\nChest pain; troponin 0.8.\n</think>\n<answer>\nANGINA PECTORIS\n</answer>", "What is it?"),
    ("<think>Fever, a long one.\n\n</think><answer>SEPTICEMIA</answer>", "A note with é, 漢 and <|im_end|> in it?"),
]


def save_tokenizer(folder: Path, kind: str, eos: str) -> Path:
    """A byte-level BPE with the special tokens, template and (Llama) leading BOS of its model."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=SPECIAL[kind], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    bpe.train_from_iterator([text for case in CASES for text in case] * 20, trainer)
    bos = None
    if kind == "llama":
        bos = "<|begin_of_text|>"
        bpe.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, bpe.token_to_id(bos))]
        )
    pad = "<|endoftext|>" if kind == "qwen" else eos  # people pad Llama with its end token: it must stay in the loss
    made = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=eos, bos_token=bos, pad_token=pad)
    made.chat_template = QWEN if kind == "qwen" else LLAMA
    made.save_pretrained(folder)
    return folder


def batch(tokenizer: object, rows: Dataset, folder: Path) -> dict:
    """What trl hands to the model, for a model of that vocabulary."""
    from transformers import Qwen2Config, Qwen2ForCausalLM
    from trl import SFTConfig, SFTTrainer

    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = Qwen2ForCausalLM(Qwen2Config(vocab_size=len(tokenizer), num_key_value_heads=1, **sizes))
    config = SFTConfig(str(folder), max_length=512, bf16=False, use_cpu=True, report_to="none")
    trainer = SFTTrainer(model, args=config, train_dataset=rows, processing_class=tokenizer)
    return trainer.data_collator([trainer.train_dataset[row] for row in range(len(rows))])


@pytest.mark.parametrize("prefill", ["", "<think>"])
@pytest.mark.parametrize(("kind", "eos"), [("qwen", "<|im_end|>"), ("llama", "<|eot_id|>")])
def test_labels_are_the_completion_and_its_end_alone(tmp_path: Path, kind: str, eos: str, prefill: str) -> None:
    tokenizer = start.tokenizer(str(save_tokenizer(tmp_path / "model", kind, eos)))
    chats = [
        {"prompt": [{"role": "user", "content": asked}], "completion": [{"role": "assistant", "content": said}]}
        for said, asked in CASES
    ]
    encoded = tokens.examples(Dataset.from_list(chats), tokens.Encoder(tokenizer, prefill))
    found = batch(tokenizer, encoded, tmp_path)
    for ids, labels, chat in zip(found["input_ids"], found["labels"], chats, strict=True):
        written = chat["completion"][0]["content"].removeprefix(prefill)
        expected = tokenizer(written, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
        assert [label for label in labels.tolist() if label != -100] == expected
        first = (labels != -100).nonzero()[0].item()
        sent = tokenizer.apply_chat_template(chat["prompt"], tokenize=False, add_generation_prompt=True) + prefill
        assert ids[:first].tolist() == tokenizer(sent, add_special_tokens=False)["input_ids"]  # as eval.generate sends
        assert ids[first : first + len(expected)].tolist() == expected
        if kind == "llama":
            assert ids.tolist().count(tokenizer.bos_token_id) == 1


@pytest.mark.parametrize(("kind", "eos"), [("qwen", "<|endoftext|>"), ("llama", "<|end_of_text|>")])
def test_an_end_token_other_than_the_templates_is_refused(tmp_path: Path, kind: str, eos: str) -> None:
    save_tokenizer(tmp_path, kind, eos)
    with pytest.raises(UserError, match="would not learn to stop"):
        start.tokenizer(str(tmp_path))


def test_a_completion_that_does_not_start_with_the_prefill_is_refused(tmp_path: Path) -> None:
    tokenizer = start.tokenizer(str(save_tokenizer(tmp_path, "qwen", "<|im_end|>")))
    with pytest.raises(UserError, match="1 of 1 completions do not start with the prefill '<think>'"):
        tokens.Encoder(tokenizer, "<think>").completions([[{"role": "assistant", "content": "It is a cold."}]])


def test_an_example_that_would_lose_a_token_is_named() -> None:
    with pytest.raises(UserError, match=r"2 of 3 examples of f are longer than max_length 10 .*rows 0, 2.* has 12 tok"):
        tokens.check_lengths([11, 10, 12], 10, None, "f")
    with pytest.raises(UserError, match="the model takes 11"):
        tokens.check_lengths([11, 10, 12], 20, 11, "f")
    assert tokens.check_lengths([10, 10], 10, 10, "f") == 10
