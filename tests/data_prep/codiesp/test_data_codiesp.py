"""data_prep.codiesp on a small corpus of the same layout, on the real one where it is there, and on broken ones."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from data_prep import codiesp, parquet, prompts
from data_prep.writing import manifest
from reward_fns.answers import parse
from reward_fns.task import TASKS
from sft.training import examples
from sft.training.settings import Source
from tests.conftest import World, assert_refused, run_command
from tests.data_prep.codiesp.corpus import write_corpus


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("codiesp")
    done = run_command("data_prep.codiesp", "--corpus", write_corpus(place / "corpus"), "--out", place / "data")
    assert done.returncode == 0, done.stderr
    assert "2 train, 1 dev, 2 test rows" in done.stdout and "published:" not in done.stdout
    return place / "data"


def test_rows_hold_sets_of_codes_and_what_the_corpus_says_of_them(made: Path) -> None:
    rows = parquet.read(made / "codiesp/train.parquet").to_pylist()
    assert [row["reward_model"]["ground_truth"] for row in rows] == ["I219, E119, R079", "W19XXX, R509"]
    assert {row["data_source"] for row in rows} == {"codiesp_icd_set"}
    info = rows[1]["extra_info"]
    assert info["case"] == "S0000-02" and info["hadm_id"] == manifest.number("S0000-02") == info["subject_id"]
    assert info["evidence"] == [
        {"code": "W19XXX", "text": "cae", "place": "10 16;20 24"},
        {"code": "R509", "text": "fiebre", "place": "10 16;20 24"},
    ]
    assert rows[1]["prompt"] == prompts.messages("icd_set", "She fell at home and broke nothing. Fever was noted.")
    tables = {name: parquet.read(made / f"codiesp/{name}.parquet") for name in ("train", "dev", "test")}
    assert {name: set(parquet.infos(table, "split")) for name, table in tables.items()} == {n: {n} for n in tables}
    assert [i for table in tables.values() for i in parquet.infos(table, "index")] == list(range(5))


def test_codes_that_the_tabular_list_lacks_exist_for_the_reward(made: Path) -> None:
    assert (made / "codiesp/codes.txt").read_text() == "W19XXX\n"
    done = run_command("data_prep.validate", made)
    assert done.returncode == 0 and f"{made / 'codiesp'}: all checks passed" in done.stdout, done.stderr
    lost = shutil.copytree(made, made.parent / "lost")
    (lost / "codiesp/codes.txt").unlink()
    assert_refused(run_command("data_prep.validate", lost), "codes.txt does not exist")
    described = run_command("data_prep.describe", made)
    assert described.returncode == 0 and "train.parquet" in described.stdout, described.stderr


def test_a_reasoning_has_for_every_code_its_title_and_the_sentence_that_shares_most_words(made: Path) -> None:
    table = pq.read_table(made / "codiesp/sft_evidence.parquet")
    assert table["prompt"].to_pylist() == parquet.read(made / "codiesp/train.parquet")["prompt"].to_pylist()
    task, golds = TASKS["icd_set"], parquet.golds(made / "codiesp/train.parquet")
    said = [message["content"] for (message,) in table["completion"].to_pylist()]
    assert parse(said[0], task.tag).reasoning.splitlines() == [
        "Acute myocardial infarction, unspecified: The electrocardiogram showed an acute myocardial infarction.",
        "Type 2 diabetes mellitus without complications: He has had type 2 diabetes for ten years.",
        "Chest pain, unspecified: A 70-year-old man came with chest pain.",
    ]
    assert parse(said[1], task.tag).reasoning.splitlines()[0] == "Unspecified fall"  # "fell" is no word of it
    reward = task.scorer(extra_codes=str(made / "codiesp/codes.txt"))
    assert [reward(text, gold)["score"] for text, gold in zip(said, golds, strict=True)] == [16, 16]
    (example, _) = examples.load(Source(model="m", cases=str(made / "codiesp/sft_evidence.parquet")))
    assert example["completion"][0]["content"] == said[0]


def test_a_synthetic_corpus_is_prepared_like_the_real_one(tmp_path: Path) -> None:
    done = run_command("data_prep.synthesize", "--out", tmp_path / "mimic", "--notes", 60, "--words", 50, "--codiesp")
    assert done.returncode == 0, done.stderr
    done = run_command("data_prep.codiesp", "--corpus", tmp_path / "mimic/codiesp", "--out", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    golds = parquet.golds(tmp_path / "data/codiesp/train.parquet")
    assert len(golds) > 20 and max(gold.count(",") for gold in golds) > 1
    assert run_command("data_prep.validate", tmp_path / "data").returncode == 0


def test_notes_are_cut_to_the_budget_of_a_tokenizer(made: Path, world: World, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    long = corpus / "train/text_files_en/S0000-01.txt"
    long.write_text("fever and chest pain " * 500)
    words = ("--tokenizer", world.model, "--max-prompt-tokens", 300)
    done = run_command("data_prep.codiesp", "--corpus", corpus, "--out", tmp_path / "data", *words)
    assert done.returncode == 0, done.stderr
    table = parquet.read(tmp_path / "data/codiesp/train.parquet")
    assert parquet.infos(table, "note_truncated") == [True, False] and max(parquet.infos(table, "prompt_tokens")) <= 300


def test_a_budget_without_a_tokenizer_and_a_taken_place_are_refused(tmp_path: Path) -> None:
    words = ("data_prep.codiesp", "--corpus", write_corpus(tmp_path / "corpus"), "--out")
    assert_refused(run_command(*words, tmp_path / "data", "--max-prompt-tokens", 300), "say --tokenizer MODEL")
    (tmp_path / "codiesp").mkdir()
    (tmp_path / "codiesp/thesis.txt").write_text("mine")
    assert_refused(run_command(*words, tmp_path), "codiesp/thesis.txt was not written by this command")


def _without(name: str) -> Callable[[Path], None]:
    return lambda corpus: shutil.rmtree(corpus / name) if (corpus / name).is_dir() else (corpus / name).unlink()


def _written(name: str, text: str | bytes) -> Callable[[Path], object]:
    return lambda corpus: (corpus / name).write_bytes(text if isinstance(text, bytes) else text.encode())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without("train"), ["train/trainD.tsv does not exist; give the folder that holds train, dev and test"]),
        (_without("dev/text_files_en"), ["dev/text_files_en does not exist"]),
        (_without("test/testX.tsv"), ["test/testX.tsv does not exist"]),
        (_without("test/text_files_en/S0000-05.txt"), ["lacks S0000-05.txt, which testD.tsv has codes for"]),
        (_written("dev/text_files_en/S1.txt", "A case."), ["S1.txt has no code in devD.tsv"]),
        (_written("dev/text_files_en/S0000-03.txt", " \n"), ["S0000-03.txt is empty"]),
        (_written("dev/text_files_en/S0000-03.txt", b"\xff\xfe\x00"), ["S0000-03.txt is not UTF-8"]),
        (
            _written("dev/devD.tsv", "S0000-03\tfever, r50.9\n"),
            ["devD.tsv, line 1: 'fever, r50.9' is no ICD-10-CM code"],
        ),
        (_written("dev/devD.tsv", "S0000-03 r50.9\n"), ["devD.tsv, line 1 has 1 columns instead of 2"]),
    ],
)
def test_a_corpus_that_is_built_otherwise_is_refused(
    change: Callable[[Path], object], said: list[str], tmp_path: Path
) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    change(corpus)
    assert_refused(run_command("data_prep.codiesp", "--corpus", corpus, "--out", tmp_path / "data"), *said)
    assert not (tmp_path / "data").exists()


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    done = run_command("data_prep.codiesp", "--corpus", tmp_path / "none", "--out", tmp_path / "data")
    assert_refused(done, "the corpus", "none does not exist; give the folder that holds train, dev and test")


@pytest.mark.slow
@pytest.mark.skipif("CODIESP" not in os.environ, reason="CODIESP names no copy of the corpus")
def test_the_real_corpus_has_the_published_counts_and_every_gold_earns_the_maximum(tmp_path: Path) -> None:
    done = run_command("data_prep.codiesp", "--corpus", os.environ["CODIESP"], "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    counts = json.loads((tmp_path / "codiesp/manifest.json").read_text())["counts"]
    assert len(counts) == 30 and all(count["ours"] == count["paper"] for count in counts.values()), counts
    assert [counts[f"{split}: rows"]["ours"] for split in codiesp.PUBLISHED] == [5639, 2677, 2842]
    assert run_command("data_prep.validate", tmp_path).returncode == 0
