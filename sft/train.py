"""Supervised fine-tuning with trl, from one YAML: loss on the completion only, nothing cut without a word.

    accelerate launch -m sft.train --config recipes/drg_sapphire/sft/cold.yaml
    python -m sft.train --config recipes/drg_sapphire/sft/tiny.yaml --num_train_epochs 2

Keys of the YAML are those of trl's SFTConfig and of `Source` in sft.training.settings; `--key value` overrides one. A
run that was killed goes on from its last checkpoint when it is started again; a finished one is refused unless --fresh.
"""

from typing import TYPE_CHECKING

from common.commands import run
from sft.training import examples, run_folder, start, tokens
from sft.training.settings import Source, parse

if TYPE_CHECKING:
    from trl import SFTConfig


def train(source: Source, config: "SFTConfig") -> None:
    """Train, and leave in config.output_dir a folder that vLLM and verl load as it is."""
    from trl import SFTTrainer

    out = run_folder.begin(source, config)
    tokenizer = start.tokenizer(source.model)
    rows = tokens.examples(examples.load(source), tokens.Encoder(tokenizer, source.prefill))
    model = start.weights(source, config.bf16)
    lengths = tokens.lengths(rows, "input_ids")
    longest = tokens.check_lengths(lengths, config.max_length, model.config.max_position_embeddings, source.cases)
    run_folder.say(config, f"{len(rows)} examples, the longest of {longest} tokens")
    trainer = SFTTrainer(
        model, args=config, train_dataset=rows, processing_class=tokenizer, peft_config=start.adapters(source)
    )
    metrics = run_folder.train(trainer, out, source, "sft.train", examples.inputs(source))
    run_folder.say(config, f"loss {metrics['train_loss']:.4f}, model in {out}")


def main(argv: list[str] | None = None) -> None:
    run_folder.environment()
    from trl import SFTConfig

    train(*parse(argv, Source, SFTConfig, __doc__))


if __name__ == "__main__":
    run(main)
