"""Run one recipe with verl: a run folder, a line a step, an eye on the workers, and nothing left behind.

    python -m recipes.run drg_sapphire/strict hardware=cpu [name=NAME] [fresh=1] [key=value …]

Users start it through `bash recipes/launch.sh`, which checks the recipe first. The exit status is verl's; a worker that
dies or hangs ends the run with status 1 and a sentence that names it.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import NoReturn

from omegaconf import DictConfig, OmegaConf

from common import record
from common.commands import UserError, parser, run
from common.processes import LOOPBACK, adopt_orphans, alone, end_descendants, scratch_folder
from common.ray_token import settled
from recipes.cluster.joining import Cluster, address_of, waiting
from recipes.launcher.check_config import asks_judge, loggers
from recipes.launcher.compose import RECIPES, compose, quoted, recipe_name, split_launch_options
from recipes.launcher.log import Log
from recipes.launcher.progress import FRESH, Progress
from recipes.launcher.run_folder import RunFolder
from recipes.launcher.watch import Watch

END_SECONDS = 120.0  # in which verl may end what it started
POLL_SECONDS = 0.5
QUIET = {  # nothing leaves the machine unless the user says so
    "WANDB_MODE": "offline",
    "VLLM_NO_USAGE_STATS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HYDRA_FULL_ERROR": "1",
}
SET = ("PYTHONPATH", "VERL_FILE_LOGGER_PATH", "WANDB_DIR", "WANDB_RUN_GROUP", "TENSORBOARD_DIR")  # in `environment`


def environment(config: DictConfig, folder: RunFolder, place: str, address: str | None) -> dict[str, str]:
    """What verl's driver and all that it starts find in their environment."""
    wanted = OmegaConf.select(config, "ray_kwargs.ray_init.runtime_env.env_vars") or {}
    env = {**os.environ, **{str(key): str(value) for key, value in wanted.items()}}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(RECIPES.parent), os.environ.get("PYTHONPATH")]))
    env["VERL_FILE_LOGGER_PATH"] = str(folder.path.resolve() / FRESH)
    env["WANDB_DIR"] = str(folder.path.resolve())
    env["TENSORBOARD_DIR"] = str(folder.path.resolve() / "tensorboard")
    env.setdefault("WANDB_RUN_GROUP", folder.recipe)
    env["TMPDIR"] = place  # sockets and scratch files of vLLM and wandb go with the run
    if address is None:  # a Ray of its own on one machine, which nobody else may speak to
        env |= alone() | {"RAY_TMPDIR": place}  # the usual one may be somebody else's and name their cluster
    else:
        env |= settled(address, waiting())
    env |= {key: env.get(key) or value for key, value in QUIET.items()}  # one that is set to nothing says nothing
    return env


def command(recipe: str, overrides: list[str], folder: RunFolder, cluster: Cluster | None) -> list[str]:
    """verl's own command line for the recipe."""
    about = record.read(folder.path)
    ray = OmegaConf.select(folder.config, "ray_kwargs.ray_init")
    ours = {"_node_ip_address": LOOPBACK, "include_dashboard": False}  # a page that nobody opens, and its processes
    here = [f"++ray_kwargs.ray_init.{key}={value}" for key, value in ours.items() if ray.get(key) is None]
    data, rollout = folder.config.data, folder.config.actor_rollout_ref.rollout
    context = rollout.max_model_len or data.max_prompt_length + data.max_response_length  # vLLM's: the model's, else
    return [
        *(sys.executable, "-m", "common.guard", sys.executable, "-m", "verl.trainer.main_ppo"),
        *("--config-dir", str(RECIPES), "--config-name", recipe_name(recipe)),
        *quoted(overrides),
        f"actor_rollout_ref.rollout.max_model_len={context}",
        f"trainer.default_local_dir='{folder.checkpoints.resolve()}'",
        f"trainer.experiment_name='{recipe}/{folder.path.name}'",
        f"++trainer.v1.medcode.outcomes='{folder.outcomes.resolve()}'",
        f"++trainer.v1.medcode.commit='{about['commit']}'",  # for trackers, which log the configuration
        f"++trainer.v1.medcode.data_sha256={list(about['data'].values())}",
        *(cluster.overrides if cluster else here),
        f"trainer.logger={sorted({*loggers(folder.config), 'file'})}",  # metrics.jsonl is made of the file
        f"hydra.run.dir='{folder.path.resolve()}'",
        *("hydra.output_subdir=null", "hydra/job_logging=none", "hydra/hydra_logging=none"),
    ]


