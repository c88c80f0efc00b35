"""From MIMIC-IV (or a synthetic one) to parquet: cohorts, splits, prompts, and a tiny model for the CPU."""

import common  # noqa: F401  # says in a sentence what a Python lacks
