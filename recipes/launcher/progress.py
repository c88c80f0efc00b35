"""verl's metrics while it trains: kept for good in metrics.jsonl, which a resumed run continues, and a line a step.

progress = Progress(folder, total_steps)    # verl logs to progress.fresh
progress.follow()                           # now and then
"""

import json
from pathlib import Path
from typing import Any

from recipes.launcher.alarms import Alarms

# What a step's line shows: heading, verl's metric, format.
COLUMNS = (
    ("reward", "critic/score/mean", "{:6.3f}"),
    ("right", "reward/acc/mean", "{:4.0%}"),
    ("tokens", "response_length/mean", "{:5.0f}"),
    ("KL", "actor/kl_loss", "{:.4f}"),
    ("entropy", "actor/entropy", "{:.3f}"),
    ("s/step", "timing_s/step", "{:5.1f}"),
)


class Progress:
    """Follows the metrics of a run of so many steps."""

    def __init__(self, folder: Path, total: int) -> None:
        self.kept, self.fresh = folder / "metrics.jsonl", folder / "metrics.part.jsonl"  # verl truncates its file
        self.total, self.alarms = total, Alarms()
        known = set(self.kept.read_text().splitlines()) if self.kept.exists() else set()
        left = self.fresh.read_text().splitlines() if self.fresh.exists() else []
        self._keep([line for line in left if line not in known and _is_row(line)])  # of a launcher that was killed
        self.last = max((json.loads(row)["step"] for row in known if _is_row(row)), default=0)
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
            minutes = (self.total - step) * data["timing_s/step"] / 60
            shown.append(f"{minutes:.1f} min left")
        if valid:
            shown.append(f"validation {', '.join(valid)}")
        print(f"step {step:>{len(str(self.total))}}/{self.total}  {'  '.join(shown)}", flush=True)
        for warning in self.alarms.look(step, data):
            print(f"warning: {warning}", flush=True)


def _is_row(line: str) -> bool:
    try:
        return "step" in json.loads(line)
    except ValueError:
        return False  # cut off by a kill
