"""Supervised fine-tuning with trl: what comes before reinforcement learning."""

import common  # noqa: F401  # says in a sentence what a Python lacks
