"""What became of the requests for traces: a table, a picture, and quality.json.

print(write(folder, rows, cases, settings))    # rows: one a completion, see SCHEMA
"""

import json
from collections import Counter
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Any

import pyarrow as pa

from common.files import whole_file
from common.record import commit, versions
from eval.page import drawing
from eval.page.figure import Figure
from reward_fns.task import TASKS
from sft.tracing.quality import reasons

SCHEMA = pa.schema(
    [
        ("index", pa.int64()),
        ("hadm_id", pa.int64()),
        ("draw", pa.int32()),
        ("ground_truth", pa.string()),
        ("reason", pa.string()),  # "" where the trace was accepted
        ("words", pa.int32()),  # of the reasoning; 0 where the form is wrong
    ]
)
Rows = list[dict[str, Any]]


def write(folder: Path, rows: Rows, cases: int, settings: dict[str, Any]) -> str:
    """Write quality.json and quality.svg; the table as text."""
    says = reasons(TASKS[settings["task"]])
    found = summary(rows, cases, list(says))
    with whole_file(folder / "quality.json") as made:
        record = found | {"settings": settings, "commit": commit(), "versions": versions()}
        made.write_text(json.dumps(record, indent=2) + "\n")
    counts = {"accepted": found["accepted"], **found["rejected"]}
    draw = partial(drawing.requests, counts=counts, words=[row["words"] for row in rows if not row["reason"]])
    Figure("quality", "requests for traces", "", draw).save(folder, ["svg"])
    return table(found, says)


def summary(rows: Rows, cases: int, order: list[str]) -> dict[str, Any]:
    """Counts and shares: by case and by request, the words of accepted traces, the answers that they cover."""
    good = [row for row in rows if not row["reason"]]
    rejected = Counter(row["reason"] for row in rows if row["reason"])
    asked, taken = (Counter(row["draw"] for row in some) for some in (rows, good))
    return {
        "cases": cases,
        "cases_accepted": len({row["index"] for row in good}),
        "requests": len(rows),
        "accepted": len(good),
        "rejected": {reason: rejected[reason] for reason in order if rejected[reason]},
        "by_draw": {draw: {"requests": asked[draw], "accepted": taken[draw]} for draw in sorted(asked)},
        "words": _spread(sorted(row["words"] for row in good)),
        "answers": len({row["ground_truth"] for row in rows}),
        "answers_covered": len({row["ground_truth"] for row in good}),
    }


def table(found: dict[str, Any], says: dict[str, str]) -> str:
    """The counts as lines of text, with what each reason says."""
    requests = max(1, found["requests"])
    lines = [f"{'accepted':<12} {found['accepted']:>8,} {found['accepted'] / requests:>7.1%}"]
    for reason, count in sorted(found["rejected"].items(), key=lambda item: -item[1]):
        lines.append(f"{reason:<12} {count:>8,} {count / requests:>7.1%}  {says[reason]}")
    if words := found["words"]:
        said = ", ".join(f"{name} {value:.0f}" for name, value in words.items())
        lines.append(f"words of an accepted reasoning: {said}")
    lines.append(
        f"cases with a trace: {found['cases_accepted']:,} of {found['cases']:,}; "
        f"answers covered: {found['answers_covered']:,} of {found['answers']:,}"
    )
    return "\n".join(lines)


def _spread(words: list[int]) -> dict[str, float]:
    if len(words) < 2:
        return {}
    low, middle, high = quantiles(words, n=4)
    return {
        "mean": sum(words) / len(words), "least": words[0], "quarter": low, "median": middle, "three quarters": high,
        "most": words[-1],
    }  # fmt: skip
