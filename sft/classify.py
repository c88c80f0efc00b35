"""A classifier as DRG-LLaMA trains one, with transformers' Trainer: a causal model with a head over the labels.

    python -m sft.classify --config recipes/codiesp/sft/classifier.yaml
    accelerate launch -m sft.classify --config recipes/drg_sapphire/sft/drg_llama.yaml

One label a case is learnt by softmax, sets of codes by a sigmoid each; the labels are those of the training cases. A
note is cut after `note_tokens`, which is said and counted. Keys are those of transformers' TrainingArguments and of
`Source` below; resuming, `fresh` and what is left in output_dir are as in sft.train. `dev` names other cases, of which
every epoch says the loss and the accuracy, or of sets the F1 at the best probability; that one is kept for answers.
`python -m eval.classify` lets the model answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from common.commands import UserError, existing, run
from common.settings import at_least, setting
from data_prep import parquet
from eval.generation import classifier
from reward_fns.task import Task
from sft.training import run_folder, start
from sft.training.settings import Common, parse

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import TrainingArguments

LEAST = 0.5  # probability of a code, where no dev cases choose one


@dataclass
class Source(Common):
    """What the classifier is taught."""

    notes: tuple[str, ...] = setting("parquet files of the cases (data_prep)", nargs="+", metavar="FILE")
    dev: str = setting("parquet of other cases, for the best epoch and, of sets, the best probability", "")
    note_tokens: int = setting("tokens of a note that are read; the end of a longer one is cut off", 512, at_least(1))
    lora_targets: tuple[str, ...] | None = setting(
        "modules with adapters (unless said: every linear layer)", None, nargs="+"
    )


@dataclass(frozen=True)
class Cases:
    """Notes as token ids, and the labels of each."""

    task: Task
    ids: pa.ChunkedArray
    labels: list[list[str]]
    cut: int

    def rows(self, place: dict[str, int]) -> "Dataset":
        """As the trainer takes them; labels that no training case has are left out, and cases of only such a one."""
        from datasets import Dataset
        from datasets.table import InMemoryTable

        numbers = [[place[label] for label in each if label in place] for each in self.labels]
        table = pa.table({"input_ids": self.ids, "labels": pa.array(numbers, pa.list_(pa.int32()))})
        known = pa.array([bool(each) or bool(self.task.sets) for each in numbers])
        return Dataset(InMemoryTable(table.filter(known)))


def read(paths: Sequence[str], tokenizer: Any, most: int) -> Cases:
    """The cases of these files."""
    tables = [parquet.read(existing(path, "the table of cases", "run `python -m data_prep.drg`")) for path in paths]
    tasks = {classifier.task_of(table, path).key: None for table, path in zip(tables, paths, strict=True)}
    if len(tasks) != 1:
        raise UserError(f"{' and '.join(paths)} are of the tasks {' and '.join(tasks)}; give the data of one")
    task = classifier.task_of(tables[0], paths[0])
    chats = [chat for table in tables for chat in table["prompt"].to_pylist()]
    ids, cut = classifier.encoded(tokenizer, classifier.notes(task, chats), most)
    labels = [
        label
        for table, path in zip(tables, paths, strict=True)
        for label in classifier.labels(task, parquet.golds(table), path)
    ]
    return Cases(task, ids, labels, cut)


def train(source: Source, config: "TrainingArguments") -> None:
    """Train, and leave in config.output_dir a folder that eval.classify and transformers load."""
    from transformers import Trainer, set_seed

    out = run_folder.begin(source, config)
    set_seed(config.seed)  # of the head, which no model brings along
    tokenizer = start.tokenizer(source.model, chat=False)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    tokenizer.padding_side = "right"
    taught = read(source.notes, tokenizer, source.note_tokens)
    names = sorted({label for each in taught.labels for label in each})
    place = {name: at for at, name in enumerate(names)}
    run_folder.say(
        config,
        f"{len(taught.labels)} cases, {taught.cut} notes cut to {source.note_tokens} tokens, {len(names)} labels",
    )
    dev = read([source.dev], tokenizer, source.note_tokens) if source.dev else None
    if dev and dev.task is not taught.task:
        raise UserError(f"{source.dev} holds {dev.task.key}, and {source.notes[0]} {taught.task.key}; give the same")
    if dev is None:
        config.eval_strategy, config.load_best_model_at_end = "no", False
    about = {"task": taught.task.key, "note_tokens": source.note_tokens, "least": LEAST}
    more = {
        "num_labels": len(names),
        "id2label": dict(enumerate(names)),
        "label2id": place,
        "problem_type": f"{'multi' if taught.task.sets else 'single'}_label_classification",
        "pad_token_id": tokenizer.pad_token_id,
    }

    def load(whole: bool) -> Any:
        model = start.weights(source, config.bf16, classifier.KIND, whole, **more)
        if source.note_tokens > (room := model.config.max_position_embeddings):
            raise UserError(f"note_tokens {source.note_tokens} is more than the {room} that {source.model} takes")
        setattr(model.config, classifier.ABOUT, about)
        return model

    def choose() -> None:
        if dev and taught.task.sets:
            about["least"] = trainer.evaluate()["eval_least"]

    missing = sum(label not in place for each in dev.labels for label in each) if dev else 0
    trainer = Trainer(
        adapted(load(False), source),
        args=config,
        train_dataset=taught.rows(place),
        eval_dataset=dev.rows(place) if dev else None,
        data_collator=collator(tokenizer, len(names) if taught.task.sets else 0),
        processing_class=tokenizer,
        compute_metrics=lambda found: measured(*found, taught.task, missing),
    )
    trainer.model_accepts_loss_kwargs = False  # its loss is the mean of a micro-batch, whatever the trainer counts
    inputs = [*source.notes, source.dev]
    metrics = run_folder.train(trainer, out, source, "sft.classify", inputs, choose, lambda: load(True))
    run_folder.say(config, f"loss {metrics['train_loss']:.4f}, model in {out}")


def adapted(model: Any, source: Source) -> Any:
    """The model, with adapters where they are asked for; the head is trained in whole."""
    found = start.adapters(source)
    if found is None:
        return model
    from peft import get_peft_model

    found.task_type = "SEQ_CLS"
    if source.lora_targets:
        found.target_modules = set(source.lora_targets)
    model.score.float()  # in half precision small steps would be rounded away
    return get_peft_model(model, found)


def collator(tokenizer: Any, size: int) -> Callable[[list[dict[str, Any]]], Any]:
    """Pads ids; labels become a row of `size` zeros and ones, or with size 0 the one number."""
    import torch

    def collate(rows: list[dict[str, Any]]) -> Any:
        batch = dict(tokenizer.pad({"input_ids": [row["input_ids"] for row in rows]}, return_tensors="pt"))
        if not size:
            return batch | {"labels": torch.tensor([row["labels"][0] for row in rows])}
        labels = torch.zeros(len(rows), size)
        for at, row in enumerate(rows):
            labels[at, row["labels"]] = 1.0
        return batch | {"labels": labels}

    return collate


def measured(logits: Any, right: Any, task: Task, missing: int) -> dict[str, float]:
    """Accuracy; of sets micro F1 at the best probability, and that one. `missing` golds have no class."""
    if not task.sets:
        return {"accuracy": float((logits.argmax(axis=1) == right).mean())}
    order = np.argsort(-logits, axis=None, kind="stable")
    hits = np.cumsum(right.ravel()[order])
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + right.sum() + missing)
    at = int(f1.argmax())
    return {"micro_f1": float(f1[at]), "least": float(1 / (1 + np.exp(-logits.ravel()[order][at])))}


def main(argv: list[str] | None = None) -> None:
    run_folder.environment()
    from transformers import TrainingArguments

    train(*parse(argv, Source, TrainingArguments, __doc__))


if __name__ == "__main__":
    run(main)
