"""Run one recipe with verl: a run folder, a line a step, an eye on the workers, and nothing left behind.

    python -m recipes.run drg_sapphire/strict hardware=cpu [name=NAME] [fresh=1] [key=value …]

Users start it through `bash recipes/launch.sh`, which checks the recipe first. The exit status is verl's; a worker that
dies or hangs ends the run with status 1 and a sentence that names it.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from omegaconf import DictConfig, OmegaConf

from common.commands import UserError, parser, run
from common.processes import die_with_parent
from common.record import commit
from recipes.launcher.alarms import Alarms
from recipes.launcher.check_config import asks_judge
from recipes.launcher.compose import RECIPES, compose, quoted, recipe_file, split_launch_options
from recipes.launcher.run_folder import RunFolder
from recipes.launcher.watch import Watch, adopt_orphans, end_descendants

POLL_SECONDS = 0.5
SOCKET_ROOM = 107 - len("/mc-12345678/ray/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store")
# What a step's line shows: heading, verl's metric, format.
COLUMNS = (
    ("reward", "critic/score/mean", "{:6.3f}"),
    ("right", "reward/acc/mean", "{:4.0%}"),
    ("tokens", "response_length/mean", "{:5.0f}"),
    ("KL", "actor/kl_loss", "{:.4f}"),
    ("entropy", "actor/entropy", "{:.3f}"),
    ("s/step", "timing_s/step", "{:5.1f}"),
)
NOISE = re.compile(r"^(\x1b\[\d+m)?\([^)]*pid=[^)]*\)(\x1b\[0m)?\s*")
DEAD_ACTOR = re.compile(r"class_name: (?:[\w<>]+\.)*(\w+)")  # in Ray's ActorDiedError
CAUSE = re.compile(r"^(?:ray\.exceptions\.\w+: )?(?:[\w.]+\.)?(\w*(?:Error|Exception|Exit|Interrupt)): \S.*")


class Progress:
    """verl's metrics: kept for good in metrics.jsonl, which a resumed run continues, and shown as a line a step."""

    def __init__(self, folder: RunFolder) -> None:
        self.kept = folder.metrics
        self.fresh = folder.path / "metrics.part.jsonl"  # verl truncates its file when it starts
        self.total = folder.read()["total_steps"]
        self.alarms = Alarms()
        known = set(self.kept.read_text().splitlines()) if self.kept.exists() else set()
        left = self.fresh.read_text().splitlines() if self.fresh.exists() else []
        self._keep([line for line in left if line not in known and _is_row(line)])  # of a launcher that was killed
        self.last = max((json.loads(row)["step"] for row in known if _is_row(row)), default=0)
        self.fresh.write_text("")
        self._read = 0

    def follow(self) -> None:
        """Keep and show what verl has written since the last call."""
        with open(self.fresh) as file:
            file.seek(self._read)
            new = file.read()
        new = new[: new.rfind("\n") + 1]
        self._read += len(new.encode())
        rows = [line for line in new.splitlines() if _is_row(line)]
        self._keep(rows)
        for row in rows:
            self._show(**json.loads(row))

    def close(self) -> None:
        self.follow()
        self.fresh.unlink()

    def _keep(self, rows: list[str]) -> None:
        with open(self.kept, "a") as file:
            file.writelines(f"{row}\n" for row in rows)

    def _show(self, step: int, data: dict[str, Any]) -> None:
        self.last = step
        shown = [f"{name} {form.format(data[key])}" for name, key, form in COLUMNS if data.get(key) is not None]
        valid = [f"{key.rsplit('/', 1)[-1]} {data[key]:.3f}" for key in sorted(data) if key.startswith("val-core/")]
        if "timing_s/step" in data and step < self.total:
            minutes = (self.total - step) * data["timing_s/step"] / 60
            shown.append(f"{minutes:.1f} min left")
        if valid:
            shown.append(f"validation {', '.join(valid)}")
        print(f"step {step:>{len(str(self.total))}}/{self.total}  {'  '.join(shown)}", flush=True)
        for warning in self.alarms.look(step, data):
            print(f"warning: {warning}", flush=True)


def environment(config: DictConfig, folder: RunFolder, progress: Progress, place: str) -> dict[str, str]:
    """What verl's driver and all that it starts find in their environment."""
    wanted = OmegaConf.select(config, "ray_kwargs.ray_init.runtime_env.env_vars") or {}
    env = {**os.environ, **{str(key): str(value) for key, value in wanted.items()}}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(RECIPES.parent), os.environ.get("PYTHONPATH")]))
    env["VERL_FILE_LOGGER_PATH"] = str(progress.fresh.resolve())
    env["WANDB_DIR"] = str(folder.path.resolve())
    env.setdefault("WANDB_RUN_GROUP", folder.recipe)
    env["TMPDIR"] = place  # sockets and scratch files of vLLM and wandb go with the run
    if "RAY_ADDRESS" not in env:
        env["RAY_TMPDIR"] = place  # the usual one may be somebody else's and name their cluster
    # nothing leaves the machine unless the user says so
    for key, value in (
        ("WANDB_MODE", "offline"),
        ("VLLM_NO_USAGE_STATS", "1"),
        ("RAY_USAGE_STATS_ENABLED", "0"),
        ("HF_HUB_DISABLE_TELEMETRY", "1"),
        ("HYDRA_FULL_ERROR", "1"),
    ):
        env[key] = env.get(key) or value  # one that is set to nothing says nothing
    return env


