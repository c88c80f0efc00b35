"""What a user's files add to a code's official entry: what its condition looks like, and what the guideline says of it.

    from reward_fns.icd import guidance
    guidance.symptoms("I214", "symptoms.csv")           # CSV: code, description
    guidance.guideline("I214", "guidelines.json")       # written by `python -m data_prep.guidelines`

The judge's prompt and the requests for reasoning traces show both; of a guideline, the passages that are about the code
(reward_fns.icd.passages). Without a file, or where it says nothing, the text
is empty; read_symptoms and read_guidelines raise ValueError with a sentence for a file of another form.
"""

import csv
import json
from functools import lru_cache
from pathlib import Path

from reward_fns.icd import icd10, passages, tabular

MOST = 6000  # characters of the code set's entry, and of a guideline


def symptoms(code: str, path: str | None) -> str:
    """The description of the code or of the nearest code above it that has one."""
    if not path:
        return ""
    known, code = read_symptoms(path), _listed(code)
    return next((known[code[:end]] for end in range(len(code), 2, -1) if known.get(code[:end])), "")


@lru_cache(maxsize=1 << 14)
def guideline(code: str, path: str | None) -> str:
    """What the guidelines of the code's chapter, and of others that name it, say of the code, in whole sentences."""
    if not path:
        return ""
    listed = _listed(code)
    return passages.about(listed, icd10.chapter(listed), read_guidelines(path), MOST)


def facts(code: str, symptoms_file: str | None, guidelines_file: str | None) -> str:
    """What the writer of a reasoning is told of a code: its official entry, and what the user's files add."""
    parts = {
        "From the code set": tabular.describe(code, MOST),
        "Typical findings": symptoms(code, symptoms_file),
        "Guideline of the chapter": guideline(code, guidelines_file),
    }
    return "\n\n".join(f"{name}:\n{text}" for name, text in parts.items() if text)


@lru_cache(maxsize=4)
def read_symptoms(path: str) -> dict[str, str]:
    """Code without dot -> description."""
    with open(str(path), encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        if not {"code", "description"} <= set(rows.fieldnames or ()):
            raise ValueError(f"{path} lacks the columns code and description; name them in its first line")
        return {icd10.normalise(row["code"] or ""): (row["description"] or "").strip() for row in rows}


@lru_cache(maxsize=4)
def read_guidelines(path: str) -> dict[str, str]:
    """Chapter -> its guideline."""
    try:
        chapters = json.loads(Path(path).read_text(encoding="utf-8"))["chapters"]
        return {str(number): str(chapter["text"]) for number, chapter in chapters.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path} is no file of guidelines; `python -m data_prep.guidelines PDF` writes one") from None


def _listed(code: str) -> str:
    """A code of another year's list as the nearest one above it that is in ours."""
    return tabular.nearest_known(code) or icd10.normalise(code)
