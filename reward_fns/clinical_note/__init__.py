"""Clinical notes as a process reward model grades them: positions, labels, alterations, tokens and scores."""
