"""Every draw of every case with the reason against it, and the trace that a case ends up with."""

from pathlib import Path
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from eval.generation import parts
from reward_fns import answers
from reward_fns.task import TASKS
from sft.tracing import quality
from sft.tracing.settings import Settings


class Verdicts:
    """Collects draw by draw; the first accepted trace of a case is the one that counts."""

    def __init__(self, wanted: Settings) -> None:
        self.wanted = wanted
        self.limits = quality.Limits(
            least=wanted.least_words, most=wanted.most_words, copied=wanted.copied, extra_codes=wanted.extra_codes
        )
        self.accepted: dict[int, dict[str, Any]] = {}
        self.rejected: dict[int, dict[str, Any]] = {}
        self.rows: list[dict[str, Any]] = []

    def read(self, folder: Path, made: dict[str, Any], draw: int, cases: pa.Table) -> None:
        """Judge what a draw wrote for these cases; under other limits it may have been asked for more."""
        case = dict(zip(cases["index"].to_pylist(), cases["case"].to_pylist(), strict=True))
        with tqdm(total=cases.num_rows, unit=" traces", desc=f"judging draw {draw}") as bar:
            for _, part in parts.read(folder, made):
                for row in (row for row in part.to_pylist() if row["index"] in case):
                    for text, finish in zip(row["completions"], row["finish_reason"], strict=True):
                        self._judge(row, text, finish, draw, case[row["index"]])
                    bar.update()

    def _judge(self, row: dict[str, Any], text: str, finish: str, draw: int, case: str) -> None:
        task, style, gold = TASKS[self.wanted.task], self.wanted.style, row["ground_truth"]
        reason = quality.fault(task, style, text, finish, gold, case, self.limits)
        parsed = answers.parse(text, task.tag)
        right = quality.right(task, text, gold, self.limits.extra_codes)
        self.rows.append(
            {
                "index": row["index"], "hadm_id": row["hadm_id"], "draw": draw, "ground_truth": gold,
                "reason": reason, "words": len(parsed.reasoning.split()),
            }
        )  # fmt: skip
        if parsed.format_ok:
            trace = {
                "hadm_id": row["hadm_id"], "subject_id": row["subject_id"], "task": task.key, "style": style,
                "ground_truth": gold, "reasoning": parsed.reasoning,
                "answer": gold if right else task.canonical(parsed.text),
                "accepted": not reason,
            }  # fmt: skip
            (self.rejected if reason else self.accepted).setdefault(row["index"], trace)

    def traces(self) -> list[dict[str, Any]]:
        """One row a case, in the order of the data; the rejected ones keep their place."""
        return [row for _, row in sorted((self.rejected | self.accepted).items())]
