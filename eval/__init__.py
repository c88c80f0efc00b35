"""Evaluation in three commands: generate once, score exactly, report."""

import common  # noqa: F401  # says in a sentence what a Python lacks
