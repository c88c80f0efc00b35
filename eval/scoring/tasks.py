"""The two tasks as scoring sees them: the rule of training, the levels, and the labels that answers stand for.

task = TASKS["mimic_drg"]
row = task.score(completion, gold, options)
labelled = task.label(predictions, golds, options)
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from eval.scoring.icd_labels import label as label_icd
from eval.scoring.labels import Labelled, Options
from eval.scoring.metrics import INVALID
from reward_fns.answers import parse, with_prefill
from reward_fns.drg import ms_drg, published
from reward_fns.drg import reward as drg
from reward_fns.icd import icd10
from reward_fns.icd import reward as icd

Row = dict[str, float | str]

_LONGEST = 200  # characters of an answer that are kept


@dataclass(frozen=True)
class Task:
    """One of the two tasks."""

    key: str
    source: str  # data_source
    levels: dict[str, str]  # name and title
    flags: tuple[str, ...]  # 0 or 1 per completion
    numbers: tuple[str, ...]  # other numbers per completion
    valid: str  # what a valid answer is
    score: Callable[[str, str, Options], Row]  # flags, numbers, pred, published (what its parser reads), reward_error
    label: Callable[[list[list[str]], list[str], Options], Labelled]
    check_gold: Callable[..., None]
    names: tuple[tuple[str, ...], ...] = ()  # of the labels of each level, where the task fixes them


def _score_drg(completion: str, gold: str, options: Options) -> Row:
    scored = drg.compute_score("mimic_drg", completion, gold, accuracy="strict", prefill=options.prefill)
    found = parse(completion, "answer", options.prefill)
    parts = published.parts(with_prefill(completion, options.prefill))
    return {
        **{name: scored[name] for name in ("pred", "acc", "base", "status", "reward_error")},
        "format": float(scored["format"] == 0),
        "valid": float(scored["pred"] in ms_drg.BY_TITLE),
        "reward": scored["score"],
        "answer_first": scored["cot_first"],
        "reasoning_words": float(len(found.reasoning.split())),
        "published": parts[1][:_LONGEST] if parts else "",
    }


_BASES = {base: i for i, base in enumerate(dict.fromkeys(entry.base for entry in ms_drg.DRGS))}
_LABELS = {entry.title: (i, _BASES[entry.base], entry.status) for i, entry in enumerate(ms_drg.DRGS)}
_NAMES = (tuple(_LABELS), tuple(_BASES), ms_drg.STATUS_WORDS)


def _label_drg(pred: list[list[str]], gold: list[str], options: Options) -> Labelled:
    nothing = (INVALID,) * len(_NAMES)
    said = np.array([[_LABELS.get(title, nothing) for title in row] for row in pred])
    return Labelled(said, np.array([_LABELS[ms_drg.find(title).title] for title in gold]), _NAMES)


def _score_icd(completion: str, gold: str, options: Options) -> Row:
    scored = icd.compute_score("mimic_icd", completion, gold, prefill=options.prefill, extra_codes=options.extra_codes)
    found = parse(completion, "diagnosis", options.prefill)
    pred = str(scored["pred"])
    exists = bool(pred) and icd10.exists(pred, options.extra)
    right = icd.only_code(gold)
    return {
        **{name: scored[name] for name in ("pred", "acc", "category", "chapter", "reward_error")},
        "format": float(bool(pred)),
        "valid": float(exists),
        "reward": scored["score"],
        "overlap": icd10.overlap(pred, right) / max(len(pred), len(right)) if exists else 0.0,
        "reasoning_words": float(len(found.reasoning.split())),
        "published": icd10.normalise(found.text)[:_LONGEST],
    }


DRG = Task(
    key="drg",
    source="mimic_drg",
    levels={"drg": "DRG", "base": "base DRG", "status": "CC/MCC status"},
    flags=("acc", "base", "status", "format", "valid", "answer_first"),
    numbers=("reward", "reasoning_words"),
    valid="an MS-DRG v34 title",
    score=_score_drg,
    label=_label_drg,
    check_gold=drg.check_gold,
    names=_NAMES,
)
ICD = Task(
    key="icd",
    source="mimic_icd",
    levels={"chapter": "chapter", "category": "category", "code": "full code"},
    flags=("acc", "category", "chapter", "format", "valid"),
    numbers=("reward", "overlap", "reasoning_words"),
    valid="an ICD-10-CM code that exists",
    score=_score_icd,
    label=label_icd,
    check_gold=icd.check_gold,
)
TASKS = {task.source: task for task in (DRG, ICD)}
