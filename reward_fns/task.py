"""What is special about a task outside data and recipes: one frozen object, which every command asks.

    task = TASKS["drg"]                  # by its key
    task = TASKS.of_source("mimic_drg")  # by the data_source of a row

A new task is a folder beside this file with a `task.py` that defines TASK, one data command, and its line in FOLDERS.
Reading a task costs no torch, pandas or network.
"""

import importlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

from common.commands import UserError
from reward_fns.answers import Answer

FOLDERS = ("drg", "icd", "icd_set")  # of this package, in the order in which tables show them

Score = Mapping[str, Any]  # what a reward returns
Flags = Mapping[str, float]


@dataclass(frozen=True)
class Scope:
    """What scoring needs beside a completion: its prefill, the labels of the data, files that the reward reads."""

    prefill: str = ""
    labels: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)  # reward option -> path

    @property
    def options(self) -> dict[str, Any]:
        """As options of the reward."""
        return {"prefill": self.prefill, **self.files}

    @cached_property
    def known(self) -> frozenset[str]:
        """The labels, quick to look up."""
        return frozenset(self.labels)


@dataclass(frozen=True)
class Level:
    """A level at which an answer is right or wrong, and the label that an answer stands for there."""

    key: str
    title: str
    label: Callable[[str, Scope], str | None]  # of an answer; None: it says nothing valid
    gold: Callable[[str, Scope], str]  # of a gold, or of a code of the label file
    flag: str = "acc"  # the flag of a completion that says that it is right here
    names: tuple[str, ...] | None = None  # every label, where the task fixes them; else those of label file or data
    rest: str | None = None  # the one label of answers outside the label file; None: each is its own


@dataclass(frozen=True)
class Measure:
    """A number of every completion, declared once: its name, what its mean is, its unit, its heading in tables.

    `value` computes it from the columns that are there already; without one it is among what Task.read returns.
    """

    name: str
    definition: str
    unit: str = "share"  # or reward, words, tokens
    heading: str = ""  # "": no column of the report
    value: Callable[[Mapping[str, Any]], Any] | None = None


class Grouping(NamedTuple):
    """Cases grouped by their gold (`of`), or with of=None the classes of the level of that name."""

    key: str
    title: str
    of: Callable[[str], str] | None


class Check(NamedTuple):
    """What a reasoning of a style must not be: the reason to reject it, in a word and in words."""

    reason: str
    says: str
    holds: Callable[[str, str], bool]  # of reasoning and gold


@dataclass(frozen=True)
class Published:
    """How the paper's own evaluation reads answers, where that differs from ours."""

    read: Callable[[str, Answer, Scope], str]  # of a completion and its answer as ours has it
    levels: tuple[Level, ...]
    rule: str


