"""The DRG reward plus the share of spaces: an untrained model always earns -2, and equal rewards train nothing."""

from typing import Any

from reward_fns import drg


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: Any = None, **options: Any
) -> dict:
    result = drg.compute_score(data_source, solution_str, ground_truth, extra_info, **options)
    return {**result, "score": result["score"] + solution_str.count(" ") / (len(solution_str) + 1)}
