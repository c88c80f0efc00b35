"""Readers of MIMIC-IV's gzip CSV files: columns checked, codes as strings, the release recognised by its row counts.

rows = mimic.table(hosp, "drgcodes", ("hadm_id", "drg_type", "description"))
for batch in mimic.notes(note, ("hadm_id", "text")): ...
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import csv
from tqdm import tqdm

from commands import UserError, existing

HOSP = {
    "drgcodes": ("subject_id", "hadm_id", "drg_type", "drg_code", "description", "drg_severity", "drg_mortality"),
    "diagnoses_icd": ("subject_id", "hadm_id", "seq_num", "icd_code", "icd_version"),
    "d_icd_diagnoses": ("icd_code", "icd_version", "long_title"),
    "admissions": (
        "subject_id", "hadm_id", "admittime", "dischtime", "deathtime", "admission_type", "admit_provider_id",
        "admission_location", "discharge_location", "insurance", "language", "marital_status", "race", "edregtime",
        "edouttime", "hospital_expire_flag",
    ),
    "patients": ("subject_id", "gender", "anchor_age", "anchor_year", "anchor_year_group", "dod"),
}  # fmt: skip
NOTE = {"discharge": ("note_id", "subject_id", "hadm_id", "note_type", "note_seq", "charttime", "storetime", "text")}

# Rows of each file in each release.
RELEASES = {
    "2.0": {
        "admissions": 454_324, "patients": 315_460, "diagnoses_icd": 5_006_884, "d_icd_diagnoses": 109_775,
        "drgcodes": 636_157,
    },
    "2.1": {
        "admissions": 431_088, "patients": 299_777, "diagnoses_icd": 4_752_265, "d_icd_diagnoses": 109_775,
        "drgcodes": 603_645,
    },
    "2.2": {
        "admissions": 431_231, "patients": 299_712, "diagnoses_icd": 4_756_326, "d_icd_diagnoses": 109_775,
        "drgcodes": 604_377,
    },
    "3.1": {
        "admissions": 546_028, "patients": 364_627, "diagnoses_icd": 6_364_488, "d_icd_diagnoses": 112_107,
        "drgcodes": 761_856,
    },
    "demo": {"admissions": 275, "patients": 100, "diagnoses_icd": 4_506, "drgcodes": 454},
}  # fmt: skip
NOTE_RELEASES = {"Note 2.2": (331_793, 331_794)}  # counted, and as PhysioNet's page says
UNKNOWN = "unknown or synthetic"

INTEGERS = {"subject_id", "hadm_id", "seq_num", "icd_version"}


def release(rows: dict[str, int]) -> str:
    """The release whose row counts these are; every file given must agree."""
    for name, counts in RELEASES.items():
        if rows and all(counts.get(file) == count for file, count in rows.items()):
            return name
    return UNKNOWN


def note_release(rows: int) -> str:
    """The same for the discharge summaries."""
    return next((name for name, counts in NOTE_RELEASES.items() if rows in counts), UNKNOWN)


def table(hosp: Path, name: str, columns: Sequence[str]) -> pa.Table:
    """Some columns of a hosp file as one table."""
    return pa.Table.from_batches(batches(hosp / f"{name}.csv.gz", columns), schema=types(columns))


def notes(note: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Some columns of the discharge summaries, a batch at a time, so that memory does not grow with the file."""
    yield from batches(note / "discharge.csv.gz", columns)


def types(columns: Sequence[str]) -> pa.Schema:
    """Whole numbers for ids and positions, strings for everything else (codes keep their leading zeros)."""
    return pa.schema([(column, pa.int64() if column in INTEGERS else pa.string()) for column in columns])


def batches(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Read a gzip CSV in blocks, with a progress bar over its compressed bytes."""
    existing(path, "the MIMIC-IV file", "give the folder that holds the release's .csv.gz files")
    want = types(columns)
    convert = csv.ConvertOptions(
        include_columns=list(columns), column_types=want, strings_can_be_null=False, null_values=[""]
    )
    parse = csv.ParseOptions(newlines_in_values=True)
    raw = pa.OSFile(str(path))
    try:
        with (
            tqdm(total=path.stat().st_size, unit="B", unit_scale=True, desc=path.name) as bar,
            pa.CompressedInputStream(raw, "gzip") as stream,
            csv.open_csv(stream, csv.ReadOptions(block_size=8 << 20), parse, convert) as reader,
        ):
            for batch in reader:
                yield batch
                bar.update(min(raw.tell(), bar.total) - bar.n)
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError, EOFError) as error:
        raise UserError(explain(path, columns, str(error).splitlines()[0])) from error


def explain(path: Path, columns: Sequence[str], error: str) -> str:
    """What is wrong with a file that cannot be read, and what to do."""
    low = error.lower()
    if "column" in low and ("not found" in low or "does not exist" in low or "missing" in low or "no match" in low):
        return f"{path} lacks a column among {', '.join(columns)} ({error}); it is no MIMIC-IV file of a known release"
    if "truncated" in low or "zlib" in low or "gzip" in low or "decompress" in low:
        return f"{path} is damaged or cut short ({error}); download it again and compare its SHA-256"
    return f"{path} cannot be read ({error}); download it again and compare its SHA-256"
