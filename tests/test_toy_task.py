"""A task that a user adds goes through every command without an edit of product code: the colour of a fruit."""

import asyncio
import dataclasses
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from common.commands import UserError
from data_prep import curriculum, parquet, prompts, validate
from eval import errors, report, score
from eval.generation import filling
from eval.generation.sources import Source
from reward_fns import explain
from reward_fns.drg import reward as drg
from reward_fns.task import TASKS, Check, Measure, Task
from sft.tracing import quality, requests
from sft.tracing.settings import Settings
from sft.training import examples
from tests.support.fruit import GOLDS, fruit

CASES = 60
REASONING = "It hangs from a tree in the sun and one sees at once which colour it has."


@pytest.fixture
def task() -> Iterator[Task]:
    yield TASKS.register(fruit())
    TASKS.unregister("fruit")


@pytest.fixture
def data(task: Task, tmp_path: Path) -> Path:
    """Rows as a data command of one's own would write them, through the shared prompts, schema and manifest."""
    from data_prep.writing import budget, manifest, rows

    notes = pa.array([f"fruit number {i}" for i in range(CASES)])
    prompt = prompts.load("fruit")
    at = np.arange(CASES)
    golds = np.array([GOLDS[i % len(GOLDS)] for i in range(CASES)])
    cases = rows.Cohort(at + 1000, at // 2, golds, at, notes, str)
    builder = rows.Builder("fruit_colour", prompt, cases, budget.fitted(notes, prompt, None))
    folder = tmp_path / "data" / "fruit"
    folder.mkdir(parents=True)
    rows.write_files(folder, builder, {"train": at, "test": at[:30]})
    facts: dict[str, Any] = {"prompts": prompts.hashes(), "max_prompt_tokens": None, "releases": {}}
    facts |= {"split": {"kind": "none"}, "labels": {}}
    kept = manifest.Manifest("fruit", facts)
    kept.write(folder)
    return folder / "train.parquet"


class Stub(Source):
    """Answers without a model: the gold, another shade, another colour, nothing."""

    model, dtype = {"name": "stub", "fingerprint": "0" * 64}, "none"

    def __init__(self, golds: dict[int, str], share: float) -> None:
        self.golds, self.share = golds, share

    def complete(self, cases: pa.Table, settings: dict[str, Any]) -> Iterator[pa.Table]:
        rng, task = random.Random(0), TASKS["fruit"]
        said = []
        for index in cases["index"].to_pylist():
            answers = [
                self.golds[index] if rng.random() < self.share else rng.choice([*GOLDS, "mauve"])
                for _ in range(settings["sampling"]["n"])
            ]
            said.append([task.completion(REASONING, answer) for answer in answers])
        table = cases.drop_columns(["prompt"]).append_column("completions", pa.array(said))
        table = table.append_column("n_tokens", pa.array([[9] * len(row) for row in said], pa.list_(pa.int32())))
        yield table.append_column("finish_reason", pa.array([["stop"] * len(row) for row in said]))


def generated(data: Path, out: Path, share: float) -> Path:
    """A folder as eval.generate leaves it, from the stub."""
    from common.files import sha256

    table = parquet.read(data)
    golds = dict(zip(parquet.infos(table, "index"), parquet.golds(table), strict=True))
    source = Stub(golds, share)
    about = {"name": str(data), "sha256": sha256(data), "limit": None}
    made = filling.settings(source, about, {"n": 4, "temperature": 1.0, "top_p": 1.0, "max_tokens": 9}, seed=0)
    assert filling.fill(out, filling.cases(table, str(data)), made, source, "stub").run["finished"]
    return out


def test_a_toy_task_goes_from_data_to_report(
    task: Task, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert validate.check_file(data).num_rows == CASES
    examples_of = examples.load(_source(data))
    assert examples_of[0]["completion"][0]["content"] == task.completion("-", GOLDS[0])
    assert examples_of[0]["prompt"] == prompts.messages("fruit", "fruit number 0")

    worse, better = (generated(data, tmp_path / name, share) for name, share in (("worse", 0.2), ("better", 0.8)))
    score.main(["--generations", str(worse), "--bootstrap", "50"])
    score.main(["--generations", str(better), "--against", str(worse), "--bootstrap", "50"])
    found = json.loads((better / "scores.json").read_text())
    assert found["task"] == "fruit" and found["metrics"]["letters"]["definition"].startswith("mean number of letters")
    assert found["metrics"]["whole/pass@1"]["value"] > 0.7 < found["metrics"]["colour/pass@1"]["value"]
    assert found["paired"]["metrics"]["whole/pass@1"]["value"] > 0.3
    assert set(found["groups"]["shade"]) == {"dark", "light"}

    errors.main(["--runs", f"worse={worse}", f"better={better}", "--out", str(tmp_path / "errors")])
    kinds = json.loads((tmp_path / "errors" / "errors.json").read_text())["runs"]["better"]["completions"]
    assert list(kinds) == list(task.kinds) and sum(kinds.values()) == pytest.approx(1)

    report.main(["--runs", str(worse), str(better), "--out", str(tmp_path / "report")])
    page = (tmp_path / "report" / "index.html").read_text()
    for shown in ("Fruit: accuracy", "whole answer", "letters", "Colour: gold and said"):
        assert shown in page
    assert "Pass@1" in capsys.readouterr().out


def _source(data: Path) -> Any:
    """What sft.train would be told."""
    from sft.training.settings import Source

    return Source(model="m", cases=str(data), style=examples.OUTCOME)


def test_a_toy_task_has_traces_and_explanations(task: Task, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = Settings(task="fruit", style="plain", least_words=3)
    written = task.completion(REASONING, "dark red")
    assert quality.fault(wanted, written, "stop", "dark red", "") == ""
    shouted = task.completion(REASONING.upper(), "dark red")
    assert quality.fault(wanted, shouted, "stop", "dark red", "") == "shouts"
    assert quality.reasons(task)["shouts"] == "shouts"
    (asked,) = requests.chat(task, "plain", prompts.messages("fruit", "a plum"), "dark blue")
    assert "Look at it first." in asked["content"] and "a plum" in asked["content"] and "{" not in asked["content"]
    file = tmp_path / "completion.txt"
    file.write_text(written)
    explain.main(["--task", "fruit", "--gold", "light red", "--completion", str(file)])
    assert "score      1" in capsys.readouterr().out


def test_verls_own_reward_manager_scores_a_toy_task(task: Task, world: Any) -> None:
    import torch
    from omegaconf import OmegaConf
    from tensordict import TensorDict
    from transformers import AutoTokenizer
    from verl import DataProto
    from verl.experimental.reward_loop.reward_manager.naive import NaiveRewardManager

    tokenizer = AutoTokenizer.from_pretrained(world.model)
    ids = tokenizer(task.completion(REASONING, "light red"), add_special_tokens=False)["input_ids"]
    batch = TensorDict(
        {"responses": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.long)}, batch_size=1
    )
    columns = {"data_source": "fruit_colour", "reward_model": {"ground_truth": "dark red"}, "extra_info": {}}
    loose = {name: np.array([value], dtype=object) for name, value in columns.items()}

    async def scored() -> dict[str, Any]:
        manager = NaiveRewardManager(OmegaConf.create({}), tokenizer, task.module().compute_score)
        return await manager.run_single(DataProto(batch=batch, non_tensor_batch=loose))

    found = asyncio.run(scored())
    assert found["reward_score"] == 1.0 and found["reward_extra_info"]["colour"] == 1.0


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"levels": ()}, "has no level"),
        ({"key": "drg"}, "is that of drg"),
        ({"source": "mimic_icd"}, "is that of icd"),
        ({"flags": ("acc", "acc", "colour", "format", "valid")}, "declares acc twice"),
        ({"measures": (Measure("weight", "unknown"),)}, "the measure weight, which neither"),
        ({"measures": (Measure("acc", "again", value=lambda of: of["acc"]),)}, "declares acc twice"),
        ({"confusion": "taste"}, "names a level for confusion or pairs that it lacks"),
        ({"kinds": {}}, "has no kinds"),
    ],
)
def test_a_task_that_lacks_a_part_is_refused_with_its_name(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=r"^task \w+.*") as refused:
        TASKS.register(fruit(**changed))
    assert said in str(refused.value)
    assert "fruit" not in TASKS


