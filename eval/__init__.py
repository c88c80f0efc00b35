"""Evaluation in three commands: generate once, score exactly, report."""
