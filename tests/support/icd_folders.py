"""Folders of generations for ICD-10-CM, with their label file beside them, that tests of evaluation share."""

import json
from pathlib import Path

from tests.support.eval_folders import BAD_FORMAT, folder, settings

# The label file; I2109 is no code of it, X99 exists and is not in it, Q9999 does not exist.
LABELS = ["I214", "I219", "I509", "E119", "J189", "A419"]
CASES = [
    (1, "I214", ["I21.4"]),  # right
    (1, "I214", ["I219"]),  # category and chapter right
    (2, "I509", ["I2109"]),  # chapter right; category I21; as a code NIL
    (3, "E119", ["Q9999"]),  # does not exist: NIL below, no answer at chapter level
    (4, "J189", [None]),  # unparsed
    (5, "A419", ["X99"]),  # exists outside the file: chapter 20, NIL below
]


def say(code: str) -> str:
    return f"<think>\nwords of a reasoning\n</think>\n<diagnosis>\n{code}\n</diagnosis>"


def icd_folder(out: Path, cases=CASES, labels=LABELS, raw=False, **changed) -> Path:
    """A folder of generations; cases have codes, or whole completions (`raw`)."""
    data = out.parent / "data"
    data.mkdir(exist_ok=True)
    levels = {"chapter": [], "category": sorted({code[:3] for code in labels}), "code": [*labels, "NIL"]}
    (data / "labels.json").write_text(json.dumps(levels))
    made_with = settings(data={"name": str(data / "test.parquet"), "sha256": "d" * 64, "limit": None}, **changed)
    n = len(cases[0][2])
    made_with["sampling"] |= {"n": n}
    rows = [
        (patient, gold, codes if raw else [BAD_FORMAT if code is None else say(code) for code in codes])
        for patient, gold, codes in cases
    ]
    return folder(out, rows, made_with=made_with, source="mimic_icd", per_part=max(3, len(rows) // 4))
