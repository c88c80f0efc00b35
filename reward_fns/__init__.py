"""Rewards as pure functions: one parser of completions, one rule for "right", no I/O, no torch."""