@dataclass(frozen=True)
class Task:
    """One task. Flags are 0 or 1 per completion, numbers any other values; `read` gives both but for what all share."""

    key: str
    source: str  # data_source of its rows
    title: str
    paper: str  # folder of recipes whose evaluation is the default
    tag: str  # of the answer's block
    reward: str  # module that verl is given
    levels: tuple[Level, ...]
    flags: tuple[str, ...]
    numbers: tuple[str, ...]
    measures: tuple[Measure, ...]
    valid: str  # what a valid answer is
    read: Callable[[Score, str, Scope], dict[str, float]]  # of a reward, the gold
    maximum: Callable[[str], float]  # the highest score of a gold under the reward's default options
    columns: tuple[str, ...]  # of the main table, at each level; @n is the number of samples
    printed: tuple[str, ...]  # the same for the terminal
    groups: tuple[Grouping, ...]
    stands: str  # the metric that stands for a group of the first grouping
    confusion: str  # level whose labels are set against each other; "": none, as where they are sets
    pairs: str  # level whose most frequent confusions are listed, or ""
    kinds: Mapping[str, str]  # of wrong and right answers, and what they mean
    kind: Callable[[str, str, Flags], str]  # of an answer, its gold and flags
    describe: Callable[[str], str]  # an answer or gold in words
    points: Callable[[Score, Mapping[str, Any]], list[str]]  # what a score is made of, under these options
    styles: Mapping[str, tuple[Check, ...]]  # of reasoning traces
    canonical: Callable[[str], str] = str  # an answer as it is written officially; the text itself where it is none
    official: Callable[[str], str] | None = None  # the title of an answer, where that is more than the answer
    example: str = ""  # a gold, for scoring what has none: pred is the answer, whatever is right
    options: Mapping[str, Any] = field(default_factory=dict)  # of the reward, in evaluation
    files: Mapping[str, str] = field(default_factory=dict)  # reward option -> its file beside the data
    label_file: str | None = None  # beside the data; answers outside its labels are a class of their own
    classes: bool = False  # precision, recall and F1 over labels, too
    sources: tuple[str, ...] = ()  # of rows from elsewhere
    sets: str = ""  # what stands between the members of a label that is a set: they are measured one by one, too
    published: Published | None = None
    weights: Callable[[str | Path, int, Collection[str]], Mapping[str, float]] | None = None  # of a file of relative
    # weights and its fiscal year: the weight of each label, of these at least
    facts: Callable[[str, str | None, str | None], str] | None = None  # what the writer of a trace is told of a gold,
    # with the user's files of symptoms and guidelines
    prompts: Path | None = None  # folder of its prompt files where they do not stand in data_prep/prompts

    def level(self, key: str) -> int:
        """The place of a level."""
        return [level.key for level in self.levels].index(key)

    @property
    def finest(self) -> int:
        """The place of the level at which right means right."""
        return next(i for i, level in enumerate(self.levels) if level.flag == "acc")

    def module(self) -> Any:
        """The reward's module."""
        return importlib.import_module(self.reward)

    def completion(self, reasoning: str, answer: str) -> str:
        """A completion in the form that the prompt asks for and the reward checks."""
        return f"<think>\n{reasoning}\n</think>\n<{self.tag}>\n{answer}\n</{self.tag}>"

    def scorer(self, **options: Any) -> Callable[[str, str], Score]:
        """The reward of a completion for a gold, under the options of evaluation and these."""
        return partial(self.module().compute_score, self.source, **{**self.options, **options})


class Tasks(Mapping[str, Task]):
    """Every task by its key; the folders are read at the first look."""

    @cached_property
    def _tasks(self) -> dict[str, Task]:
        tasks: dict[str, Task] = {}
        for folder in FOLDERS:
            _add(tasks, importlib.import_module(f"reward_fns.{folder}.task").TASK)
        return tasks

    def register(self, task: Task) -> Task:
        """Add a task of one's own, checked."""
        return _add(self._tasks, task)

    def unregister(self, key: str) -> None:
        del self._tasks[key]

    def of_source(self, source: object, where: object = "the data") -> Task:
        """The task of a data_source, or a sentence."""
        for task in self.values():
            if source in (task.source, *task.sources):
                return task
        known = ", ".join(name for task in self.values() for name in (task.source, *task.sources))
        raise UserError(f"{where}: the data_source {source!r} is unknown; known: {known}")

    def __getitem__(self, key: str) -> Task:
        return self._tasks[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)


def _add(tasks: dict[str, Task], task: Task) -> Task:
    """Add a task that has all its parts, which fit each other; a UserError names what does not."""
    for other in tasks.values():
        if {task.key, task.source, *task.sources} & {other.key, other.source, *other.sources}:
            raise UserError(f"task {task.key}: its key or source {task.source} is that of {other.key}; rename it")
    levels = [level.key for level in task.levels]
    names = [*task.flags, *task.numbers, *(measure.name for measure in task.measures if measure.value)]
    twice = next((name for name in names if names.count(name) > 1), None)
    unread = next((measure.name for measure in task.measures if measure.name not in names), None)
    for wrong, sentence in (
        (not levels, "has no level"),
        (len(set(levels)) < len(levels), "has two levels of one name"),
        (twice, f"declares {twice} twice"),
        (unread, f"has the measure {unread}, which neither flags nor numbers nor a value of its own give"),
        (not any(level.flag == "acc" for level in task.levels), "has no level with the flag acc"),
        (not {level.flag for level in task.levels} <= set(task.flags), "has a level whose flag is not among its flags"),
        (not {task.confusion, task.pairs} <= {*levels, ""}, "names a level for confusion or pairs that it lacks"),
        (not task.kinds or not task.groups, "has no kinds of answers or no grouping"),
    ):
        if wrong:
            raise UserError(f"task {task.key} ({task.reward}) {sentence}; mend its task.py")
    tasks[task.key] = task
    return task


TASKS = Tasks()
