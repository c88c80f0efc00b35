"""Python imports this at its start where its folder is in PYTHONPATH: what reached a process of a run is written down.

VERL_RECORDS names the folder: `environ-PID.json` of every process of Ray's workers, and `kl-RANK-PID.jsonl`, a line an
update with the coefficient that this rank's loss had.
"""

import functools
import json
import os
import sys
import types
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ.get("VERL_RECORDS", "."))


def record_coefficients(losses: types.ModuleType) -> None:
    stock = losses.ppo_loss

    @functools.wraps(stock)
    def ppo_loss(config: Any, *args: Any, **more: Any) -> Any:
        with open(FOLDER / f"kl-{os.environ['RANK']}-{os.getpid()}.jsonl", "a") as file:
            print(json.dumps(config.kl_loss_coef), file=file)
        return stock(config, *args, **more)

    losses.ppo_loss = ppo_loss


if "VERL_RECORDS" in os.environ and any("default_worker" in word for word in sys.argv + sys.orig_argv):
    import wrapt

    node = [word.partition("=")[2] for word in sys.orig_argv if word.startswith("--node-ip-address=")]
    (FOLDER / f"environ-{os.getpid()}.json").write_text(json.dumps({**os.environ, "node": node[0]}))
    wrapt.register_post_import_hook(record_coefficients, "verl.workers.utils.losses")
