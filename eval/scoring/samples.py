"""The completions of a folder of generations, scored with the rule of training.

samples = score_folder(Path("runs/test"))
samples.numbers["acc"]  # N cases x n samples, in the order of the cases' index
samples = read_samples(Path("runs/test"))  # the same from per_sample.parquet; eval.score says what is in it
"""

import json
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from common.commands import UserError, existing
from common.files import whole_file
from eval.generation import parts
from eval.scoring import votes
from eval.scoring.labels import Labelled, check_golds, label, scope_of
from eval.scoring.metrics import INVALID, Array
from reward_fns.answers import parse
from reward_fns.task import TASKS, Scope, Task

PER_SAMPLE = "per_sample.parquet"
LONGEST = 200  # characters of an answer as the published evaluation reads it
CASE = ["index", "hadm_id", "subject_id", "ground_truth"]
AGAIN = "run `python -m eval.generate` again with the same settings, which fills in what is missing"
_WHOLE = ("n_tokens", "reasoning_words")


@dataclass(frozen=True)
class Samples:
    """Scored completions: numbers and answers, none of the text around them."""

    folder: Path
    run: dict[str, Any]
    task: Task
    cases: pa.Table  # CASE
    pred: list[list[str]]
    numbers: dict[str, Array]  # the task's flags and numbers, n_tokens and truncated: N x n
    labelled: Labelled
    scope: Scope | None = None  # not kept in per_sample.parquet, as the next
    published: list[list[str]] | None = None  # what the published parser reads
    chances: list[dict[str, float]] | None = None  # of a classifier: labels of the finest level, most probable first
    steps: Labelled | None = None  # and the sets that these are

    @property
    def n(self) -> int:
        return self.labelled.said.shape[1]

    def golds(self) -> list[str]:
        """The gold of every case at the finest level."""
        names = self.labelled.names[self.task.finest]
        return [names[gold] for gold in self.labelled.gold[:, self.task.finest].tolist()]

    def ballots(self, least: float = votes.LEAST) -> list[votes.Ballot]:
        """What the samples of every case, or a classifier's probabilities, say."""
        if self.chances:
            return [votes.chosen(self.task, each, least) for each in self.chances]
        names = np.array([*self.labelled.names[self.task.finest], None], dtype=object)  # INVALID is the last
        said = names[self.labelled.said[:, :, self.task.finest]].tolist()
        return [votes.ballot(self.task, row, least) for row in said]

    @property
    def voting(self) -> Labelled:
        """What votes for the members of sets."""
        return self.steps or self.labelled

    @property
    def patients(self) -> Array:
        return self.cases["subject_id"].to_numpy()

    def same_cases(self, other: "Samples") -> bool:
        """Whether two runs can stand beside each other case by case."""
        return self.task is other.task and self.cases.equals(other.cases)

    def completions(self, wanted: Set[int]) -> dict[int, list[str]]:
        """What was generated for these cases, by their index."""
        found = {
            index: completions
            for _, table in parts.read(self.folder, self.run["settings"], ["index", "completions"])
            for index, completions in zip(table["index"].to_pylist(), table["completions"].to_pylist(), strict=True)
            if index in wanted
        }
        if missing := wanted - found.keys():
            raise UserError(f"{self.folder} lacks the completions of case {min(missing)}; restore its parts")
        return found


def named(argument: str) -> tuple[str, Path]:
    """The folder of an argument [NAME=]DIR, and its name: the folder's own where none is said."""
    name, equals, folder = argument.partition("=")
    if equals and name and not Path(argument).exists():
        return name, Path(folder)
    return Path(argument).resolve().name, Path(argument)


def score_folder(folder: Path, **files: str | None) -> Samples:
    """Read, check and score a finished folder, one part at a time; `files` are those of eval.scoring.labels."""
    run = parts.read_run(folder)
    settings = run["settings"]
    if parts.being_written(folder):
        raise UserError(f"{folder} is still being written; wait until that eval.generate has ended")
    if not run["finished"]:
        raise UserError(f"{folder} is not finished, its eval.generate was stopped; {AGAIN}")
    found = len(parts.done(folder, settings))
    if found != run["prompts"]:
        raise UserError(f"{folder} has {found} of {run['prompts']} cases, a part is missing; {AGAIN}")
    task, scope, tables, rows, chances = None, Scope(), [], [], []
    count = len(parts.paths(folder))
    for path, table in tqdm(parts.read(folder, settings), "scoring", count, leave=False, unit=" parts", mininterval=1):
        before, task = task, _task(path, table, task)
        scope = scope if before else scope_of(task, folder, settings, files)
        _check(path, table, settings["sampling"]["n"])
        rows += _scored(path, table, task, scope)
        tables.append(table.select(CASE))
        if parts.CHANCES.name in table.column_names:
            chances += map(dict, table[parts.CHANCES.name].to_pylist())
    if task is None:
        raise UserError(f"{folder} holds no case; generate from a data file with rows")
    cases = pa.concat_tables(tables).replace_schema_metadata(None)
    order = np.argsort(cases["index"].to_numpy())
    cases, rows = cases.take(order), [rows[i] for i in order]

    def of_samples(name: str) -> list[list[Any]]:
        return [[sample[name] for sample in row] for row in rows]

    numbers = {name: np.array(of_samples(name), dtype=float) for name in _numbers(task)}
    pred, golds = of_samples("pred"), cases["ground_truth"].to_pylist()
    check_golds(task, golds, scope)
    labelled = label(task.levels, pred, golds, scope)
    chances, steps = [chances[i] for i in order] if chances else None, None
    if chances and task.sets:
        steps = label(task.levels, [votes.steps(task, each) for each in chances], golds, scope)
    return Samples(folder, run, task, cases, pred, numbers, labelled, scope, of_samples("published"), chances, steps)


