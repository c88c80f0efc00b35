"""The size of a model from its configuration: parameters, and what a layer and a token of context take.

    shape = shape_of(config)      # of a composed recipe: the start model's own config.json, or a model known by name
    shape.parameters              # 7,615,616,512 for Qwen2.5-7B

Only models of the form of Llama and Qwen2 (gated MLP, grouped attention) are counted; another one is no shape.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf


@dataclass(frozen=True)
class Shape:
    """What a model's config.json says of its size."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    vocab: int
    tied: bool  # embedding and output layer are one
    biases: bool = True  # of query, key and value
    head: int = 0  # width of a head where it is not hidden / heads

    @property
    def width(self) -> int:
        """Of all query heads together."""
        return self.heads * (self.head or self.hidden // self.heads)

    @property
    def kv_width(self) -> int:
        """Of all keys, or of all values, of a token."""
        return self.kv_heads * (self.head or self.hidden // self.heads)

    @property
    def embedding(self) -> int:
        """Parameters of the embedding, and of the output layer."""
        return self.vocab * self.hidden

    @property
    def layer(self) -> int:
        """Parameters of one layer."""
        attention = 2 * self.hidden * (self.width + self.kv_width) + self.biases * (self.width + 2 * self.kv_width)
        return attention + 3 * self.hidden * self.intermediate + 2 * self.hidden

    @property
    def parameters(self) -> int:
        """All of them."""
        return self.layers * self.layer + self.embedding * (1 if self.tied else 2) + self.hidden

    @property
    def cache(self) -> int:
        """Bytes of a token's keys and values in bf16, over all layers."""
        return 2 * 2 * self.layers * self.kv_width

    def adapters(self, rank: int) -> int:
        """Parameters of LoRA on every linear layer of the blocks."""
        hidden, inner = self.hidden, self.intermediate
        ends = 2 * (hidden + self.width) + 2 * (hidden + self.kv_width) + 3 * (hidden + inner)
        return rank * self.layers * ends


QWEN_7B = Shape(28, 3584, 18944, 28, 4, 152064, False)
LLAMA_8B = Shape(32, 4096, 14336, 32, 8, 128256, False, biases=False)
KNOWN = {  # as their config.json on the hub says
    "Qwen/Qwen2.5-0.5B": Shape(24, 896, 4864, 14, 2, 151936, True),
    "Qwen/Qwen2.5-1.5B": Shape(28, 1536, 8960, 12, 2, 151936, True),
    "Qwen/Qwen2.5-3B": Shape(36, 2048, 11008, 16, 2, 151936, True),
    "Qwen/Qwen2.5-7B": QWEN_7B,
    "Qwen/Qwen2.5-14B": Shape(48, 5120, 13824, 40, 8, 152064, False),
    "Qwen/Qwen2.5-32B": Shape(64, 5120, 27648, 40, 8, 152064, False),
    "meta-llama/Llama-3.1-8B": LLAMA_8B,
    "huggyllama/llama-7b": Shape(32, 4096, 11008, 32, 32, 32000, False, biases=False),
    "UCSC-VLAA/MedReason-8B": LLAMA_8B,
    "FreedomIntelligence/HuatuoGPT-o1-7B": QWEN_7B,
    "HuggingFaceTB/SmolLM2-135M": Shape(30, 576, 1536, 9, 3, 49152, True, biases=False),
}


def named(model: str) -> Shape | None:
    """The shape of a model folder or of a name on the hub; nothing where neither says it."""
    file = Path(model) / "config.json"
    if not file.is_file():
        return KNOWN.get(re.sub("-Instruct$", "", model))
    try:
        return _read(json.loads(file.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(f"{file} is no JSON ({error}); copy or export the model again") from error


def shape_of(config: DictConfig) -> Shape | None:
    """The shape of the model that a composed recipe trains: what it starts from, or what that was fine-tuned from."""
    return named(str(config.actor_rollout_ref.model.path)) or named(str(OmegaConf.select(config, "study.model")))


def _read(said: dict[str, Any]) -> Shape | None:
    keys = ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads")
    if any(not isinstance(said.get(key), int) for key in keys) or said.get("num_experts"):
        return None
    layers, hidden, intermediate, heads = (said[key] for key in keys)
    kv, head = said.get("num_key_value_heads") or heads, said.get("head_dim") or 0
    tied, biases = bool(said.get("tie_word_embeddings")), said.get("model_type") == "qwen2"
    return Shape(layers, hidden, intermediate, heads, kv, said["vocab_size"], tied, biases, head)
