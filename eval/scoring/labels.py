"""Answers as numbers of labels, and the files that say which labels and codes there are."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from common.commands import UserError, existing
from reward_fns.icd import icd10

NIL = "NIL"  # the one class of ICD answers outside the label file
REMEDY = "give --labels the labels.json that `python -m data_prep.icd` wrote"


@dataclass(frozen=True)
class Options:
    """What scoring needs beside a completion: its prefill; for ICD also the labels and the codes that exist."""

    prefill: str = ""
    labels: tuple[str, ...] = ()
    extra_codes: str | None = None

    @cached_property
    def extra(self) -> frozenset[str]:
        return icd10.read_codes(self.extra_codes) if self.extra_codes else icd10.NONE


@dataclass(frozen=True)
class Labelled:
    """What every sample says and what is right, at each level; an invalid answer has no label (metrics.INVALID)."""

    said: np.ndarray  # cases x samples x levels
    gold: np.ndarray  # cases x levels
    names: tuple[tuple[str, ...], ...]  # of the labels of each level
    in_file: tuple[np.ndarray, ...] = ()  # which of them are in the label file (ICD)


def icd_options(settings: dict[str, Any], labels: str | None, extra_codes: str | None) -> Options:
    """The labels and codes of a run: the files named, or those that data preparation wrote beside the data."""
    beside = Path(settings["data"]["name"]).parent
    file = existing(labels or beside / "labels.json", "the label file", REMEDY)
    if extra_codes:
        existing(extra_codes, "the file of codes", "check --extra-codes")
    elif (beside / "codes.txt").is_file():
        extra_codes = str(beside / "codes.txt")
    try:
        codes = json.loads(file.read_text(encoding="utf-8"))["code"]
        found = tuple(sorted({icd10.normalise(code) for code in codes} - {NIL}))
        icd10.read_codes(extra_codes) if extra_codes else None
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is no label file; {REMEDY}") from error
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file} is no label file; {REMEDY}") from error
    except (ValueError, OSError) as error:  # read_codes' own sentence
        raise UserError(str(error)) from error
    wrong = next((code for code in found if not icd10.looks_like_code(code)), None)
    if not found or wrong:
        raise UserError(
            f"{file} holds {wrong!r}, no ICD-10-CM code; {REMEDY}" if wrong else f"{file} is empty; {REMEDY}"
        )
    return Options(settings["prefill"], found, extra_codes)
