"""A release of MIMIC-IV is recognised by how many rows its files have."""

import pytest

from data_prep.cohort import mimic


@pytest.mark.parametrize(
    ("file", "rows", "release"),
    [
        ("drgcodes", 636_157, "2.0"),
        ("drgcodes", 603_645, "2.1"),
        ("diagnoses_icd", 5_006_884, "2.0"),
        ("diagnoses_icd", 4_756_326, "2.2"),
        ("diagnoses_icd", 6_364_488, "3.1"),
        ("drgcodes", 454, "demo"),
        ("discharge", 331_793, "Note 2.2"),  # as counted
        ("discharge", 331_794, "Note 2.2"),  # as PhysioNet's page says
        ("discharge", 454, mimic.UNKNOWN),
        ("drgcodes", 0, mimic.UNKNOWN),
        ("drgcodes", 45, mimic.UNKNOWN),
    ],
)
def test_a_release_is_known_by_the_rows_of_a_file(file: str, rows: int, release: str) -> None:
    assert mimic.release(file, rows) == release
