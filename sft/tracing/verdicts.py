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

COLUMNS = ["index", "hadm_id", "subject_id", "ground_truth", "completions", "finish_reason"]


class Verdicts:
    """Collects draw by draw; the first accepted trace of a case is the one that counts."""

    def __init__(self, wanted: Settings) -> None:
        self.wanted = wanted
        self.accepted: dict[int, dict[str, Any]] = {}
        self.rejected: dict[int, dict[str, Any]] = {}
        self.rows: list[dict[str, Any]] = []

    def read(self, folder: Path, made: dict[str, Any], draw: int, cases: pa.Table) -> None:
        """Judge what a draw wrote for these cases; under other limits it may have been asked for more."""
        case = dict(zip(cases["index"].to_pylist(), cases["case"].to_pylist(), strict=True))
        with tqdm(total=cases.num_rows, unit=" traces", desc=f"judging draw {draw}") as bar:
            for _, part in parts.read(folder, made):
                for row in part.select(COLUMNS).to_pylist():
                    if row["index"] in case:
                        for said in zip(row.pop("completions"), row.pop("finish_reason"), strict=True):
                            self._judge(row, *said, draw, case[row["index"]])
                        bar.update()

    def _judge(self, row: dict[str, Any], text: str, finish: str, draw: int, case: str) -> None:
        wanted, task, gold = self.wanted, TASKS[self.wanted.task], row["ground_truth"]
        reason = quality.fault(wanted, text, finish, gold, case)
        parsed = answers.parse(text, task.tag)
        self.rows.append(row | {"draw": draw, "reason": reason, "words": len(parsed.reasoning.split())})
        if parsed.format_ok:
            right = quality.right(task, text, gold, wanted.extra_codes)
            answer = gold if right else task.canonical(parsed.text)
            said = {"task": task.key, "style": wanted.style, "reasoning": parsed.reasoning, "answer": answer}
            found = self.rejected if reason else self.accepted
            found.setdefault(row["index"], row | said | {"accepted": not reason})

    def traces(self) -> list[dict[str, Any]]:
        """One row a case, in the order of the data; the rejected ones keep their place."""
        return [row for _, row in sorted((self.rejected | self.accepted).items())]
