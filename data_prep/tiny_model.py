"""Make a Qwen2-architecture model of a million parameters for the CPU, untrained, with a tokenizer of its own.

    python -m data_prep.tiny_model --note data/synthetic/note --out models/tiny

The byte-level BPE is trained on the hospital courses, the prompts, the DRG titles and, where they stand beside the
notes (NOTE/../traces.parquet), the reasonings. Where NOTE holds conversations (data_prep.synthesize --dialogues), it is
trained on them and their notes alone. The chat template has Qwen's headers. OUT loads with transformers, vLLM and verl
like any model folder, and sft.train or sft.prm teaches it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from common.commands import UserError, parser, run
from common.files import own_folder, replaceable
from data_prep import parquet, prompts
from data_prep.clinical import dialogues
from data_prep.cohort import mimic, sections
from reward_fns.clinical_note import tokens, written
from reward_fns.drg import ms_drg
from reward_fns.task import TASKS

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
# Words with the space before them, single digits, punctuation with the line break after it: as Qwen2 splits text.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEMPLATE = (
    "{%- for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{%- endif %}"
)
POSITIONS = 4096
HEAD = 32
MOST_COURSES = 20_000  # more teach a small vocabulary nothing new


def corpus(note: Path) -> Iterator[str]:
    """The texts that the tokenizer learns from, as they will be met: inside the chat, with the tags of the answer."""
    if list(note.glob("*.csv")):
        for _, golds, _ in dialogues.sets(note):
            yield from [tokens.prompt()] * 500
            yield from (f"{gold.dialogue}\n{written.write(gold.note)}" for gold in golds)
        return
    found = 0
    for batch in mimic.notes(note, ("text",)):
        for text in batch.column(0).to_pylist():
            course = sections.hospital_course(text or "")
            if course is not None and found < MOST_COURSES:
                found += 1
                yield sections.unwrapped(course)
    if not found:
        raise UserError(f"no note of {note} has a hospital course; give a folder that data_prep.synthesize wrote")
    # often enough for every piece of the frame and every word of a title to become one token
    for task in TASKS.values():
        system, user = prompts.load(task.key)
        frame = f"system\n{system}\nuser\n{user}\nassistant\n{task.completion('.', '.')}"
        yield from [frame] * 500
    traces = note.parent / "traces.parquet"
    if traces.exists():
        table = parquet.read_traces(traces)
        yield from table["reasoning"].to_pylist()[: 3 * MOST_COURSES]
        yield from table["ground_truth"].to_pylist()
    for drg in ms_drg.DRGS:
        yield drg.title


def train_tokenizer(texts: Iterator[str], vocab: int) -> Any:
    """A byte-level BPE as a transformers tokenizer with the chat template; no tag is a special token."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    split, to_bytes = pre_tokenizers.Split(Regex(SPLIT), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)
    bpe.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])
    bpe.decoder = decoders.ByteLevel()
    bpe.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[PAD, START, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token=END, pad_token=PAD, additional_special_tokens=[START],
        clean_up_tokenization_spaces=False, model_max_length=POSITIONS,
    )  # fmt: skip
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def build_model(tokenizer: Any, hidden: int, layers: int, seed: int) -> Any:
    """An untrained Qwen2ForCausalLM in float32; the same seed gives the same weights."""
    import torch
    from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=(hidden * 8 // 3 + 63) // 64 * 64,
        num_hidden_layers=layers,
        num_attention_heads=hidden // HEAD,
        num_key_value_heads=hidden // HEAD,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=True,
        # about 1/sqrt(hidden): with the 0.02 of wide models, attention stays flat for most of a short training
        initializer_range=0.08,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    torch.manual_seed(seed)
    model = Qwen2ForCausalLM(config)
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=True, temperature=1.0
    )
    return model


def tokens_per_word(tokenizer: Any, courses: list[str]) -> float:
    """How many tokens a word of a course takes."""
    return sum(map(len, tokenizer(courses)["input_ids"])) / sum(len(course.split()) for course in courses)


def main(argv: list[str] | None = None) -> None:
    p = parser(__doc__)
    p.add_argument("--note", type=Path, required=True, help="notes; traces.parquet may stand beside the folder")
    p.add_argument("--out", type=Path, required=True, help="the model folder to write")
    p.add_argument("--vocab", type=int, default=2048, help="size of the vocabulary (default 2048)")
    p.add_argument("--hidden", type=int, default=128, help=f"width, a multiple of {HEAD} (default 128)")
    p.add_argument("--layers", type=int, default=4, help="layers (default 4)")
    p.add_argument("--seed", type=int, default=0, help="of the weights (default 0)")
    options = p.parse_args(argv)
    if options.hidden < HEAD or options.hidden % HEAD:
        raise UserError(f"--hidden {options.hidden} is no multiple of {HEAD}, the width of an attention head")
    if options.vocab < 512 or options.layers < 1:
        raise UserError("--vocab must be at least 512 (256 bytes and some words) and --layers at least 1")
    replaceable(options.out)
    courses: list[str] = []
    texts = corpus(options.note)
    with tqdm(texts, unit=" texts", desc="tokenizer") as bar:
        tokenizer = train_tokenizer((courses.append(t) or t if len(courses) < 1000 else t for t in bar), options.vocab)
    model = build_model(tokenizer, options.hidden, options.layers, options.seed)
    with own_folder(options.out) as folder:
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    print(
        f"{millions:.1f} million parameters, {len(tokenizer)} tokens, "
        f"{tokens_per_word(tokenizer, courses):.2f} tokens a word of a course, in {options.out}"
    )


if __name__ == "__main__":
    run(main)
