"""From a recipe to a run: composed, checked, started, watched."""
