"""What hardware=cpu trains, made on first use: the demo's synthetic data and a model that has learnt to answer."""

import os
import subprocess
import sys
from pathlib import Path

from omegaconf import DictConfig

from common import record
from common.commands import UserError
from recipes.launcher.compose import RECIPES

DEMO = Path("outputs/demo")


def prepare(config: DictConfig) -> None:
    """Make them where they are missing and nobody has named others."""
    name, home = str(config.places.get("laptop")), Path(config.places.get("home", DEMO))
    missing = config.places.model == str(home / name) and not (RECIPES.parent / home / name / record.NAME).exists()
    if config.trainer.device != "cpu" or not missing or os.environ.get("DATA_DIR"):
        return
    print(f"making synthetic data and {home}/{name}, a model of a million parameters (minutes, once)", file=sys.stderr)
    maker = config.places.get("maker", "demo.sh")
    words = ["bash", str(RECIPES / maker)]
    if subprocess.run(words, env={**os.environ, "UNTIL": name, "PYTHON": sys.executable}).returncode:
        raise UserError(f"UNTIL={name} bash recipes/{maker} failed, which makes what hardware=cpu trains; see above")
