"""p(+) at every position of notes: the model's full-vocabulary probability of "+" where the label's place begins.

grade = Transformers(model)       # exact: one pass a note
grade = Vllm(model)               # many notes: one request a position, which share the note's prefix; equal to 1e-4
grade(encoded)                    # for a list of notes (reward_fns.clinical_note.tokens.encode), p(+) by position
"""

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from common.commands import UserError
from eval.generation import engines
from eval.generation.ray_session import vllm_is_for_cpu
from eval.generation.sources import model_folder
from reward_fns.clinical_note.notes import RIGHT
from reward_fns.clinical_note.tokens import Encoded, Markers, trained

TOKENS = 8192  # of a batch, its padding counted in


class Model(ABC):
    """What both ways share: a folder that sft.prm wrote, its tokens and its longest text."""

    @abstractmethod
    def __call__(self, notes: Sequence[Encoded]) -> list[list[float]]:
        """p(+) at every position of every note."""

    def __init__(self, model: str, dtype: str = "auto") -> None:
        from transformers import AutoConfig, AutoTokenizer

        self.folder = model_folder(model)
        self.markers: Markers = trained(str(self.folder))
        self.tokenizer = AutoTokenizer.from_pretrained(self.folder)
        self.right = self.tokenizer.convert_tokens_to_ids(self.markers.label(RIGHT))
        self.longest = AutoConfig.from_pretrained(self.folder).get_text_config().max_position_embeddings

    def check_length(self, encoded: Encoded, named: str) -> None:
        """A sentence for a note that the model cannot read to its end."""
        if len(encoded.ids) > self.longest:
            raise UserError(
                f"{named} has {len(encoded.ids)} tokens with its dialogue and {self.folder} takes {self.longest}; take "
                "a model with a longer context, or leave the case out"
            )


class Transformers(Model):
    """The model as it is; unless another type is asked for, in float32 on a CPU and bfloat16 on a GPU."""

    def __init__(self, model: str, dtype: str = "auto") -> None:
        super().__init__(model, dtype)
        import torch
        from transformers import AutoModelForCausalLM

        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        kind = {"cuda": "bfloat16", "cpu": "float32"}[self.device] if dtype == "auto" else dtype
        loaded = AutoModelForCausalLM.from_pretrained(self.folder, dtype=getattr(torch, kind))
        self.model = loaded.to(self.device).eval()

    def __call__(self, notes: Sequence[Encoded]) -> list[list[float]]:
        found: dict[int, list[float]] = {}
        for batch in _batches(notes):
            found |= zip(batch, self._batch([notes[at] for at in batch]), strict=True)
        return [found[at] for at in range(len(notes))]

    def _batch(self, notes: list[Encoded]) -> list[list[float]]:
        import torch

        longest = max(len(note.ids) for note in notes)
        ids = torch.zeros((len(notes), longest), dtype=torch.long)  # padding at the end: nothing before it sees it
        for row, note in enumerate(notes):
            ids[row, : len(note.ids)] = torch.tensor(note.ids)
        places = sorted({slot - 1 for note in notes for slot in note.slots})
        where = {place: at for at, place in enumerate(places)}
        with torch.inference_mode():
            logits = self.model(ids.to(self.device), logits_to_keep=torch.tensor(places, device=self.device)).logits
            shares = logits.float().softmax(dim=-1)[..., self.right].cpu()
        return [[float(shares[row, where[slot - 1]]) for slot in note.slots] for row, note in enumerate(notes)]


class Vllm(Model):
    """vLLM: a request for every position, whose next token's probability is asked for."""

    def __init__(self, model: str, dtype: str = "auto") -> None:
        super().__init__(model, dtype)
        cpu = vllm_is_for_cpu()
        os.environ.update(engines.environment(len(os.sched_getaffinity(0)) if cpu else 0))
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        from vllm import LLM, SamplingParams

        kind = ("float32" if cpu else "bfloat16") if dtype == "auto" else dtype
        options: dict[str, Any] = engines.on_cpu(str(self.folder)) if cpu else {}
        self.engine = LLM(
            model=str(self.folder), dtype=kind, enable_prefix_caching=True, generation_config="vllm", **options
        )
        self.params = SamplingParams(max_tokens=1, temperature=0.0, logprob_token_ids=[self.right], detokenize=False)

    def __call__(self, notes: Sequence[Encoded]) -> list[list[float]]:
        asked = [{"prompt_token_ids": note.ids[:slot]} for note in notes for slot in note.slots]
        given = iter(self.engine.generate(asked, self.params, use_tqdm=False))
        return [[_share(next(given), self.right) for _ in note.slots] for note in notes]


def _share(output: Any, token: int) -> float:
    return math.exp(output.outputs[0].logprobs[0][token].logprob)


def _batches(notes: Sequence[Encoded]) -> Iterator[list[int]]:
    """Notes of about one length together, as many as fit."""
    batch: list[int] = []
    for at in sorted(range(len(notes)), key=lambda at: len(notes[at].ids)):
        if batch and (len(batch) + 1) * len(notes[at].ids) > TOKENS:
            yield batch
            batch = []
        batch.append(at)
    if batch:
        yield batch


ENGINES: dict[str, type[Model]] = {"transformers": Transformers, "vllm": Vllm}
