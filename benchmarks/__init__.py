"""What only measures or proves: speed, memory, findings, every recipe; and the writer of the index."""
