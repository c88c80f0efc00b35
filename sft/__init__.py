"""Supervised fine-tuning with trl: what comes before reinforcement learning."""
