"""A process reward model for clinical notes with trl, from one YAML: a causal model learns to label every position.

    python -m sft.prm --config recipes/clinical_prm/sft/tiny.yaml
    accelerate launch -m sft.prm --config recipes/clinical_prm/sft/prm.yaml

Keys are those of trl's SFTConfig and of `Source` below; resuming, `fresh` and what is left in output_dir are as in
sft.train, with prm.json, which says how the model is asked. The four losses (the paper's names in brackets):

    labels             the label tokens alone (score_token_only)
    labels_and_kinds   and the tokens for the kind of a position (special_token: there two means are added, which is
                       twice our one; for AdamW that is the same with half the clipping norm)
    notes              all tokens of the note (vanilla without the dialogue)
    all                all tokens (vanilla)

In the input a placeholder stands where a label will be read (`inputs: placeholders`). `inputs: labels` puts the labels
there, as the paper did: the later ones can then be read off the earlier ones, which a note to be graded does not have.
`graded: end` trains an outcome reward model: nothing but the label of the whole note.
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from common.commands import UserError, run
from common.files import whole_file
from common.settings import Rule, setting
from reward_fns.clinical_note import tokens
from sft.training import graded, run_folder, start
from sft.training.settings import Common, parse

if TYPE_CHECKING:
    from trl import SFTConfig

PLACEHOLDERS, LABELS, POSITIONS, END, AUTO, ADDED, RESERVED = (
    "placeholders", "labels", "positions", "end", "auto", "added", "reserved",
)  # fmt: skip


def _one_of(*choices: str) -> Rule:
    return f"be one of {', '.join(choices)}", lambda value: value in choices


@dataclass
class Source(Common):
    """What the model is taught."""

    notes: str = setting("parquet of graded notes (data_prep.clinical_notes)", "")
    loss: str = setting("tokens that the loss is about", graded.LABELS, must=_one_of(*graded.LOSSES))
    inputs: str = setting("what stands in the input for a label", PLACEHOLDERS, must=_one_of(PLACEHOLDERS, LABELS))
    graded: str = setting("every position, or the end of the note", POSITIONS, must=_one_of(POSITIONS, END))
    label_tokens: str = setting("of the tokenizer's reserve or added", AUTO, must=_one_of(AUTO, ADDED, RESERVED))


def train(source: Source, config: "SFTConfig") -> None:
    """Train, and leave in config.output_dir a folder that transformers and vLLM load as it is."""
    from trl import SFTTrainer

    out = run_folder.begin(source, config)
    tokenizer = start.tokenizer(source.model, chat=False)
    markers = label_tokens(tokenizer, source)
    ends_alone = source.graded == END
    rows = graded.examples(source.notes, tokenizer, markers, source.loss, source.inputs == LABELS, ends_alone)
    model = start.weights(source, config.bf16)
    start.make_room(model, tokenizer)
    longest = graded.check_lengths(rows, config.max_length, model.config.max_position_embeddings, source.notes)
    run_folder.say(config, f"{len(rows)} notes, the longest of {longest} tokens")
    peft = adapters(source, model, tokenizer.convert_tokens_to_ids(list(markers.tokens)))
    if peft:
        config.loss_type = "nll"  # chunked_nll reads a head that has no adapter
    trainer = SFTTrainer(
        model, args=config, train_dataset=rows.remove_columns("case"), processing_class=tokenizer, peft_config=peft
    )
    if config.process_index == 0:
        with whole_file(out / tokens.FILE) as file:
            said = {"tokens": markers.tokens, "graded": source.graded, "inputs": source.inputs, "loss": source.loss}
            file.write_text(json.dumps(said, indent=1) + "\n")
    metrics = run_folder.train(trainer, out, source, "sft.prm", [source.notes])
    run_folder.say(config, f"loss {metrics['train_loss']:.4f}, model in {out}")


def label_tokens(tokenizer: Any, source: Source) -> tokens.Markers:
    """Tokens for kinds and labels: those of an earlier training, of the reserve, or new ones, as asked."""
    reserve = tokens.reserved(tokenizer)
    if source.label_tokens == RESERVED and reserve is None:
        raise UserError(
            f"the tokenizer of {source.model} keeps no {tokens.COUNT} tokens in reserve, such as "
            f"{tokens.RESERVES[0].format(1)}, and label_tokens is {RESERVED}; say label_tokens: {ADDED}"
        )
    found = {AUTO: tokens.find(tokenizer), RESERVED: reserve, ADDED: None}[source.label_tokens]
    if found is None:
        found = tokens.ADDED
        tokenizer.add_special_tokens({"additional_special_tokens": list(found.tokens)}, False)
    return found


def adapters(source: Source, model: Any, new: list[int]) -> Any:
    """peft's settings, under which the label tokens' own weights are trained as well; None without adapters."""
    found = start.adapters(source)
    if found is not None:
        names = {id(module): name.rpartition(".")[2] for name, module in model.named_modules()}
        tied = model.config.get_text_config().tie_word_embeddings  # peft finds the head of its own then
        heads = [model.get_input_embeddings(), *([] if tied else [model.get_output_embeddings()])]
        found.trainable_token_indices = {names[id(head)]: list(new) for head in heads}
    return found


def main(argv: list[str] | None = None) -> None:
    run_folder.environment()
    from trl import SFTConfig

    train(*parse(argv, Source, SFTConfig, __doc__))


if __name__ == "__main__":
    run(main)
