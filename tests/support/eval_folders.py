"""Folders of generations that tests of evaluation share, as eval.generate leaves them, and their scores."""

import json
from pathlib import Path

import pyarrow as pa

from common import record
from eval.generation import parts

MCC, CC, WITHOUT = (f"HEART FAILURE AND SHOCK {status}" for status in ("WITH MCC", "WITH CC", "WITHOUT CC/MCC"))
CHEST = "CHEST PAIN"
HYPERTENSION = "HYPERTENSION WITH MCC"
SECRET = "a sentence of the reasoning"
BAD_FORMAT = f"<answer>{MCC}</answer>"


def say(answer: str) -> str:
    return f"<think>\n{SECRET}\n</think>\n<answer>\n{answer}\n</answer>"


# Per case: patient, gold, four completions. Cases 0 and 1 are of one patient.
CASES = [
    (1, MCC, [say(MCC), say(MCC), say(CC), say("NO SUCH TITLE")]),
    (1, CHEST, [say(HYPERTENSION), say(CHEST), BAD_FORMAT, BAD_FORMAT]),
    (2, CC, [say(MCC), say(WITHOUT), say(MCC), say(HYPERTENSION)]),
    (3, CHEST, [BAD_FORMAT, say("?"), "", "no answer at all"]),
]


def settings(**changed) -> dict:
    return {
        "model": {"name": "m", "fingerprint": "f" * 64},
        "data": {"name": "d", "sha256": "d" * 64, "limit": None},
        "sampling": {"n": 4, "temperature": 0.6, "top_p": 0.95, "max_tokens": 100},
        "seed": 0,
        "prefill": "",
        "dtype": "float32",
    } | changed


def folder(
    out: Path, cases=CASES, *, per_part: int = 3, made_with: dict | None = None, source: str = "mimic_drg"
) -> Path:
    """A folder of generations as eval.generate leaves it."""
    made_with = made_with or settings()
    out.mkdir(parents=True)
    for start in range(0, len(cases), per_part):
        add(out, cases[start : start + per_part], start, made_with, source)
    run = {"settings": made_with, "prompts": len(cases), "finished": True, "command": "python -m eval.generate"}
    record.write(out, **run)
    return out


def add(out: Path, cases: list, start: int, made_with: dict, source: str = "mimic_drg") -> None:
    index = list(range(start, start + len(cases)))
    columns = {
        "index": index,
        "hadm_id": [100 + i for i in index],
        "subject_id": [patient for patient, _, _ in cases],
        "data_source": [source] * len(cases),
        "ground_truth": [gold for _, gold, _ in cases],
        "completions": [texts for _, _, texts in cases],
        "n_tokens": [[10] * len(texts) for _, _, texts in cases],
        "finish_reason": [["stop"] * (len(texts) - 1) + ["length"] for _, _, texts in cases],
    }
    parts.add(out, pa.table(columns), made_with)


def scores_of(out: Path) -> dict:
    return json.loads((out / "scores.json").read_text())


def scored(command, out: Path) -> Path:
    done = command("eval.score", "--generations", out)
    assert done.returncode == 0, done.stderr
    return out
