"""What only measures or proves: speed, memory, findings, every recipe; and the writer of the index."""

import common  # noqa: F401  # says in a sentence what a Python lacks
