"""A classifier's answers, in the place of completions: the most probable class, or the classes that are likely enough.

    source = Classifier("runs/codiesp/sft/classifier")      # sft.classify trained it

Beside each answer stand the probabilities of the classes (eval.generation.parts.CHANCES), for eval.score. What training
shares with it is here, too: the text that is read of a case, its labels, and where the text is cut.
"""

import json
from collections.abc import Generator, Sequence
from typing import Any

import pyarrow as pa

from common.commands import UserError
from data_prep import prompts
from eval.generation import parts
from eval.generation.engines import answered
from eval.generation.sources import Source, fingerprint, model_folder
from reward_fns.task import TASKS, Scope, Task

KIND = "AutoModelForSequenceClassification"
ABOUT = "medcode"  # the key of config.json with what sft.classify says of a model
AT_ONCE = 1000  # texts
FLOOR, MOST_RANKS = 0.005, 10  # of the classes that are kept: the least probability, and how many whatever theirs
NO_REASONING = "-"  # a classifier gives none, and the format asks for one


def task_of(table: pa.Table, path: str) -> Task:
    """The one task of the cases of a file."""
    found = {TASKS.of_source(source, path).key for source in table["data_source"].unique().to_pylist()}
    if len(found) != 1:
        raise UserError(f"{path} holds {' and '.join(sorted(found)) or 'no rows'}; give the data of one task")
    return TASKS[found.pop()]


def notes(task: Task, chats: Sequence[list[dict[str, str]]]) -> list[str]:
    """The note of each chat, without our words around it."""
    before, after = prompts.load(task.key).user.split(prompts.NOTE)
    return [chat[-1]["content"].removeprefix(before).removesuffix(after) for chat in chats]


def labels(task: Task, golds: Sequence[str], path: str) -> list[list[str]]:
    """The labels of each gold: one, or the members of a set."""
    level, found = task.levels[task.finest], []
    for gold in golds:
        try:
            label = level.gold(gold, Scope())
        except (ValueError, AttributeError) as error:  # the second of a title that is none
            raise UserError(f"{path} has the gold {gold!r}, which is none of {task.title}; prepare it again") from error
        found.append(label.split(task.sets) if task.sets else [label])
    return found


def encoded(tokenizer: Any, texts: Sequence[str], most: int) -> tuple[pa.ChunkedArray, int]:
    """The token ids of each text, at most so many, and how many texts lost their end."""
    chunks, cut = [], 0
    for start in range(0, len(texts), AT_ONCE):
        ids = tokenizer(list(texts[start : start + AT_ONCE]), truncation=True, max_length=most + 1)["input_ids"]
        cut += sum(len(each) > most for each in ids)
        chunks.append(pa.array([each[:most] for each in ids], pa.list_(pa.int32())))
    return pa.chunked_array(chunks, pa.list_(pa.int32())), cut


class Classifier(Source):
    """A folder of sft.classify."""

    def __init__(self, model: str, batch: int) -> None:
        import torch

        self.folder, self.batch, self.cut = model_folder(model), batch, 0
        self.model = {"name": model, "fingerprint": fingerprint(self.folder)}
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.dtype = "bfloat16" if self.device == "cuda" else "float32"
        self.about = json.loads((self.folder / "config.json").read_text(encoding="utf-8")).get(ABOUT)
        if not self.about:
            raise UserError(f"{model} is no classifier; train one with `python -m sft.classify`")

    def complete(self, cases: pa.Table, settings: dict[str, Any]) -> Generator[pa.Table, None, None]:
        import torch
        import transformers

        kind = getattr(transformers, KIND)
        model = kind.from_pretrained(self.folder, dtype=getattr(torch, self.dtype)).to(self.device).eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(self.folder)
        task, names = TASKS[self.about["task"]], [model.config.id2label[i] for i in range(model.config.num_labels)]
        for start in range(0, cases.num_rows, AT_ONCE):
            some = cases.slice(start, AT_ONCE)
            ids, cut = encoded(tokenizer, notes(task, some["prompt"].to_pylist()), self.about["note_tokens"])
            self.cut += cut
            shares = [_ranked(names, each) for each in self._chances(model, tokenizer, ids.to_pylist(), task)]
            texts = [task.completion(NO_REASONING, self._answer(task, each)) for each in shares]
            made = answered(some, [[(text, 0, "stop")] for text in texts])
            yield made.append_column(
                parts.CHANCES, pa.array([list(each.items()) for each in shares], parts.CHANCES.type)
            )

    def usage(self) -> dict[str, Any]:
        return {"notes_cut": self.cut}

    def _answer(self, task: Task, chances: dict[str, float]) -> str:
        if not task.sets:
            return next(iter(chances))
        return task.sets.join(label for label, chance in chances.items() if chance >= self.about["least"])

    def _chances(self, model: Any, tokenizer: Any, ids: list[list[int]], task: Task) -> list[Any]:
        """The probability of every class, text by text; texts of like length are read together."""
        import torch

        order, found = sorted(range(len(ids)), key=lambda at: len(ids[at])), {}
        for start in range(0, len(order), self.batch):
            these = order[start : start + self.batch]
            padded = tokenizer.pad({"input_ids": [ids[at] for at in these]}, return_tensors="pt").to(self.device)
            with torch.inference_mode():
                logits = model(**padded).logits.double().cpu()
            chances = torch.sigmoid(logits) if task.sets else torch.softmax(logits, dim=1)
            found |= dict(zip(these, chances.numpy(), strict=True))
        return [found[at] for at in range(len(ids))]


def _ranked(names: Sequence[str], chances: Any) -> dict[str, float]:
    """The classes, the most probable first, as far as they are kept."""
    order = (-chances).argsort(kind="stable")
    count = max(MOST_RANKS, int((chances >= FLOOR).sum()))
    return {names[at]: float(chances[at]) for at in order[:count]}
