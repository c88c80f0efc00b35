"""eval.dictionary finds the codes of terms that stand in a text, and its folder is scored like any other."""

from pathlib import Path

import pytest

from eval.dictionary import codes, terms
from tests.conftest import World, assert_refused, run_command
from tests.data_prep.codiesp.corpus import write_corpus
from tests.support.eval_folders import scores_of


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Fever for a week.", ["R509"]),  # "Fever, unspecified"
        ("She has type 2 diabetes mellitus.", ["E119"]),  # of the category the code without complications
        ("Then headaches, of a kind.", ["R519"]),  # a plural
        ("Asthma and asthma again.", ["J45909"]),
        ("The weather was fine.", []),
    ],
)
def test_a_term_in_the_text_is_its_code(text: str, found: list[str]) -> None:
    assert codes(text, terms()) == found


def test_the_longest_term_takes_its_words() -> None:
    assert codes("Pain.", terms()) == ["R52"] and codes("Chest pain.", terms()) == ["R079"]


def test_the_folder_is_scored_and_other_tasks_are_refused(tmp_path: Path, world: World) -> None:
    done = run_command("data_prep.codiesp", "--corpus", write_corpus(tmp_path / "corpus"), "--out", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    words = ("--data", tmp_path / "data/codiesp/test.parquet", "--out", tmp_path / "found")
    done = run_command("eval.dictionary", *words)
    assert done.returncode == 0 and "2 cases" in done.stdout, done.stderr
    assert run_command("eval.score", "--generations", tmp_path / "found", "--bootstrap", 20).returncode == 0
    metrics = scores_of(tmp_path / "found")["metrics"]
    # gold E119, R509 and R079, W19XXX; said R509 ("diabetes" alone is no term), R079 and another code for the fall
    assert metrics["code/micro_recall"]["value"] == 2 / 4 and metrics["code/micro_precision"]["value"] == 2 / 3
    assert "all there already" not in run_command("eval.dictionary", *words).stderr
    assert_refused(run_command("eval.dictionary", *words[:3], words[1]), "test.parquet cannot be", "File exists")
    done = run_command("eval.dictionary", "--data", world.data / "drg/test.parquet", "--out", tmp_path / "drg")
    assert_refused(done, "holds mimic_drg; the dictionary finds sets of codes")