def test_rows_of_a_task_that_is_not_registered_are_refused(data: Path) -> None:
    TASKS.unregister("fruit")
    try:
        with pytest.raises(UserError, match="data_source 'fruit_colour' is unknown; known: mimic_drg, mimic_icd"):
            validate.check_file(data)
    finally:
        TASKS.register(fruit())


def lavish(shares: str, said: Any, gold: Any) -> float:
    """Half a point for a DRG of the same MDC."""
    if shares == drg.RIGHT:
        return 3.0
    return -1.0 if said is None else 0.5 if said.mdc == gold.mdc else 0.0


def test_a_new_scheme_is_one_function(monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path) -> None:
    monkeypatch.setitem(drg.SCHEMES, "lavish", lavish)
    task = TASKS["drg"]
    gold, near = "HEART FAILURE AND SHOCK WITH MCC", "CHEST PAIN"
    drg.check_options(accuracy="lavish")
    scores = [drg.compute_score("mimic_drg", task.completion("So it is.", said), gold, accuracy="lavish")["accuracy"]
              for said in (gold, near, "SEIZURES WITH MCC", "nothing")]  # fmt: skip
    assert scores == [3.0, 0.5, 0.0, -1.0]
    assert drg.payments("lavish") == {3.0, 0.5, 0.0, -1.0} and drg.lowest("lavish") == -2.0
    file = tmp_path / "completion.txt"
    file.write_text(task.completion("So it is.", near))
    explain.main(["--task", "drg", "--gold", gold, "--completion", str(file), "--option", "accuracy=lavish"])
    assert "accuracy   +0.5  (lavish)" in capsys.readouterr().out
    (tmp_path / "config.yaml").write_text("reward: {custom_reward_function: {reward_kwargs: {accuracy: lavish}}}")
    (scheme,) = curriculum.schemes_of(tmp_path / "outcomes.parquet", None)
    wrong = drg.payments(scheme, drg.NOTHING)
    assert curriculum.judge([0.5, 0.5], [0.5, 0.5], [0, 0], [0, 0], wrong).hard
    strict = dataclasses.replace(task, options={"accuracy": "lavish"})
    assert strict.scorer()(task.completion("So it is.", gold), gold)["score"] == 3.0


def test_a_check_is_a_reason_in_a_word_and_in_words() -> None:
    assert Check("late", "comes late", lambda text, gold: True).holds("", "")
