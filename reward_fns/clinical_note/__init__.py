"""Clinical notes as a process reward model grades them: positions, labels, alterations, tokens and scores.

The reward of a written note is what verl is given as `pkg://reward_fns.clinical_note`.
"""

from reward_fns.clinical_note.reward import (
    SOURCE,
    check_extra_info,
    check_gold,
    check_options,
    check_server,
    compute_score,
)

__all__ = ["SOURCE", "check_extra_info", "check_gold", "check_options", "check_server", "compute_score"]
