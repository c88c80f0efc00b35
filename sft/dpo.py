"""Direct preference optimisation with trl, from one YAML: the next stage of a model on its own hard cases.

    python -m sft.dpo --config recipes/drg_sapphire/sft/staged_dpo.yaml --model runs/stage1 --pairs pairs.parquet

Pairs come from `python -m sft.pairs`. Keys are those of trl's DPOConfig and of `Source` below; resuming, `fresh` and
what is left in output_dir are as in sft.train. `held_out` keeps a share of the cases from training; on them the margin
of the chosen over the rejected completion is measured before and after, and stands in run.json.
"""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from common.commands import UserError, existing, run
from common.settings import setting
from sft.training import examples, run_folder, start, tokens
from sft.training.settings import Common, parse

if TYPE_CHECKING:
    from datasets import Dataset
    from trl import DPOConfig


@dataclass
class Source(Common):
    """What is trained on what."""

    pairs: str = setting("parquet with prompt, chosen, rejected and hadm_id", "")
    held_out: float = setting("share of the cases that is only measured; 0 for none", 0.1)


def load(path: str, held_out: float) -> tuple["Dataset", "Dataset"]:
    """The pairs to train on and those held out; a case is on one side alone, in every run the same."""
    from datasets import Dataset

    if not 0 <= held_out < 1:
        raise UserError(f"held_out {held_out} is no share; give a number from 0 to below 1")
    existing(path, "the table of pairs", "run `python -m sft.pairs`, which writes it")
    rows = examples.checked(Dataset.from_parquet(path), ("prompt", "chosen", "rejected"), path)
    if "hadm_id" not in rows.column_names:
        raise UserError(f"{path} has no column hadm_id; run `python -m sft.pairs`, which writes it")
    aside = [_share(hadm_id) < held_out for hadm_id in rows["hadm_id"]]
    sides = [rows.select([row for row, out in enumerate(aside) if out is side]) for side in (False, True)]
    if not len(sides[0]):
        raise UserError(f"{path} has no pair left to train on; lower held_out {held_out} or sample more hard cases")
    return sides[0], sides[1]


def _share(hadm_id: int) -> float:
    """A number from 0 to 1 that is a case's own."""
    return int.from_bytes(hashlib.blake2b(f"{hadm_id}".encode(), digest_size=4).digest()) / 2**32


def train(source: Source, config: "DPOConfig") -> None:
    """Train, and leave in config.output_dir a folder that vLLM and verl load as it is."""
    out = run_folder.begin(source, config)
    encoder = tokens.Encoder(start.tokenizer(source.model), source.prefill)
    sides = [tokens.pairs(side, encoder) for side in load(source.pairs, source.held_out)]
    model = start.weights(source, config.bf16)
    lengths = [length for side in sides for length in _lengths(side)]
    longest = tokens.check_lengths(lengths, config.max_length, model.config.max_position_embeddings, source.pairs)
    run_folder.say(config, f"{len(sides[0])} pairs, {len(sides[1])} held out, the longest of {longest} tokens")
    trainer = _trainer(model, config, sides, encoder.tokenizer, start.adapters(source))
    metrics = run_folder.train(trainer, out, source, "sft.dpo", [source.pairs])
    margin = metrics.get("held_out_margin")
    said = f", margin of chosen over rejected on held-out cases 0 -> {margin:.4f}" if margin is not None else ""
    run_folder.say(config, f"loss {metrics['train_loss']:.4f}{said}, model in {out}")


def _lengths(side: "Dataset") -> list[int]:
    """The longer completion of every pair with its prompt; no side may lose a token."""
    if not len(side):
        return []
    answers = [tokens.lengths(side, "prompt_ids", f"{name}_ids") for name in ("chosen", "rejected")]
    return [max(pair) for pair in zip(*answers, strict=True)]


def _trainer(model: Any, config: "DPOConfig", sides: list["Dataset"], tokenizer: Any, peft: Any) -> Any:
    from trl import DPOTrainer

    class Trainer(DPOTrainer):
        """trl's, on pairs that are token ids already, so that prompt and prefill are those of evaluation."""

        def _prepare_dataset(self, dataset: "Dataset", *_: Any, **__: Any) -> "Dataset":
            return dataset

        def train(self, *words: Any, **named: Any) -> Any:
            result = super().train(*words, **named)
            if self.eval_dataset is not None:
                result.metrics["held_out_margin"] = self.evaluate()["eval_rewards/margins"]
            return result

    return Trainer(
        model, args=config, train_dataset=sides[0], eval_dataset=sides[1] if len(sides[1]) else None,
        processing_class=tokenizer, peft_config=peft,
    )  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    run_folder.environment()
    from trl import DPOConfig

    train(*parse(argv, Source, DPOConfig, __doc__))


if __name__ == "__main__":
    run(main)
