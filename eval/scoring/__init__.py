"""From completions to numbers with intervals."""
