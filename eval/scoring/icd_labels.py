"""ICD answers as classes at chapter, category and full code; NIL is the class of answers outside the label file.

A chapter has no NIL: a code that does not exist is no answer there. `label_published` files answers as the published
evaluator does: what it cannot parse goes to the chapter of its first letter (nothing at all: chapter 1), and to NIL.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from common.commands import UserError
from eval.scoring.labels import NIL, Labelled, Options
from eval.scoring.metrics import INVALID
from reward_fns.icd import icd10
from reward_fns.icd import reward as icd

Name = Callable[[str], str | None]


def label(pred: list[list[str]], gold: list[str], options: Options) -> Labelled:
    """Classes by this project's rule; `pred` is "" where an answer was not parsed."""
    return _label(pred, gold, options, lambda code: icd10.chapter(code, options.extra), lambda code: code or None)


def label_published(texts: list[list[str]], gold: list[str], options: Options) -> Labelled:
    """Classes as the published evaluator has them: every answer is in one."""
    return _label(texts, gold, options, _chapter_of_text, lambda text: text or NIL)


def _chapter_of_text(text: str) -> str:
    if not text[:1].isalpha() or not text.isascii():
        return "1"
    known = icd10.table()
    category = text[:3] if icd10.looks_like_code(text) else f"{text[0].upper()}00"
    return known.chapters[max(0, bisect_right(known.starts, category) - 1)]


@dataclass(frozen=True)
class _Level:
    """The classes of a level: their names, those of the label file first, and the class of every answer and code."""

    names: tuple[str, ...]
    in_file: np.ndarray
    said: dict[str, int]
    gold: dict[str, int]


def _label(pred: list[list[str]], gold: list[str], options: Options, chapter: Name, parsed: Name) -> Labelled:
    codes = sorted(options.labels)
    known = frozenset(codes)
    golds = [icd.only_code(code) for code in gold]
    missing = next((code for code in golds if code not in known), None)
    if missing is not None:
        raise UserError(
            f"the gold {missing} is not among the {len(codes)} codes of the label file; give --labels of the same data"
        )
    answers = {answer for row in pred for answer in row}
    code_of = {answer: parsed(answer) for answer in answers}
    levels = (
        _level({answer: chapter(answer) for answer in answers}, {code: icd10.chapter(code, known) for code in codes}),
        _level({answer: code and code[:3] for answer, code in code_of.items()}, {c: c[:3] for c in codes}, NIL),
        _level(code_of, {code: code for code in codes}, NIL),
    )
    return Labelled(
        np.stack([[[level.said[answer] for answer in row] for row in pred] for level in levels], axis=2),
        np.stack([[level.gold[code] for code in golds] for level in levels], axis=1),
        tuple(level.names for level in levels),
        tuple(level.in_file for level in levels),
    )


def _level(answers: dict[str, str | None], labels: dict[str, str], nil: str | None = None) -> _Level:
    """Answers outside the label file are the class `nil`, or without one (chapters) each its own."""
    file = sorted(set(labels.values()))
    outside = [nil] if nil else sorted({name for name in answers.values() if name is not None} - set(file))
    names = (*file, *outside)
    place = {name: i for i, name in enumerate(names)}
    said = {
        answer: INVALID if name is None else place.get(name, place.get(nil, INVALID))
        for answer, name in answers.items()
    }
    return _Level(names, np.arange(len(names)) < len(file), said, {code: place[name] for code, name in labels.items()})
