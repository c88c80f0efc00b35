"""A small synthetic clinic, made by the commands: conversations, notes right and wrong, a tiny model, a trained one."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.commands import run_command, run_process

TINY = ("--config", "recipes/clinical_prm/sft/tiny.yaml", "--logging_steps", 1)


@dataclass(frozen=True)
class Clinic:
    """Folders of a synthetic clinic and of what was made from it."""

    dialogues: Path
    data: Path
    model: Path

    @property
    def train(self) -> Path:
        return self.data / "clinical_note/train.parquet"

    @property
    def test(self) -> Path:
        return self.data / "clinical_note/test.parquet"

    def sft(self, out: Path, *flags: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """Train a process reward model for four steps, as a user would."""
        places = {"BASE_MODEL": str(self.model), "DATA_DIR": str(self.data), "MODEL_PATH": str(out)}
        return run_process("sft.prm", *TINY, "--max_steps", 4, *flags, **places, **environment)


@pytest.fixture(scope="session")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Clinic:
    place = tmp_path_factory.mktemp(f"clinic{os.getpid()}")
    made = Clinic(place / "dialogues", place / "data", place / "model")
    for words in (
        ("data_prep.synthesize", "--out", made.dialogues, "--dialogues", 60),
        ("data_prep.clinical_notes", "--dialogues", made.dialogues, "--out", made.data, "--inject", "rules",
         "--samples", 3),
        ("data_prep.tiny_model", "--note", made.dialogues, "--out", made.model, "--vocab", 600, "--hidden", 32,
         "--layers", 2),
    ):  # fmt: skip
        done = run_command(*words)
        assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="session")
def prm(clinic: Clinic, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What four steps of training leave."""
    out = tmp_path_factory.mktemp("prm") / "prm"
    done = clinic.sft(out)
    assert done.returncode == 0, done.stderr
    return out
