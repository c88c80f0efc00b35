"""The only code that touches verl: its platform for a CPU, and what the recipes add to its trainer."""

from importlib.metadata import PackageNotFoundError, version

from omegaconf import OmegaConf

VERL_VERSION = "0.9.1"

# ${share:0.25,${data.train_batch_size}} in a recipe: a part of another number, for verl as for the checks
OmegaConf.register_new_resolver("share", lambda part, whole: max(1, round(part * whole)), replace=True)


def require_verl() -> None:
    """Raise with a sentence unless the verl that this code was written for is installed."""
    try:
        found = version("verl")
    except PackageNotFoundError:
        found = "no verl"
    if found != VERL_VERSION:
        raise RuntimeError(
            f"this repository works with verl {VERL_VERSION} but found {found}; run `make clean` and `make setup`"
        )
