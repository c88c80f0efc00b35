"""MS-DRG: the reward of DRG-Sapphire, what verl is given as `pkg://reward_fns.drg`."""

from reward_fns.drg.reward import check_gold, check_options, compute_score

__all__ = ["check_gold", "check_options", "compute_score"]
