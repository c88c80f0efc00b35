"""From MIMIC-IV (or a synthetic one) to parquet: cohorts, splits, prompts, and a tiny model for the CPU."""