def follow(child: subprocess.Popen, log: Log, progress: Progress, watch: Watch) -> str | None:
    """Wait for verl, showing its start and its steps; a sentence when its workers stop working."""
    ended = None
    while child.poll() is None:
        time.sleep(POLL_SECONDS)
        log.follow()
        progress.follow()
        if fault := watch.fault() or log.fault():
            if progress.last < progress.total:
                return fault
            ended = ended or time.monotonic()  # with the last step all is saved, and verl ends its own workers
            if time.monotonic() - ended > END_SECONDS:
                return fault
    return None


def hang_seconds(config: DictConfig, address: str | None) -> float:
    """After how long without work a run counts as hung; one that waits for its judge is idle and well."""
    given = os.environ.get("HANG_SECONDS", "")
    if not given:
        options = config.reward.custom_reward_function.get("reward_kwargs") or {}
        usual = 40.0 if address is None and config.trainer.device == "cpu" else 900.0
        return usual + asks_judge(config) * options.get("max_wait", 600)
    try:
        return float(given)
    except ValueError:
        raise UserError(f"HANG_SECONDS={given} is no number of seconds") from None


def train(recipe: str, overrides: list[str], config: DictConfig, folder: RunFolder) -> int:
    """Run verl in the folder; its exit status, or 1 when its workers failed it."""
    address, log = address_of(config), Log(folder.log)
    watch = Watch(hang_seconds(config, address))
    with scratch_folder() as place, open(folder.log, "ab") as file:
        env = environment(config, folder, place, address)
        if address or config.trainer.device != "cpu":  # where who does nothing is not seen, or waits at full speed
            watch.grows = (folder.path / FRESH, folder.log)
        if address:
            watch.cluster = Cluster(address, config, folder.lock, env, [*QUIET, *SET], file)
        folder.begin()
        done = folder.checkpoint()
        progress = Progress(folder.path, record.read(folder.path)["total_steps"], folder.outcomes, done)
        adopt_orphans()
        on = f", going on from step {done}" if done else ""
        starting = f"{address} has {', '.join(watch.cluster.nodes)}; starting" if watch.cluster else "starting Ray,"
        print(f"run folder {folder.path}, {progress.total} steps{on}; {starting} verl and vLLM", flush=True)
        child = subprocess.Popen(
            command(recipe, overrides, folder, watch.cluster),
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,  # Ctrl-C reaches this process alone, which then ends the rest
        )
        fault, status = "the launcher was stopped", 130
        try:
            fault = follow(child, log, progress, watch)
            status = 1 if fault else child.wait()
        except OSError as error:
            fault, status = f"{error.filename or folder.path} cannot be written: {error.strerror}", 1
        finally:
            died = None if fault or status == 0 else watch.first_death()
            end_descendants()
            with suppress(OSError):  # a full disk is the fault already, or the steps that are missing are
                progress.close()
            if status == 0 and progress.last < progress.total:  # Ray's driver can end so when its daemons are killed
                fault, status = f"verl ended after step {progress.last} of {progress.total} and named no error", 1
            if status == 0:
                folder.end("finished", 0, None)
            elif status == 130:
                folder.end("stopped", status, fault)
            else:
                fault = fault or died or f"verl ended with status {status}: {log.cause()}"
                fault = log.full() or "; ".join(filter(None, (fault, log.crash())))
                folder.end("failed", status, fault)
    if status:
        print(f"error: {fault}; the whole log is {folder.log}", file=sys.stderr)
    return status


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
