"""Reasoning traces: what is asked, who answers, what is fit to learn from."""
