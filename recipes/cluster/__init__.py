"""Runs on a Ray of several machines: join it, compare its nodes, and notice who died there."""
