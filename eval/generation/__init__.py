"""Completions for every prompt of a data set: the folder that holds them, and where they come from."""
