"""verl's metrics while it trains: kept for good in metrics.jsonl, which a resumed run continues, and a line a step.

progress = Progress(folder, total_steps, outcomes, from_step)    # verl logs to progress.fresh
progress.follow()                                                # now and then
"""

import json
from collections import deque
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recipes.launcher.alarms import Alarms
from verl_ext.batches import component_means, file_of

# What a step's line shows: heading, verl's metric, format.
COLUMNS = (
    ("reward", "critic/score/mean", "{:6.3f}"),
    ("right", "reward/acc/mean", "{:4.0%}"),
    ("tokens", "response_length/mean", "{:5.0f}"),
    ("KL", "actor/kl_loss", "{:.4f}"),
    ("entropy", "actor/entropy", "{:.3f}"),
    ("s/step", "timing_s/step", "{:5.1f}"),
)
RECENT = 10  # steps
FRESH = "metrics.part.jsonl"  # verl's own file, which it truncates


class Progress:
    """Follows the metrics of a run of so many steps, of which the first `done` are in its checkpoint."""

    def __init__(self, folder: Path, total: int, outcomes: Path, done: int = 0) -> None:
        self.kept, self.fresh = folder / "metrics.jsonl", folder / FRESH
        self.total, self.alarms = total, Alarms()
        known = set(self.kept.read_text().splitlines()) if self.kept.exists() else set()
        left = self.fresh.read_text().splitlines() if self.fresh.exists() else []
        self._keep([line for line in left if line not in known and _is_row(line)])  # of a launcher that was killed
        steps = {json.loads(row)["step"] for row in (*known, *left) if _is_row(row)}
        # verl saves a step before it logs it: a kill in between leaves a hole that nobody would fill
        self._keep([row for step in range(1, done + 1) if step not in steps and (row := _lost(outcomes, step))])
        self.last = max(steps, default=0)
        self._seconds: deque[float] = deque(maxlen=RECENT)
        self._warming = True
        self.fresh.write_text("")
        self._read = 0

    def follow(self) -> None:
        """Keep and show what verl has written since the last call."""
        with open(self.fresh) as file:
            file.seek(self._read)
            new = file.read()
        new = new[: new.rfind("\n") + 1]
        self._read += len(new.encode())
        rows = [line for line in new.splitlines() if _is_row(line)]
        self._keep(rows)
        for row in rows:
            self._show(**json.loads(row))

    def close(self) -> None:
        """Keep the last of it."""
        self.follow()
        self.fresh.unlink()

    def _keep(self, rows: list[str]) -> None:
        with open(self.kept, "a") as file:
            file.writelines(f"{row}\n" for row in rows)

    def _show(self, step: int, data: dict[str, Any]) -> None:
        self.last = step
        shown = [f"{name} {form.format(data[key])}" for name, key, form in COLUMNS if data.get(key) is not None]
        valid = [f"{key.rsplit('/', 1)[-1]} {data[key]:.3f}" for key in sorted(data) if key.startswith("val-core/")]
        if "timing_s/step" in data and step < self.total:
            shown.append(f"{self._seconds_left(step, data['timing_s/step']) / 60:.1f} min left")
        if valid:
            shown.append(f"validation {', '.join(valid)}")
        print(f"step {step:>{len(str(self.total))}}/{self.total}  {'  '.join(shown)}", flush=True)
        for warning in self.alarms.look(step, data):
            print(f"warning: {warning}", flush=True)

    def _seconds_left(self, step: int, seconds: float) -> float:
        """As the recent steps took; the first of a launch, which warms everything up, counts while it is alone."""
        if len(self._seconds) == 1 and self._warming:
            self._warming = False
            self._seconds.clear()
        self._seconds.append(seconds)
        return (self.total - step) * sum(self._seconds) / len(self._seconds)


def _lost(outcomes: Path, step: int) -> str | None:
    """The metrics of a step as far as its outcomes tell."""
    file = file_of(outcomes, step)
    if not file.is_file():
        return None
    table = pq.read_table(file)
    names = [field.name for field in table.schema if pa.types.is_list(field.type)]  # a value a completion
    lists = {name: table[name].combine_chunks().flatten().to_pylist() for name in names}
    tokens = lists.pop("tokens")
    means = component_means(dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True))
    known = {"critic/score/mean": means.get("reward/score/mean"), "response_length/mean": sum(tokens) / len(tokens)}
    return json.dumps({"step": step, "data": {**known, **means, "medcode/from_outcomes": 1}})


def _is_row(line: str) -> bool:
    try:
        return "step" in json.loads(line)
    except ValueError:
        return False  # cut off by a kill
