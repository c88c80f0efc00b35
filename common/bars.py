"""Progress bars that nobody watches, in a file or a pipe as in every job's log: a line now and then, one at the end.

common.commands.run asks for it, whichever bar it is: of a command here, of datasets or of transformers.
"""

import time
import types
from typing import Any

import wrapt

SECONDS = 30.0  # between two lines


def calm() -> None:
    """From now on, and once tqdm is there: a bar is redrawn on a terminal alone."""
    wrapt.register_post_import_hook(_calm, "tqdm.std")


def _calm(tqdm: types.ModuleType) -> None:
    redraw = tqdm.tqdm.display
    if hasattr(redraw, "redraws"):
        return

    def display(self: Any, msg: str | None = None, pos: int | None = None) -> bool:
        if getattr(self.fp, "isatty", bool)():
            return bool(redraw(self, msg, pos))
        now, over = time.time(), self.disable  # closing: tqdm ends the line of a bar that stays, and clears another
        if msg == "" or not (over or now - getattr(self, "shown", getattr(self, "start_t", now)) >= SECONDS):
            return False
        self.shown = now
        self.fp.write(str(self) if over else f"{self}\n")
        self.fp.flush()
        return True

    display.redraws = redraw  # type: ignore[attr-defined]
    tqdm.tqdm.display = display
