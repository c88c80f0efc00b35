"""The folder of a run: $RUNS_DIR/RECIPE/NAME with run.json, config.yaml, metrics.jsonl, log.txt and checkpoints.

An unfinished run is resumed in its folder, a finished one is not touched unless the user says fresh=1.
"""

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from common import record
from common.commands import UserError
from common.files import sha256, whole_file
from recipes.launcher.compose import compose, files, unresolved
from verl_ext import best

TRACKER = "latest_checkpointed_iteration.txt"  # verl's
HARDWARE = ("hardware=", "trainer.nnodes=", "trainer.n_gpus_per_node=")


def fingerprint(recipe: str, overrides: list[str]) -> str:
    """Eight digits for what a run trains: its composed configuration without places and hardware."""
    config = unresolved(compose(recipe, [item for item in overrides if not item.startswith(HARDWARE)]))
    config.pop("places", None)
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()[:8]


class RunFolder:
    """One run on disk."""

    def __init__(self, recipe: str, overrides: list[str], config: DictConfig, name: str | None) -> None:
        self.recipe, self.overrides, self.config = recipe, overrides, config
        # hardware=cpu shrinks what is trained, so its runs never share a folder with those of a GPU
        self.print = ("cpu-" if config.trainer.device == "cpu" else "") + fingerprint(recipe, overrides)
        self.path = Path(os.environ.get("RUNS_DIR", "runs")) / recipe / (name or self.print)
        self.devices = config.trainer.nnodes * config.trainer.n_gpus_per_node
        self.log = self.path / "log.txt"
        self.lock = self.path / ".lock"
        self.checkpoints = self.path / "checkpoints"
        self.outcomes = self.path / "outcomes.parquet"  # a parquet folder, one file a step (verl_ext.batches)

    def open(self, fresh: bool) -> None:
        """Take the folder for this run, or say why it can't be taken."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = open(self.lock, "a+")  # noqa: SIM115  held until this process ends
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{self.path} is in use by another launcher; wait for it or choose name=…") from None
        self._lock.truncate(0)
        self._lock.write(secrets.token_hex(8))  # by which another node tells that it sees this very file
        self._lock.flush()
        os.fsync(self._lock.fileno())
        before = record.read(self.path)
        if fresh:
            for item in self.path.iterdir():
                if item.name != ".lock":
                    shutil.rmtree(item) if item.is_dir() else item.unlink()
        elif before.get("status") == "finished":
            raise UserError(f"{self.path} holds a finished run; choose name=… for another one or fresh=1 to start over")
        elif before and before["fingerprint"] != self.print:
            other = " ".join(before["overrides"]) or "no overrides"
            raise UserError(
                f"{self.path} holds a run of another configuration ({other}); "
                "choose another name=… or fresh=1 to start over"
            )
        elif before and before.get("devices", self.devices) != self.devices and any(self.checkpoints.glob("global_*")):
            raise UserError(
                f"{self.path} has checkpoints of {before['devices']} devices, which {self.devices} cannot load; "
                "launch on as many as before, or choose another name=…"
            )
        self.mend_tracker()
        if (newest := self.checkpoint()) and self.config.trainer.resume_mode == "auto":
            self.prune([newest])  # verl counts only what one launch saved, and keeps its number beside this one

    def checkpoint(self) -> int:
        """The step of the checkpoint that a launch goes on from; 0 where it starts."""
        tracker = self.checkpoints / TRACKER
        said = tracker.read_text().strip() if tracker.exists() else ""
        return int(said) if said.isdigit() else 0

    def prune(self, kept: Iterable[int] | None = None) -> None:
        """Remove all checkpoints but these, or but the newest that the recipe keeps."""
        most = self.config.trainer.max_actor_ckpt_to_keep
        folders = {int(path.name.rpartition("_")[2]): path for path in self.checkpoints.glob("global_step_*")}
        if most is None:
            return
        for step in folders.keys() - set(kept or sorted(folders)[-most:]):
            shutil.rmtree(folders[step])

    def mend_tracker(self) -> None:
        """Point verl to the newest whole checkpoint when a kill cut off the file that names it (data.pt comes last)."""
        tracker = self.checkpoints / TRACKER
        if not tracker.exists() or tracker.read_text().strip().isdigit():
            return
        whole = [int(file.parent.name.rpartition("_")[2]) for file in self.checkpoints.glob("global_step_*/data.pt")]
        tracker.unlink()
        if whole:
            with whole_file(tracker) as file:
                file.write_text(str(max(whole)))

    def begin(self) -> None:
        """Write what is run: config.yaml and run.json."""
        with whole_file(self.path / "config.yaml") as file:
            file.write_text(OmegaConf.to_yaml(self.config, resolve=True))
        record.write(
            self.path,
            recipe=self.recipe,
            name=self.path.name,
            overrides=self.overrides,
            fingerprint=self.print,
            **record.made(f"bash recipes/launch.sh {' '.join([self.recipe, *self.overrides])}"),
            hardware=_hardware(self.config),
            devices=self.devices,
            data={file: sha256(file) for name in ("train_files", "val_files") for file in files(self.config, name)},
            model=str(self.config.actor_rollout_ref.model.path),
            total_steps=total_steps(self.config),
            status="running",
        )

    def end(self, status: str, exit_status: int, cause: str | None) -> None:
        """Write how it ended; `hf_model` leads to the newest checkpoint that was exported for vLLM and transformers.

        And `best_model` to that of the checkpoint that validation found best, where one is kept.
        """
        if status == "finished":
            self.prune()
        exports = sorted(
            self.checkpoints.glob("global_step_*/actor/huggingface"), key=lambda path: path.stat().st_mtime
        )
        best_exports = [*(self.checkpoints / best.FOLDER).glob("global_step_*/actor/huggingface")]
        for name, found in (("hf_model", exports), ("best_model", best_exports)):
            if found:
                with whole_file(self.path / name) as link:
                    link.symlink_to(os.path.relpath(found[-1], self.path))
        kept = {"best": best.read(self.checkpoints)} if best_exports else {}
        record.write(self.path, status=status, exit_status=exit_status, cause=cause, ended=record.now(), **kept)


def total_steps(config: DictConfig) -> int:
    """Optimiser steps of the whole run: the epochs over the training file, or fewer when that is set."""
    import pyarrow.parquet as pq

    rows = sum(pq.ParquetFile(file).metadata.num_rows for file in files(config, "train_files"))
    steps = rows // config.data.train_batch_size * config.trainer.total_epochs
    return min(steps, config.trainer.total_training_steps or steps)


def _hardware(config: DictConfig) -> str:
    if config.trainer.device == "cpu":
        return f"CPU, {os.cpu_count()} cores"
    asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    gpu = subprocess.run(asked, capture_output=True, text=True).stdout.splitlines() if shutil.which(asked[0]) else []
    return f"{config.trainer.nnodes} x {config.trainer.n_gpus_per_node} {gpu[0] if gpu else sys.platform}"