def _numbers(task: Task) -> tuple[str, ...]:
    """The numbers of every sample."""
    return (*task.flags, *task.numbers, "n_tokens", "truncated")


def _task(path: Path, table: pa.Table, before: Task | None) -> Task:
    known = [TASKS.of_source(source, path) for source in table["data_source"].unique().to_pylist()]
    if len(known) > 1 or before not in (None, known[0]):
        mixed = " and ".join(task.source for task in TASKS.values())
        raise UserError(f"{path} mixes cases of {mixed}; generate from a data file of one task")
    return known[0]


def _check(path: Path, table: pa.Table, n: int) -> None:
    for name in ("completions", "n_tokens", "finish_reason"):
        short = table.filter(pc.not_equal(pc.fill_null(pc.list_value_length(table[name]), 0), n))
        if short.num_rows:
            raise UserError(f"{path}: case {short['index'][0].as_py()} does not have {n} samples; {parts.REMEDY}")
        if pc.list_flatten(table[name]).null_count:
            raise UserError(f"{path} has empty places in {name}; {parts.REMEDY}")


def _scored(path: Path, table: pa.Table, task: Task, scope: Scope) -> list[list[dict[str, Any]]]:
    rows, check_gold, reward = [], task.module().check_gold, task.scorer(**scope.options)
    names = ("index", "ground_truth", "completions", "n_tokens", "finish_reason")
    for case, gold, *samples in zip(*(table[name].to_pylist() for name in names), strict=True):
        try:
            check_gold(gold, **scope.files)
        except ValueError as error:
            raise UserError(f"{path}: case {case}: {error}; prepare the data of {task.source} again") from error
        row = []
        for text, tokens, reason in zip(*samples, strict=True):
            scored = reward(text, gold)
            if scored["reward_error"]:
                raise UserError(f"{path}: case {case} has a completion that the reward cannot score; report it")
            found = parse(text, task.tag, scope.prefill)
            sample = {**task.read(scored, gold, scope), "pred": scored["pred"], "reward": scored["score"]}
            sample |= {"n_tokens": tokens, "truncated": reason == "length"}
            sample["reasoning_words"] = float(len(found.reasoning.split()))
            sample["published"] = task.published.read(text, found, scope)[:LONGEST] if task.published else ""
            row.append(sample)
        rows.append(row)
    return rows


def write_samples(samples: Samples) -> None:
    """Write per_sample.parquet beside the generations: one row per case, with lists over its samples."""
    task, labelled = samples.task, samples.labelled
    table = samples.cases.append_column("pred", pa.array(samples.pred, pa.list_(pa.string())))
    for i, (level, names) in enumerate(zip(task.levels, labelled.names, strict=True)):
        texts = np.array([*names, None], dtype=object)  # INVALID is the last
        table = table.append_column(f"gold_{level.key}", pa.array(texts[labelled.gold[:, i]], pa.string()))
        said = pa.array(texts[labelled.said[:, :, i]].tolist(), pa.list_(pa.string()))
        table = table.append_column(f"said_{level.key}", said)
    for name in _numbers(task):
        of = pa.int32() if name in _WHOLE else pa.float32() if name in task.numbers else pa.int8()
        numbers = samples.numbers[name].astype(of.to_pandas_dtype())
        table = table.append_column(name, pa.array(numbers.tolist(), pa.list_(of)))
    about = {
        "task": task.source,
        "names": labelled.names if any(level.names is None for level in task.levels) else [],
        "in_file": [int(marks.sum()) for marks in labelled.in_file],
    }
    with whole_file(samples.folder / PER_SAMPLE) as made:
        pq.write_table(table.replace_schema_metadata({"labels": json.dumps(about)}), made)


def read_samples(folder: Path) -> Samples:
    """The same samples again, from per_sample.parquet: no completion is read or scored."""
    path = existing(folder / PER_SAMPLE, "the file", "run `python -m eval.score` on that folder")
    try:
        table = pq.read_table(path, partitioning=None)
        about = json.loads(table.schema.metadata[b"labels"])
        task = TASKS.of_source(about["task"])
        numbers = {name: np.array(table[name].to_pylist(), dtype=float) for name in _numbers(task)}
        labelled = _labelled(table, task, about)
        pred = table["pred"].to_pylist()
        return Samples(folder, parts.read_run(folder), task, table.select(CASE), pred, numbers, labelled)
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged or of another version; run `python -m eval.score` again") from error


def _labelled(table: pa.Table, task: Task, about: dict[str, Any]) -> Labelled:
    names = tuple(map(tuple, about["names"])) or tuple(level.names or () for level in task.levels)
    said, gold = [], []
    for level, known in zip(task.levels, names, strict=True):
        place = {name: i for i, name in enumerate(known)} | {None: INVALID}
        said.append([[place[label] for label in row] for row in table[f"said_{level.key}"].to_pylist()])
        gold.append([place[label] for label in table[f"gold_{level.key}"].to_pylist()])
    in_file = tuple(np.arange(len(known)) < count for known, count in zip(names, about["in_file"], strict=False))
    return Labelled(np.stack(said, axis=2), np.stack(gold, axis=1), names, in_file)
