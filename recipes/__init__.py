"""Recipes: one YAML per row of a paper, the check that reads them, and the launcher that runs them."""

import common  # noqa: F401  # says in a sentence what a Python lacks
