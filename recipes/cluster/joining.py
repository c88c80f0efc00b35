"""A launch that joins a running Ray of several machines: RAY_ADDRESS=HOST:PORT, or recipes/submit.slurm.

    env |= settled(address)
    cluster = Cluster(address, config, lock, env, own, log)    # the nodes are there, and hold what this machine holds
    cluster.fault()                                            # now and then

What verl's driver has in its environment reaches no worker of such a Ray: `variables` says what they need of it.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from omegaconf import DictConfig, OmegaConf

from common.commands import UserError
from common.processes import die_with_parent
from common.record import versions
from recipes.cluster.nodes import state
from recipes.launcher.compose import RECIPES, files, unresolved
from recipes.sizing.host import CPUS_A_GPU, cpus

CODE = ("common", "data_prep", "recipes", "reward_fns", "verl_ext")
KINDS = (".py", ".yaml", ".csv", ".txt")
# Variables that workers find as the launcher has them, beside those that a recipe reads and that recipes.run sets
FAMILIES = ("HF_", "TRANSFORMERS_", "WANDB_", "VLLM_", "VERL_")
SECRET = re.compile("KEY|TOKEN|PASSWORD|SECRET")  # verl prints what it hands to Ray
GRACE = 10.0  # seconds in which verl may end by itself after a worker died
LATE = 4.0  # seconds by which a death may be heard of later than verl does


def address_of(config: DictConfig) -> str | None:
    """Where the Ray is that a launch joins; None where it has one of its own on this machine."""
    said, several = OmegaConf.select(config, "ray_kwargs.ray_init.address"), config.trainer.nnodes > 1
    address = os.environ.get("RAY_ADDRESS") if said is None or (said == "local" and several) else said
    if address in (None, "", "local"):
        if several:
            raise UserError(
                f"trainer.nnodes={config.trainer.nnodes} needs a Ray that runs on all of these nodes: set RAY_ADDRESS "
                "to HOST:PORT of its head (recipes/hardware/README.md says how), or submit with recipes/submit.slurm"
            )
        return None
    return str(address)


def waiting() -> int:
    """How long nodes may take to come."""
    given = os.environ.get("NODES_SECONDS") or "300"
    if not given.isdigit():
        raise UserError(f"NODES_SECONDS={given} is no number of seconds")
    return int(given)


def variables(config: DictConfig, env: Mapping[str, str], own: Iterable[str]) -> dict[str, str]:
    """What the workers need of the launcher's environment: what it sets, what the recipe reads, what trackers do."""
    read = re.findall(r"\$\{oc\.env:(\w+)", str(unresolved(config)))
    chosen = (name for name in env if name.startswith(FAMILIES) and not SECRET.search(name))
    return {name: env[name] for name in sorted({*own, *read, *chosen}) if name in env}


def overrides(address: str, config: DictConfig, passed: Mapping[str, str]) -> list[str]:
    """What verl is told so that its driver joins, and its workers find what the driver finds."""
    ray = {"address": address, "num_cpus": None, "num_gpus": None}
    ray |= {f"runtime_env.env_vars.{name}": value for name, value in passed.items()}
    places = {name: str(config.places[name]) for name in ("data", "model")}
    here = {name: os.path.abspath(place) for name, place in places.items() if os.path.exists(place)}
    return [
        *(f"++ray_kwargs.ray_init.{key}={_quoted(value)}" for key, value in ray.items()),
        *(f"++places.{name}={_quoted(place)}" for name, place in here.items()),  # workers stand in another folder
    ]


def _quoted(value: str | None) -> str:
    return "null" if value is None else "'" + value.replace("\\", "\\\\").replace("'", "\\'").replace("$", "\\$") + "'"


def compared(config: DictConfig) -> Iterator[Path]:
    """The files of which every node must have the same: code, data, the model, the user's own reward."""
    yield from (file for name in CODE for file in (RECIPES.parent / name).rglob("*") if file.suffix in KINDS)
    yield from (Path(file) for name in ("train_files", "val_files") for file in files(config, name))
    model, reward = Path(str(config.actor_rollout_ref.model.path)), config.reward.custom_reward_function.path
    yield from (file for file in (*model.glob("*"), Path(str(reward))) if file.is_file())


def request(address: str, config: DictConfig, lock: Path) -> dict[str, Any]:
    """What recipes.cluster.nodes is asked to find; the launch's lock tells that run folders are on one file system."""
    gpus = config.trainer.n_gpus_per_node
    return {
        "address": address,
        "seconds": waiting(),
        "nodes": config.trainer.nnodes,
        "each": {"GPU": gpus, "CPU": CPUS_A_GPU * gpus},  # verl reserves them together
        "cpus": cpus(config),
        "files": {str(file.resolve()): state(str(file)) for file in (*compared(config), lock)},
        "packages": versions(),
    }


class Cluster:
    """The nodes that a launch runs on, as recipes.cluster.nodes sees them."""

    def __init__(
        self, address: str, config: DictConfig, lock: Path, env: dict[str, str], own: Iterable[str], log: IO[bytes]
    ) -> None:
        asked, passed = request(address, config, lock), variables(config, env, own)
        self.overrides = overrides(address, config, passed)
        self._told: list[tuple[float, str]] = []  # when it was heard, and who died
        words = [sys.executable, "-m", "recipes.cluster.nodes"]
        self._eye = subprocess.Popen(
            words,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            preexec_fn=die_with_parent,
            text=True,
        )
        assert self._eye.stdin and self._eye.stdout
        with self._eye.stdin as pipe:
            json.dump(asked | {"variables": passed}, pipe)
        first = json.loads(self._eye.stdout.readline() or "{}")
        if "nodes" not in first:
            raise UserError(first.get("error") or f"the Ray at {address} could not be looked at; see {log.name}")
        self.nodes: list[str] = first["nodes"]
        threading.Thread(target=self._listen, args=(self._eye.stdout,), daemon=True).start()

    def _listen(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._told.append((time.monotonic(), json.loads(line)["died"]))
        self._told.append((time.monotonic(), "the Ray of this run is gone: its head ended or cannot be reached"))

    def fault(self) -> str | None:
        """Who died, when verl has not ended by itself after it."""
        return self._told[0][1] if self._told and time.monotonic() - self._told[0][0] > GRACE else None

    def first_death(self) -> str | None:
        """Who died first, after a run that ended by itself."""
        until = time.monotonic() + LATE
        while not self._told and time.monotonic() < until:
            time.sleep(0.1)
        return self._told[0][1] if self._told else None

    def close(self) -> None:
        """End what looks at the nodes."""
        self._eye.kill()
        self._eye.wait()
