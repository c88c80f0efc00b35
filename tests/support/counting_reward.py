"""A coin instead of a reward, which writes down every toss: how often a group is drawn again can then be counted."""

import json
import os
import random
from typing import Any

COIN = random.SystemRandom()


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Any = None,
    *,
    heads: float,
    tails: list[float],
    log: str,
) -> dict[str, Any]:
    """1 with the probability `heads`, else one of `tails`."""
    score = 1.0 if COIN.random() < heads else float(COIN.choice(list(tails)))
    line = json.dumps([extra_info["index"], score]) + "\n"
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, line.encode())  # one write of a short line: whole, even with several workers
    os.close(handle)
    return {"score": score, "acc": score, "pred": "", "format": 0.0, "accuracy": score, "reward_error": 0.0}
