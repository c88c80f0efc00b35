"""data_prep.icd --codes all: every ICD-10 code of a stay as a set, from the admission note or the whole summary."""

import csv
import gzip
import json
from collections import defaultdict
from pathlib import Path

import pytest

from data_prep import parquet
from tests.conftest import World, assert_refused, run_command


def prepared(world: World, out: Path, *more: object) -> Path:
    words = ("--hosp", world.mimic / "hosp", "--note", world.mimic / "note", "--out", out, "--codes", "all")
    done = run_command("data_prep.icd", *words, *more)
    assert done.returncode == 0, done.stderr
    return out / "icd_set"


def test_the_set_of_a_stay_has_all_its_icd_10_codes_in_their_order(world: World, tmp_path: Path) -> None:
    folder = prepared(world, tmp_path)
    stays: dict[int, dict[int, str]] = defaultdict(dict)
    with gzip.open(world.mimic / "hosp/diagnoses_icd.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            if row["icd_version"] == "10":
                stays[int(row["hadm_id"])][int(row["seq_num"])] = row["icd_code"].strip()
    sizes = []
    for name in ("train", "val", "test"):
        table = parquet.read(folder / f"{name}.parquet")
        assert set(table["data_source"].to_pylist()) == {"mimic_icd_set"}
        for hadm_id, gold in zip(parquet.infos(table, "hadm_id"), parquet.golds(table), strict=True):
            assert gold.split(", ") == list(dict.fromkeys(code for _, code in sorted(stays[hadm_id].items())))
            sizes.append(gold.count(",") + 1)
    assert max(sizes) >= 3 and len(sizes) > 100
    kept = json.loads((folder / "manifest.json").read_text())
    assert kept["split"]["kind"] == "patient" and kept["counts"]["codes"]["paper"] is None
    done = run_command("data_prep.validate", folder)
    assert done.returncode == 0, done.stderr
    assert "subject_id in both train and test: 0" in done.stdout


def test_text_discharge_is_the_whole_summary(world: World, tmp_path: Path) -> None:
    folder = prepared(world, tmp_path, "--text", "discharge")
    note = parquet.infos(parquet.read(folder / "test.parquet"), "note")[0]
    with gzip.open(world.mimic / "note/discharge.csv.gz", "rt") as file:
        assert note in {row["text"].strip() for row in csv.DictReader(file)}
    assert json.loads((folder / "manifest.json").read_text())["sections"] == "discharge"


def test_a_users_own_lists_of_codes(tmp_path: Path) -> None:
    labels = ["I21.4, E119", "I214; E11.9", "J18.9", "E119 I10"] * 6 + ["I21.4 and more"]
    (tmp_path / "texts.csv").write_text("hadm_id,text\n" + "".join(f"{i},Case {i}.\n" for i in range(len(labels))))
    rows = "".join(f'{i},"{label}"\n' for i, label in enumerate(labels))
    (tmp_path / "labels.csv").write_text(f"hadm_id,label\n{rows}")
    words = ("--texts", tmp_path / "texts.csv", "--labels", tmp_path / "labels.csv", "--out", tmp_path / "data")
    done = run_command("data_prep.icd", *words, "--codes", "all")
    assert done.returncode == 0, done.stderr
    files = [tmp_path / f"data/icd_set/{name}.parquet" for name in ("train", "val", "test")]
    golds = {gold for file in files for gold in parquet.golds(file)}
    assert golds == {"I214, E119", "J189", "E119, I10"}  # the list with prose between is left out
    assert "a label that cannot be read" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--codes", "all", "--split", "stratified"), "--split stratified is by the one code of a stay"),
        (("--text", "discharge"), "--text discharge names the principal diagnosis; it is for --codes all"),
    ],
)
def test_what_does_not_fit_is_refused(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    assert_refused(run_command("data_prep.icd", "--hosp", "h", "--note", "n", "--out", tmp_path, *words), said)
