"""What a training starts from: the tokenizer, checked, the weights, and adapters where they are asked for."""

from importlib.util import find_spec
from typing import Any

from common.commands import UserError, existing
from sft.training.settings import Common

REMEDY = "make one with `python -m data_prep.tiny_model` or set MODEL_PATH"
PROBE = "reply"


def tokenizer(model: str, chat: bool = True) -> Any:
    """The tokenizer of a model folder or hub name; for chats it must end an answer as its template does."""
    from transformers import AutoTokenizer

    if model.count("/") != 1 or model.startswith((".", "/")):  # otherwise it may be a name on the hub
        existing(model, "the model folder", REMEDY)
    try:
        found = AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError) as error:
        raise UserError(f"the model folder {model} has no usable tokenizer; {REMEDY}") from error
    if not chat:
        return found
    if not found.chat_template:
        raise UserError(f"the tokenizer of {model} has no chat template; take the one of an instruct model")
    end = end_of_answer(found)
    if not found.eos_token or not end.startswith(found.eos_token):
        raise UserError(
            f"the tokenizer of {model} ends a text with {found.eos_token!r} and its chat template ends an answer with "
            f"{end[:30]!r}: the model would not learn to stop where vLLM stops; set eos_token in tokenizer_config.json"
        )
    return found


def end_of_answer(tokenizer: Any) -> str:
    """What the chat template puts after an answer."""
    chat = [{"role": "user", "content": "question"}, {"role": "assistant", "content": PROBE}]
    return tokenizer.apply_chat_template(chat, tokenize=False).rpartition(PROBE)[2].lstrip()


def attention() -> str:
    """flash-attn where a GPU and the package are there, which alone takes examples end to end at no cost."""
    import torch

    return "flash_attention_2" if torch.cuda.is_available() and find_spec("flash_attn") else "sdpa"


def share(source: Common, config: Any) -> None:
    """Micro-batches as this machine takes them, and as many of them as `global_batch` needs."""
    if getattr(config, "padding_free", False) and attention() == "sdpa":
        config.padding_free, config.per_device_train_batch_size = False, 1
    if not source.global_batch:
        return
    rows = config.per_device_train_batch_size * config.world_size
    steps, rest = divmod(source.global_batch, rows)
    if rest or not steps or config.gradient_accumulation_steps not in (1, steps):
        raise UserError(
            f"global_batch {source.global_batch} is no whole number of micro-batches: {config.world_size} GPUs x "
            f"per_device_train_batch_size {config.per_device_train_batch_size} x gradient_accumulation_steps"
            + (f" {config.gradient_accumulation_steps}" if not rest else "")
            + "; change one of them, or say --global_batch 0"
        )
    config.gradient_accumulation_steps = steps


def weights(source: Common, bf16: bool, kind: str = "AutoModelForCausalLM", whole: bool = False, **config: Any) -> Any:
    """The model. Trained in whole it is held in float32, where small steps are not rounded away; bf16 then computes."""
    import torch
    import transformers

    frozen = bf16 and source.lora_rank > 0 and not whole
    try:
        return getattr(transformers, kind).from_pretrained(
            source.model, dtype=torch.bfloat16 if frozen else torch.float32, attn_implementation=attention(), **config
        )
    except (OSError, ValueError) as error:
        raise UserError(f"the model folder {source.model} has no usable weights; {REMEDY}") from error


def make_room(model: Any, tokenizer: Any) -> None:
    """Give every token of the tokenizer a row: some models have rows to spare, others get the missing ones."""
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer))


def adapters(source: Common) -> Any:
    """peft's settings, or None."""
    if source.lora_rank == 0:
        return None
    if source.lora_rank < 0:
        raise UserError(f"lora_rank {source.lora_rank} is no rank; 0 trains all parameters")
    from peft import LoraConfig

    return LoraConfig(
        r=source.lora_rank,
        lora_alpha=source.lora_alpha,
        lora_dropout=source.lora_dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
