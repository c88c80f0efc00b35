"""The process reward model as a reward, as it is used: served by recipes/judge.sh --prm, asked by a real GRPO run."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from common import llm_server
from common.commands import UserError
from data_prep.clinical import graded
from eval.verification.grading import Transformers
from recipes.launcher.check_config import check_recipe
from recipes.launcher.compose import compose
from reward_fns.clinical_note.reward import settings
from reward_fns.clinical_note.server import grade
from reward_fns.clinical_note.tokens import encode
from tests.conftest import ROOT, assert_refused, run_command, run_process
from tests.support.clinical.clinic import Clinic
from tests.support.clinical.grader import Grader
from tests.support.judge_server import in_a_thread

RECIPE = "clinical_prm/note_grpo"
SMALL = ("hardware=cpu", "data.train_batch_size=4", "data.val_max_samples=3", "trainer.total_training_steps=2")
PARTS = ("format", "note", "said", "complete", "end", "lowest", "extent", "prm_retries", "prm_wait")


@pytest.fixture(scope="module")
def served(prm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The small process reward model behind vLLM; what the script says to export."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    log = tmp_path_factory.mktemp("served") / "log.txt"
    env = {**os.environ, "PYTHON": sys.executable, "JUDGE_PORT": port, "JUDGE_LOG": str(log)}
    words = ["bash", "recipes/judge.sh", "--prm", str(prm)]
    script = subprocess.Popen(words, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
    try:
        assert script.stdout is not None
        said = script.stdout.readline()
        assert "export" in said, log.read_text()[-3000:]
        yield dict(word.split("=", 1) for word in said.split("export ")[1].split())
    finally:
        below = psutil.Process(script.pid).children(recursive=True)
        script.terminate()
        assert script.wait(60) == 143
        assert not psutil.wait_procs(below, timeout=30)[1]  # no server outlives its script


@pytest.fixture(scope="module")
def writer(clinic: Clinic, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model after it has learnt the form of a note."""
    out = tmp_path_factory.mktemp("writer") / "writer"
    places = {"BASE_MODEL": str(clinic.model), "DATA_DIR": str(clinic.data), "MODEL_PATH": str(out)}
    words = ("--config", "recipes/clinical_prm/sft/writer_tiny.yaml", "--num_train_epochs", 40)
    done = run_process("sft.train", *words, "--learning_rate", 5e-3, OMP_NUM_THREADS="1", **places)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
def test_the_server_says_what_transformers_does_to_a_ten_thousandth(
    served: dict[str, str], clinic: Clinic, prm: Path
) -> None:
    exact, rows = Transformers(str(prm)), graded.read(clinic.test)
    encoded = [encode(exact.tokenizer, exact.markers, row["dialogue"], row["positions"]) for row in rows]
    asked = settings(base_url=served["PRM_URL"], model=served["PRM_MODEL"])

    async def shares() -> list[list[float]]:
        try:
            every = (grade(asked, row["dialogue"], row["positions"]) for row in rows)
            return [answer.value for answer in await asyncio.gather(*every)]
        finally:
            await llm_server.close()

    far = [abs(a - b) for one, two in zip(asyncio.run(shares()), exact(encoded), strict=True)
           for a, b in zip(one, two, strict=True)]  # fmt: skip
    print(f"{len(far)} positions, at most {max(far):.1e} apart")
    assert len(far) == sum(len(row["positions"]) for row in rows) and max(far) < 1e-4


@pytest.mark.slow
def test_grpo_trains_two_steps_on_the_served_model_and_its_components_are_metrics(
    served: dict[str, str], clinic: Clinic, writer: Path, tmp_path: Path
) -> None:
    env = {"DATA_DIR": str(clinic.data), "MODEL_PATH": str(writer), "RUNS_DIR": str(tmp_path)}
    words = ("bash", "recipes/launch.sh", RECIPE, *SMALL, "name=two")
    done = run_process(*words, **env, **served)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / RECIPE / "two"
    rows = [json.loads(line)["data"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 2
    for row in rows:
        assert all(f"reward/{name}/mean" in row for name in PARTS) and row["reward/reward_error/mean"] == 0
        total = row["reward/format/mean"] + row["reward/note/mean"]
        assert row["reward/score/mean"] == pytest.approx(total, abs=1e-3) == row["critic/score/mean"]
        assert row["reward/end/mean"] > 0  # notes were graded
    outcomes = pq.read_table(folder / "outcomes.parquet")
    print({name: [round(row[f"reward/{name}/mean"], 3) for row in rows] for name in ("score", *PARTS)})
    assert outcomes.num_rows == 8 and not any("wheez" in str(row) for row in outcomes.to_pylist())  # and no text


def test_a_run_whose_server_is_not_there_is_refused_before_anything_starts(
    clinic: Clinic, prm: Path, tmp_path: Path
) -> None:
    env = {"DATA_DIR": str(clinic.data), "MODEL_PATH": str(clinic.model), "RUNS_DIR": str(tmp_path)}
    env |= {"PRM_URL": "http://127.0.0.1:9/v1", "PRM_MODEL": str(prm)}
    words = ("recipes.check", RECIPE, *SMALL)
    assert_refused(run_command(*words, **env), "no server answers at http://127.0.0.1:9/v1", "recipes/judge.sh --prm")
    assert_refused(run_command(*words, **env | {"PRM_MODEL": str(clinic.model)}), "prm.json", "sft.prm")
    with in_a_thread(Grader(model=str(prm))) as server:
        assert run_command(*words, **env | {"PRM_URL": server.url}).returncode == 0
    assert not list(tmp_path.rglob("log.txt"))


def test_what_the_script_cannot_serve_is_one_sentence(clinic: Clinic) -> None:
    assert_refused(run_process("bash", "recipes/judge.sh", "--prm", clinic.model), "no prm.json", "sft.prm")
    assert_refused(run_process("bash", "recipes/judge.sh", "--prm"), "must follow --prm")


def test_gdpo_can_weigh_the_components_of_the_recipe() -> None:
    words = ("algorithm=gdpo", "hardware=cpu", "reward.custom_reward_function.reward_kwargs.base_url=http://x/v1")
    check_recipe(RECIPE, compose(RECIPE, words))
    with pytest.raises(UserError, match="gdpo_reward_keys names 'nota'"):
        check_recipe(RECIPE, compose(RECIPE, [*words, "study.components=[format,nota]"]))


def test_on_a_laptop_the_run_starts_from_the_clinic_that_its_page_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATA_DIR", "MODEL_PATH"):
        monkeypatch.delenv(name, raising=False)
    places = compose(RECIPE, ["hardware=cpu"]).places
    assert (places.data, places.model) == ("outputs/clinic/data", "outputs/clinic/writer")
    assert compose("drg_sapphire/strict", ["hardware=cpu"]).places.data == "outputs/demo/data"
    page = (ROOT / "recipes/clinical_prm/README.md").read_text(encoding="utf-8")
    lines = re.findall(r"^made \S+ (.+)$", (ROOT / "recipes" / places.maker).read_text(encoding="utf-8"), re.MULTILINE)
    assert len(lines) == 5 and all(f"python -m {line.replace('$out', places.home)}\n" in page for line in lines)
