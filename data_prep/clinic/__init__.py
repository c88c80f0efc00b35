"""The small world of the synthetic MIMIC: vocabulary, discharge summaries, reasoning traces. All of it is original."""
