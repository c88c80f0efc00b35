"""What would stop a run because of the model that it starts from: files, context, chat template, end of an answer."""

import json
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from recipes.launcher.compose import remedy

NEEDED = (
    (("config.json",), "model configuration"),
    (("tokenizer.json", "tokenizer.model", "vocab.json"), "tokenizer"),
    (("*.safetensors", "*.bin"), "weights"),
)


def check_model(config: DictConfig) -> None:
    """The model folder holds a model and a tokenizer, and prompt plus response fit its context."""
    path = str(config.actor_rollout_ref.model.path)
    if is_on_hub(path):
        return  # verl downloads it
    folder = Path(path)
    if not folder.is_dir():
        raise ValueError(f"the model folder {path} does not exist; {remedy(config)}")
    for files, what in NEEDED:
        if not any(any(folder.glob(file)) for file in files):
            raise ValueError(f"the model folder {path} has no {what} ({' or '.join(files)}); export it again")
    context = _json(folder, "config.json").get("max_position_embeddings", sys.maxsize)
    length = config.data.max_prompt_length + config.data.max_response_length
    if length > context:
        raise ValueError(
            f"prompt and response take up to {length} tokens, but the model in {path} has a context of "
            f"{context}; lower data.max_prompt_length or data.max_response_length"
        )
    _check_weights(folder)
    if not _end(folder):
        raise ValueError(
            f"the tokenizer of {path} has no token that ends an answer, which vLLM stops at; set eos_token in its "
            "tokenizer_config.json"
        )


def is_on_hub(path: str) -> bool:
    """Whether this is a name on the Hugging Face hub and no folder here."""
    return (
        not Path(path).exists() and bool(re.fullmatch(r"[\w.-]+/[\w.-]+", path)) and "HF_HUB_OFFLINE" not in os.environ
    )


def check_chat(config: DictConfig, chat: Iterable[dict[str, str]]) -> None:
    """The chat template, the recipe's or the model's, makes a prompt of this chat."""
    path = str(config.actor_rollout_ref.model.path)
    if is_on_hub(path):
        return
    from jinja2 import TemplateError
    from transformers.utils.chat_template_utils import render_jinja_template

    template = config.actor_rollout_ref.model.custom_chat_template or _template(Path(path))
    if not template:
        raise ValueError(
            f"the tokenizer of {path} has no chat template; take the model of an instruct version, or set "
            "actor_rollout_ref.model.custom_chat_template"
        )
    words = OmegaConf.to_container(config.data.get("apply_chat_template_kwargs") or OmegaConf.create({}))
    try:
        render_jinja_template([list(chat)], chat_template=template, add_generation_prompt=True, **words)
    except (TemplateError, TypeError, ValueError) as error:
        raise ValueError(f"the chat template of {path} makes no prompt of the data: {error}") from error


def _check_weights(folder: Path) -> None:
    """Every file of weights is there, and as long as it says."""
    from safetensors import SafetensorError, safe_open

    for name in sorted(set(_json(folder, "model.safetensors.index.json").get("weight_map", {}).values())):
        if not (folder / name).is_file():
            raise ValueError(f"{folder / name} is missing, which holds a part of the weights; copy the model again")
    for file in sorted(folder.glob("*.safetensors")):
        try:
            safe_open(file, framework="np")
        except (SafetensorError, OSError) as error:
            raise ValueError(f"the weights {file} are damaged ({error}); copy or export the model again") from error


def _end(folder: Path) -> Any:
    said = [_json(folder, name) for name in ("tokenizer_config.json", "special_tokens_map.json")]
    if any("eos_token" in words for words in said):
        return any(words.get("eos_token") for words in said)
    from transformers import AutoTokenizer  # slow, and the kind of tokenizer may have one of its own

    return AutoTokenizer.from_pretrained(folder).eos_token


def _template(folder: Path) -> str | None:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    said = _json(folder, "tokenizer_config.json").get("chat_template")
    return (
        next((each["template"] for each in said if each["name"] == "default"), None) if isinstance(said, list) else said
    )


def _json(folder: Path, name: str) -> dict[str, Any]:
    """What a file of the model says; nothing where it has none."""
    file = folder / name
    try:
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except ValueError as error:
        raise ValueError(f"{file} is no JSON ({error}); copy or export the model again") from error
