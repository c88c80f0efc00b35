"""A line now and then while trl trains, in the place of transformers' bar and of its dictionaries."""

import sys
import time
from typing import Any

SECONDS = 5.0  # between two lines
SHOWN = (
    ("loss", "loss {:.4f}"), ("eval_loss", "held-out loss {:.4f}"), ("eval_accuracy", "accuracy {:.3f}"),
    ("eval_micro_f1", "micro F1 {:.3f}"), ("learning_rate", "rate {:.1e}"),
)  # fmt: skip


def take_over(trainer: Any) -> None:
    """Let the trainer say how far it is on stderr: the first and the last step that it logs, and some between."""
    from transformers import TrainerCallback
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    class Lines(TrainerCallback):
        began, first, said = 0.0, 0, 0.0

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.began, self.first = time.monotonic(), state.global_step
            if self.first and state.is_world_process_zero:
                print(f"going on from step {self.first}", file=sys.stderr, flush=True)

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            now, step, total = time.monotonic(), state.global_step, state.max_steps
            shown = [form.format(float(logs[key])) for key, form in SHOWN if key in logs]
            if not shown or not state.is_world_process_zero or (step < total and now - self.said < SECONDS):
                return
            self.said = now
            left = (now - self.began) / max(step - self.first, 1) * (total - step) / 60
            ahead = [f"{left:.1f} min left"] if step < total else []
            line = "  ".join([f"step {step:>{len(str(total))}}/{total}", *shown, *ahead])
            print(line, file=sys.stderr, flush=True)

    for usual in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(usual)
    trainer.add_callback(Lines())
