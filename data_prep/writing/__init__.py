"""From cases to files: prompts fitted to a budget, rows in verl's schema, the manifest."""
