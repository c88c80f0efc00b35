"""run.json: one writer, one reader."""

import json
from pathlib import Path

import pytest

from common import record
from common.commands import UserError


def test_what_is_written_is_read_and_the_rest_is_kept(tmp_path: Path) -> None:
    assert record.read(tmp_path) == {}
    record.write(tmp_path, **record.made("python -m x"), status="running")
    record.write(tmp_path, status="finished", place=tmp_path)
    found = record.read(tmp_path)
    assert list(found) == ["command", "commit", "versions", "started", "status", "place"]
    assert (found["status"], found["command"], found["place"]) == ("finished", "python -m x", str(tmp_path))
    assert json.loads((tmp_path / "run.json").read_text()) == found and "python" in found["versions"]


def test_a_damaged_one_is_a_sentence_and_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"status": ')
    for use in (record.read, record.write):
        with pytest.raises(UserError, match=r"run.json is damaged"):
            use(tmp_path)
    assert (tmp_path / "run.json").read_text() == '{"status": '
