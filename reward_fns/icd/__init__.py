"""ICD-10-CM: the reward of DeepICD-R1 without its judge, what verl is given as `pkg://reward_fns.icd`."""

from reward_fns.icd.reward import check_gold, check_options, compute_score

__all__ = ["check_gold", "check_options", "compute_score"]
