"""What several tests share: commands as a user types them, and one small synthetic world made by those commands."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.commands import ROOT, assert_refused, run_command, run_process
from tests.support.network.listening import Heard, listening

pytest_plugins = ["tests.support.session", "tests.support.clinical.clinic", "tests.support.report_pages"]
__all__ = ["ROOT", "World", "assert_refused", "run_command", "run_process"]


@dataclass(frozen=True)
class World:
    """Folders of a synthetic MIMIC and of what was made from it."""

    mimic: Path
    data: Path
    model: Path

    def environment(self, runs: Path) -> dict[str, str]:
        return {"DATA_DIR": str(self.data), "MODEL_PATH": str(self.model), "RUNS_DIR": str(runs)}


@pytest.fixture(scope="session")
def command() -> Callable[..., subprocess.CompletedProcess[str]]:
    return run_command


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A few hundred synthetic notes, an untrained model of half a million parameters, the DRG and the ICD parquet."""
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent  # of both workers: the first makes the world, the other one waits
    mimic, data, model, made = (place / "world" / name for name in ("mimic", "data", "model", "made"))
    made.parent.mkdir(exist_ok=True)
    with open(made, "a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.stat().st_size:
            source = ("--hosp", mimic / "hosp", "--note", mimic / "note", "--out", data, "--tokenizer", model)
            for words in (
                ("data_prep.synthesize", "--out", mimic, "--notes", 500, "--words", 60),
                ("data_prep.tiny_model", "--note", mimic / "note", "--out", model, "--hidden", 64, "--layers", 2),
                ("data_prep.drg", *source, "--split", "patient", "--max-prompt-tokens", 384),
                ("data_prep.icd", *source, "--split", "patient", "--max-prompt-tokens", 384),
            ):
                done = run_command(*words)
                assert done.returncode == 0, done.stderr
            lock.write("whole")
    return World(mimic, data, model)


@dataclass(frozen=True)
class Generated:
    """What one eval.generate with the real vLLM left, and how it was called."""

    folder: Path
    words: tuple[object, ...]
    done: subprocess.CompletedProcess[str]
    temporary: Path  # the folder for temporary files that it was given
    heard: Heard
    prompts: int = 36  # three parts of at most 16
    n: int = 3
    max_tokens: int = 16


@pytest.fixture(scope="session")
def generated(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Generated]:
    """Completions of the untrained model for a few cases of the test set: vLLM starts once for all tests that read."""
    folder = tmp_path_factory.mktemp("generated") / "g"
    words = (
        *("eval.generate", "--data", world.data / "drg/test.parquet", "--model", world.model, "--out", folder),
        *("--limit", Generated.prompts, "--n", Generated.n, "--max-tokens", Generated.max_tokens),
        *("--temperature", 1.0, "--top-p", 1.0),
    )
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as temporary:  # short enough for Ray's sockets
        heard = Heard(folder.with_name("obeyed"))
        with listening(heard):
            # an address that somebody left in the environment does not matter: Ray is our own
            done = run_process(*words, TMPDIR=temporary, RAY_ADDRESS="192.0.2.1:6379")
        assert done.returncode == 0, done.stderr
        yield Generated(folder, words, done, Path(temporary), heard)


@pytest.fixture(scope="session")
def trained(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What four steps of SFT with trl leave: a model that has begun to learn, and the record of its run."""
    out = tmp_path_factory.mktemp("trained") / "sft"
    done = run_process(
        *("sft.train", "--config", "recipes/drg_sapphire/sft/tiny.yaml", "--per_device_train_batch_size", 8),
        *("--max_steps", 4, "--logging_steps", 1),
        **{"BASE_MODEL": str(world.model), "DATA_DIR": str(world.data), "MODEL_PATH": str(out)},
        TRACES=str(world.mimic / "traces.parquet"),
    )
    assert done.returncode == 0, done.stderr
    (out / "stderr.txt").write_text(done.stderr)
    (out / "stdout.txt").write_text(done.stdout)
    return out


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository's code in another place, whose recipes a test may break or add to."""
    place = tmp_path / "copy"
    place.mkdir()
    for name in ("benchmarks", "common", "recipes", "reward_fns", "verl_ext", "data_prep", "eval", "sft"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, place / name)
    return place
