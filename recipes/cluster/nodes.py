"""The nodes of a running Ray for one launch: wait for them, compare what they hold, then tell who died.

    python -m recipes.cluster.nodes < request.json     # a line of JSON for everything that it has to say

A process of its own, which recipes.cluster.joining starts and reads: Ray ends whoever is connected when it ends itself.
"""

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import psutil

from common.commands import UserError, parser
from common.files import sha256
from common.record import versions

EVERY = 2.0  # seconds
ANSWER = 300.0  # seconds in which a node must have looked at its files
LARGE = 1 << 30  # bytes from which a file is compared by its size


def state(path: str) -> str:
    """What a file is compared by; empty where there is none."""
    file = Path(path)
    if not file.is_file():
        return ""
    return sha256(file) if file.stat().st_size < LARGE else f"{file.stat().st_size} bytes"


def differing(files: dict[str, str], packages: dict[str, str]) -> list[str]:
    """What a node does not have as the launcher has it."""
    here = versions()
    found = ((path, state(path)) for path in files)
    wrong = [f"{path} is {'another' if there else 'missing'}" for path, there in found if there != files[path]]
    return wrong + [
        f"{name} is {here.get(name)}, not {want}" for name, want in packages.items() if here.get(name) != want
    ]


def wait(ray: Any, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """The nodes that have free what each must have, once there are enough of them."""
    until = time.monotonic() + asked["seconds"]
    while True:
        free = ray._private.state.available_resources_per_node()
        alive = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
        offers = {id: {kind: free.get(id, {}).get(kind, 0.0) for kind in ("GPU", "CPU")} for id in alive}
        fit = [id for id, offer in offers.items() if all(offer[kind] >= n for kind, n in asked["each"].items())]
        if len(fit) >= asked["nodes"] and sum(offer["CPU"] for offer in offers.values()) >= asked["cpus"]:
            return [alive[id] for id in fit]
        if time.monotonic() > until:
            words = (
                f"{alive[id]['NodeManagerAddress']}: {offer['GPU']:.0f} GPUs, {offer['CPU']:.0f} CPUs"
                for id, offer in offers.items()
            )
            raise UserError(
                f"after {asked['seconds']} s the Ray at {asked['address']} has {len(fit)} of the {asked['nodes']} "
                f"nodes of trainer.nnodes with {asked['each']['GPU']} free GPUs and {asked['each']['CPU']} CPUs each, "
                f"{asked['cpus']} CPUs in all (free: {'; '.join(words)}); start Ray on the others, or set "
                "NODES_SECONDS to wait longer"
            )
        time.sleep(1)


def compare(ray: Any, nodes: list[dict[str, Any]], asked: dict[str, Any]) -> None:
    """Every node has the launcher's code, data, model, packages and run folder, or a sentence."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

    look = ray.remote(num_cpus=0, max_retries=0)(differing)
    answers = {
        node["NodeManagerAddress"]: look.options(scheduling_strategy=On(node["NodeID"], soft=False)).remote(
            asked["files"], asked["packages"]
        )
        for node in nodes
    }
    for address, answer in answers.items():
        try:
            wrong = ray.get(answer, timeout=ANSWER)
        except ray.exceptions.RayError as error:
            wrong = [str(error).strip().splitlines()[-1][:300]]
        if wrong:
            more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            raise UserError(
                f"the node {address} differs from this one: {wrong[0]}{more}; all nodes need the same code, packages "
                "and data at the same paths, and one file system for RUNS_DIR"
            )


def gone(ray: Any, nodes: list[dict[str, Any]]) -> Iterator[str]:
    """The nodes whose raylet ended: Ray itself takes up to half a minute to notice, and workers elsewhere die of it."""
    alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
    for node in nodes:
        address = node["NodeManagerAddress"]
        try:
            socket.create_connection((address, node["NodeManagerPort"]), timeout=1).close()
            there = True
        except ConnectionRefusedError:
            there = False
        except OSError:  # a network that is slow, or closed between others than the head
            there = True
        if not there or node["NodeID"] not in alive:
            yield f"the node is gone: {address}, where Ray's raylet ended or cannot be reached"


def deaths(ray: Any, nodes: list[dict[str, Any]]) -> Iterator[str]:
    """A sentence for each node and worker of the launch that died, for ever; a node before the workers that miss it."""
    from ray.core.generated.common_pb2 import ActorDiedErrorContext as Died

    told: set[str] = set()
    jobs: set[str] = set()
    while True:
        family = {process.pid for process in psutil.Process(os.getppid()).children(recursive=True)} - {os.getpid()}
        jobs |= {job["JobID"] for job in ray._private.state.jobs() if job["DriverPid"] in family}
        dead = [ray._private.state.actors(None, ray.JobID.from_hex(job), "DEAD").values() for job in jobs]
        for sentence in gone(ray, nodes):  # looked at after the workers, for what ended them ended before them
            if sentence not in told:
                told.add(sentence)
                yield sentence
        for actor in sorted(chain.from_iterable(dead), key=lambda actor: actor["EndTime"]):
            cause, id = actor["DeathCause"], actor["ActorID"]
            why = cause.actor_died_error_context.reason
            died = why in (Died.WORKER_DIED, Died.NODE_DIED) or cause.HasField("oom_context")
            if died and id not in told:
                told.add(id)
                title, address = actor["ActorClassName"].rpartition(".")[2], actor["Address"]["IPAddress"]
                how = "it crashed or was killed, perhaps for want of memory"
                how = "the node had no memory left" if cause.HasField("oom_context") else how
                how = "its node is gone" if why == Died.NODE_DIED else how
                yield f"the worker ray::{title} (process {actor['Pid']} on node {address}) died: {how}"
        time.sleep(EVERY)


def main() -> None:
    parser(__doc__).parse_args()
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what Ray prints goes to the log

    def say(**what: Any) -> None:
        print(json.dumps(what), file=lines)

    import ray

    asked = json.load(sys.stdin)
    try:
        ray.init(
            asked["address"], log_to_driver=False, logging_level="ERROR", runtime_env={"env_vars": asked["variables"]}
        )
        nodes = wait(ray, asked)
        compare(ray, nodes, asked)
    except UserError as error:
        return say(error=str(error))
    except (ConnectionError, RuntimeError, ValueError) as error:  # another version of Ray, say
        return say(error=f"the Ray at {asked['address']} cannot be joined: {' '.join(str(error).split())[:300]}")
    say(nodes=[node["NodeManagerAddress"] for node in nodes])
    for sentence in deaths(ray, nodes):
        say(died=sentence)


if __name__ == "__main__":
    main()
