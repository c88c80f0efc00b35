"""One synthetic MIMIC-IV for all tests of this folder."""

from pathlib import Path

import pytest

from tests.data_prep.synthetic.clinic import NOTES, synthesize


@pytest.fixture(scope="package")
def mimic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesize(tmp_path_factory.mktemp("synthetic") / "mimic", "--notes", NOTES)
