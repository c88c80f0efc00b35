"""A model card from what a run and an evaluation left."""

import json
from pathlib import Path

import pytest

from common import record
from tests.conftest import assert_refused
from tests.support.eval_folders import folder, scored


def run_of(place: Path, release: str) -> Path:
    """A finished run's folder, trained on data of a release."""
    (place / "data").mkdir(parents=True)
    (place / "data" / "manifest.json").write_text(json.dumps({"releases": {"hosp": release}}))
    run = place / "run"
    (run / "hf_model").mkdir(parents=True)
    about = {
        "recipe": "drg_sapphire/strict",
        "model": "org/start",
        "command": "bash recipes/launch.sh",
        "commit": "abc",
    }
    record.write(run, **about, versions={"verl": "0.9.1"}, data={str(place / "data/train.parquet"): "d" * 64})
    return run


def test_the_card_says_how_the_model_was_made_and_how_good_it_is(tmp_path, command):
    run, scores = run_of(tmp_path, "2.0"), scored(command, folder(tmp_path / "generations"))
    done = command("eval.card", "--run", run, "--scores", scores / "scores.json")
    assert done.returncode == 0 and "before you share" in done.stdout, done.stderr
    text = (run / "hf_model/README.md").read_text()
    for said in (
        "base_model: org/start",
        "# drg_sapphire/strict",
        "commit abc",
        "verl 0.9.1",
        f"\n- verl 0.9.1\n\n| data | SHA-256 |\n|---|---|\n| train.parquet | `{'d' * 64}` |\n\n## How good",
    ):
        assert said in text, said
    assert "| drg/pass@1 | 18.8 |" in text and "4 test cases of 3 patients, 4 answers a case" in text
    assert "data use agreement" in text and "synthetic" not in text


def test_a_model_of_synthetic_cases_is_called_that_and_one_without_scores_not_evaluated(tmp_path, command):
    run = run_of(tmp_path, "unknown or synthetic")
    assert command("eval.card", "--run", run, "--out", tmp_path / "card.md").returncode == 0
    text = (tmp_path / "card.md").read_text()
    assert "synthetic cases" in text and "Not evaluated." in text and "data use agreement" not in text
    assert not (run / "hf_model/README.md").exists()


@pytest.mark.parametrize(("name", "title"), [("cold", "# cold"), (None, "# A fine-tuned model")])
def test_a_fine_tuned_model_has_a_card_beside_its_weights(tmp_path, command, name, title):
    about = {"command": "python -m sft.train", "commit": None, "versions": {"trl": "1.12.0"}}
    record.write(tmp_path, **about, source={"model": "org/start", "name": name}, data={"traces.parquet": "d" * 64})
    done = command("eval.card", "--run", tmp_path)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "README.md").read_text()
    for said in (title, "base_model: org/start", "`python -m sft.train`", "commit not recorded", "| traces.parquet |"):
        assert said in text, said


def test_what_is_no_run_or_no_scores_is_refused(tmp_path, command):
    assert_refused(command("eval.card", "--run", tmp_path), "run.json", "recipes/launch.sh")
    generations = folder(tmp_path / "generations")  # it has a run.json, too
    assert_refused(command("eval.card", "--run", generations), "recipes/launch.sh or sft.train")
    run = run_of(tmp_path, "2.0")
    assert_refused(command("eval.card", "--run", run, "--scores", tmp_path / "none.json"), "none.json", "eval.score")
    (tmp_path / "bad.json").write_text("{")
    assert_refused(command("eval.card", "--run", run, "--scores", tmp_path / "bad.json"), "bad.json is no JSON")
    assert_refused(command("eval.card", "--run", run, "--out", run), f"{run} cannot be written", "Is a directory")
