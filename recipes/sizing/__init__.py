"""What a training takes before it is run: memory of a GPU by phase, host memory, disk, processors, seconds."""
