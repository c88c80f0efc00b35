"""A synthetic MIMIC-IV as the command makes it, and how its tables and traces are read."""

import csv
import gzip
from pathlib import Path

from data_prep import parquet
from data_prep.cohort.mimic import COLUMNS
from data_prep.synthetic.vocabulary import FAMILIES
from tests.conftest import run_command

NOTES = 1000
FILES = {f"{'note' if name == 'discharge' else 'hosp'}/{name}.csv.gz": COLUMNS[name] for name in COLUMNS}
CONDITIONS = {phrase: family.code(phrase) for family in FAMILIES for phrase in (*family.conditions, *family.rare)}


def synthesize(out: Path, *options: object) -> Path:
    done = run_command("data_prep.synthesize", "--out", out, *options)
    assert done.returncode == 0, done.stderr
    return out


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with gzip.open(folder / name, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def traces(folder: Path, style: str = "cot_first") -> list[dict]:
    return [row for row in parquet.read_traces(folder / "traces.parquet").to_pylist() if row["style"] == style]


def first_codes(folder: Path) -> dict[str, str]:
    """The principal ICD-10 code of every admission that has one."""
    return {
        row["hadm_id"]: row["icd_code"]
        for row in rows(folder, "hosp/diagnoses_icd.csv.gz")
        if row["seq_num"] == "1" and row["icd_version"] == "10"
    }
