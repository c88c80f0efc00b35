"""Sets of ICD-10-CM codes: the hierarchical F1, what verl is given as `pkg://reward_fns.icd_set`."""

from reward_fns.icd_set.reward import check_gold, check_options, compute_score

__all__ = ["check_gold", "check_options", "compute_score"]
