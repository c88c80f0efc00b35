"""The only code that touches verl: its platform for a CPU, and what the recipes add to its trainer."""

from importlib.metadata import PackageNotFoundError, version

VERL_VERSION = "0.9.1"


def require_verl() -> None:
    """Raise with a sentence unless the verl that this code was written for is installed."""
    try:
        found = version("verl")
    except PackageNotFoundError:
        found = "no verl"
    if found != VERL_VERSION:
        raise RuntimeError(
            f"this repository works with verl {VERL_VERSION} but found {found}; run `make clean` and `make`"
        )