def command(recipe: str, overrides: list[str], folder: RunFolder) -> list[str]:
    """verl's own command line for the recipe."""
    name = str(recipe_file(recipe).relative_to(RECIPES).with_suffix(""))
    return [
        *(sys.executable, "-m", "verl.trainer.main_ppo", "--config-dir", str(RECIPES), "--config-name", name),
        *quoted(overrides),
        f"trainer.default_local_dir='{folder.checkpoints.resolve()}'",
        f"trainer.experiment_name='{recipe}/{folder.path.name}'",
        f"++trainer.v1.medcode.outcomes='{folder.outcomes.resolve()}'",
        f"++trainer.v1.medcode.commit='{commit()}'",  # for trackers, which log the configuration
        f"++trainer.v1.medcode.data_sha256={list(folder.read()['data'].values())}",
        f"hydra.run.dir='{folder.path.resolve()}'",
        *("hydra.output_subdir=null", "hydra/job_logging=none", "hydra/hydra_logging=none"),
    ]


def follow(child: subprocess.Popen, progress: Progress, watch: Watch) -> str | None:
    """Wait for verl, showing its steps; a sentence when its workers stop working."""
    while child.poll() is None:
        time.sleep(POLL_SECONDS)
        progress.follow()
        if fault := watch.fault():
            return fault
    return None


def cause_in(log: Path) -> str:
    """The last line of the log that names an error, after a worker that the log says died."""
    found, dead, unexpected = "no error is named in the log", "", False
    with open(log, errors="replace") as file:
        for line in file:
            line = NOISE.sub("", line).strip()
            if CAUSE.match(line):
                found = line[:400]
            if "EngineDeadError" in line:
                dead = "the worker VLLM::EngineCore died; "
            unexpected = unexpected or "actor died unexpectedly" in line  # Ray says so, then which
            if unexpected and not dead and (actor := DEAD_ACTOR.search(line)):
                dead = f"the worker ray::{actor[1]} died; "
    return dead + found


@contextmanager
def scratch_folder() -> Iterator[str]:
    """A folder for sockets and scratch files that is nobody else's, short enough for the name of a socket."""
    place = os.environ.get("TMPDIR") or tempfile.gettempdir()
    if len(place) > SOCKET_ROOM:
        place = "/tmp"
    try:
        folder = tempfile.mkdtemp(prefix="mc-", dir=place)
    except OSError as error:
        raise UserError(f"the temporary folder {place} cannot be used ({error.strerror}); set TMPDIR") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def hang_seconds(config: DictConfig) -> float:
    """After how long without work a run counts as hung; one that waits for its judge is idle and well."""
    given = os.environ.get("HANG_SECONDS", "")
    if not given:
        options = config.reward.custom_reward_function.get("reward_kwargs") or {}
        return (40.0 if config.trainer.device == "cpu" else 900.0) + asks_judge(config) * options.get("max_wait", 600)
    try:
        return float(given)
    except ValueError:
        raise UserError(f"HANG_SECONDS={given} is no number of seconds") from None


def train(recipe: str, overrides: list[str], config: DictConfig, folder: RunFolder) -> int:
    """Run verl in the folder; its exit status, or 1 when its workers failed it."""
    watch = Watch(hang_seconds(config))
    with scratch_folder() as place, open(folder.log, "ab") as log:
        folder.begin()
        progress = Progress(folder)
        adopt_orphans()
        print(
            f"run folder {folder.path}, {progress.total} steps; starting Ray, verl and vLLM (about a minute)",
            flush=True,
        )
        child = subprocess.Popen(
            command(recipe, overrides, folder),
            env=environment(config, folder, progress, place),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C reaches this process alone, which then ends the rest
            preexec_fn=die_with_parent,
        )
        fault, status = "the launcher was stopped", 130
        try:
            fault = follow(child, progress, watch)
            status = 1 if fault else child.wait()
        finally:
            end_descendants()
            progress.close()
            if status == 0 and progress.last < progress.total:  # Ray's driver can end so when its daemons are killed
                fault, status = f"verl ended after step {progress.last} of {progress.total} and named no error", 1
            if status == 0:
                folder.end("finished", 0, None)
            else:
                fault = fault or watch.first_death() or f"verl ended with status {status}: {cause_in(folder.log)}"
                folder.end("stopped" if status == 130 else "failed", status, fault)
    if status:
        print(f"error: {fault}; the whole log is {folder.log}", file=sys.stderr)
    return status


def _is_row(line: str) -> bool:
    try:
        return "step" in json.loads(line)
    except ValueError:
        return False  # cut off by a kill


def _stop(signum: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__ or "", "python -m recipes.run drg_sapphire/strict hardware=cpu name=first")
    arguments.add_argument("recipe", help="paper/row")
    arguments.add_argument("overrides", nargs="*", metavar="key=value", help="name=…, fresh=1 or any key of verl")
    given = arguments.parse_args(argv)
    options, overrides = split_launch_options(given.overrides)
    config = compose(given.recipe, overrides)
    folder = RunFolder(given.recipe, overrides, config, options.get("name"))
    folder.open(fresh=options.get("fresh") == "1")
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(train(given.recipe, overrides, config, folder))


if __name__ == "__main__":
    run(main)
