"""A real Slurm of one host: Debian's packages unpacked into a folder, run there as the present user, nothing installed.

    with slurm() as cluster:
        job = cluster.submit(folder, "recipes/submit.slurm", "drg_sapphire/strict")     # sbatch in that folder
        cluster.wait(job)

Its nodes are two slurmd on this host, each with the machine's cores and six GPUs that are none (/dev/null and others:
Slurm counts device files).
"""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGES = (
    *("slurmctld", "slurmd", "slurm-client", "slurm-wlm-basic-plugins", "munge", "libmunge2"),
    *("libhwloc15", "libnuma1", "libjson-c5", "libyaml-0-2", "libdbus-1-3", "libpam0g"),
)
NODES, GPUS = ("n1", "n2"), ("null", "zero", "full", "random", "urandom", "tty")
ENDS = ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL", "BOOT_FAIL", "OUT_OF_MEMORY")
CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthInfo=socket={place}/munge.socket
PluginDir={plugins}
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool-%n
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd-%n.pid
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
MailProg=/bin/true
KillWait=10
MinJobAge=3600
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
GresTypes=gpu
PartitionName=all Nodes=ALL Default=YES
"""


@dataclass
class Slurm:
    """A cluster that runs, and its commands."""

    place: Path
    env: dict[str, str]

    def run(self, *words: object, cwd: Path | None = None, **environment: str) -> str:
        done = subprocess.run([*map(str, words)], cwd=cwd, env=self.env | environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def submit(self, folder: Path, *words: object, **environment: str) -> str:
        """The number of the job that `sbatch WORDS` makes in the folder."""
        return self.run("sbatch", "--parsable", *words, cwd=folder, **environment).strip()

    def state(self, job: str) -> str:
        """As Slurm calls it, PENDING or COMPLETED, say."""
        return self.run("scontrol", "--oneliner", "show", "job", job).partition("JobState=")[2].split()[0]

    def wait(self, job: str, *states: str, seconds: float = 60) -> None:
        """Until the job is in one of the states, COMPLETED unless named; fail when it ends in another one."""
        wanted = states or ("COMPLETED",)

        def there() -> bool:
            state = self.state(job)
            assert state in wanted or state not in ENDS, self.run("scontrol", "show", "job", job)
            return state in wanted

        self.until(there, lambda: self.run("scontrol", "show", "job", job), seconds)

    def until(self, true: Callable[[], bool], said: Callable[[], str], seconds: float = 60) -> None:
        """Wait for something; when it does not come, fail with what the other function says."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, said()
            time.sleep(0.2)


@contextmanager
def slurm() -> Iterator[Slurm]:
    """Start it, and end it with all its jobs; skip the test where the packages cannot be had."""
    place = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # short enough for sockets
    try:
        yield from _cluster(place)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _cluster(place: Path) -> Iterator[Slurm]:
    root = _unpacked(place)
    plugins = next(root.glob("usr/lib/*/slurm*/auth_munge.so")).parent
    host = socket.gethostname()
    config = CONFIG.format(host=host, port=_port(), user=_user(), place=place, plugins=plugins)
    for node in NODES:
        config += f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={_port()} "
        config += f"Gres=gpu:{len(GPUS)} CPUs={len(os.sched_getaffinity(0))}\n"
        (place / f"spool-{node}").mkdir()
    (place / "slurm.conf").write_text(config)
    (place / "gres.conf").write_text("".join(f"Name=gpu File=/dev/{device}\n" for device in GPUS))
    (place / "munge.key").write_bytes(os.urandom(1024))
    (place / "munge.key").chmod(0o400)
    (place / "state").mkdir()
    cluster = Slurm(place, {
        **os.environ,
        "PATH": f"{root}/usr/bin:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": f"{plugins.parent}:{plugins}:{os.environ.get('LD_LIBRARY_PATH', '')}",
        "SLURM_CONF": f"{place}/slurm.conf",
    })  # fmt: skip
    sbin = root / "usr/sbin"
    munge = [f"--{name}-file={place}/munge.{name}" for name in ("key", "pid", "log", "seed")]
    daemons = [
        (sbin / "munged", "--foreground", "--force", f"--socket={place}/munge.socket", *munge),
        (sbin / "slurmctld", "-D"),
        *((sbin / "slurmd", "-D", "-N", node, "-d", sbin / "slurmstepd") for node in NODES),
    ]
    with ExitStack() as stack:
        for number, words in enumerate(daemons):
            stack.enter_context(_daemon(cluster, place / f"{number}.out", *words))
            cluster.until((place / "munge.socket").exists, lambda: _told(place))
        cluster.until(lambda: _idle(cluster), lambda: _told(place))
        try:
            yield cluster
        finally:
            subprocess.run(["scancel", "--user", _user()], env=cluster.env)
            cluster.until(lambda: not cluster.run("squeue", "-h").strip(), lambda: _told(place))


def _idle(cluster: Slurm) -> bool:
    done = subprocess.run(["sinfo", "-h", "-N", "-o", "%T"], env=cluster.env, capture_output=True, text=True)
    return done.stdout.split() == ["idle"] * len(NODES)


def _told(place: Path) -> str:
    return "\n".join(path.read_text()[-2000:] for path in place.glob("*.out"))


def _unpacked(place: Path) -> Path:
    (place / "packages").mkdir()
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        pytest.skip("Slurm is taken from Debian's packages, and there is no apt-get here")
    done = subprocess.run(["apt-get", "download", *PACKAGES], cwd=place / "packages", capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"Debian's packages of Slurm cannot be had here: {done.stderr.strip().splitlines()[-1]}")
    for package in sorted((place / "packages").glob("*.deb")):
        subprocess.run(["dpkg", "-x", package, place / "root"], check=True)
    for program in (place / "root/usr/sbin").glob("*-wlm"):  # Slurm's daemons go by their own names
        program.with_name(program.name.removesuffix("-wlm")).symlink_to(program.name)
    return place / "root"


@contextmanager
def _daemon(cluster: Slurm, output: Path, *words: object) -> Iterator[None]:
    with output.open("wb") as file:
        process = subprocess.Popen([*map(str, words)], env=cluster.env, stdout=file, stderr=file)
        try:
            yield
        finally:
            process.terminate()
            process.wait(20)


def _port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name
