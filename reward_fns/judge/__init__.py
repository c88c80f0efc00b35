"""The ICD reward and an LLM judge's grade of the reasoning, what verl is given as `pkg://reward_fns.judge`."""

import common  # noqa: F401  # says in a sentence what a Python lacks
from reward_fns.judge.reward import (
    check_extra_info,
    check_gold,
    check_options,
    check_prompts,
    check_server,
    compute_score,
)

__all__ = ["check_extra_info", "check_gold", "check_options", "check_prompts", "check_server", "compute_score"]
