"""From MIMIC-IV to the cases of a task: read, joined, cut out, divided."""
