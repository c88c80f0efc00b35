"""Notes and completions in the report: on request alone, from the file that the run read."""

import base64
import json
import re
import zlib

from common.files import sha256
from tests.conftest import assert_refused
from tests.support.eval_folders import CASES, folder, scored, settings
from tests.support.report_pages import NOTE, notes


def test_notes_and_completions_are_embedded_on_request_alone_and_with_a_warning(tmp_path, command):
    data = notes(tmp_path / "test.parquet")
    made_with = settings(data={"name": str(data), "sha256": sha256(data), "limit": None})
    out = scored(command, folder(tmp_path / "run", made_with=made_with))
    done = command("eval.report", "--runs", out, "--out", tmp_path / "report", "--embed-notes")
    assert done.returncode == 0, done.stderr
    assert "warning:" in done.stderr and "data use agreement" in done.stderr
    text = (tmp_path / "report" / "index.html").read_text()
    assert "This file holds clinical notes" in text
    (chunk,) = re.findall(r'id="case-text-0-0">([^<]*)<', text)
    cases = json.loads(zlib.decompress(base64.b64decode(chunk)))
    assert [case["note"] for case in cases] == [f"{NOTE} {i}" for i in range(4)]
    assert cases[0]["runs"][0]["completions"] == CASES[0][2]
    first = cases[0]["runs"][0]
    assert [first["explained"][i].splitlines()[-1].split() for i in first["of"]] == [
        ["score", "2"], ["score", "2"], ["score", "0"], ["score", "-1.5"]
    ]  # fmt: skip


def test_notes_that_are_not_where_the_run_found_them_are_asked_for(tmp_path, command):
    run = scored(command, folder(tmp_path / "run"))
    done = command("eval.report", "--runs", run, "--out", tmp_path / "report", "--embed-notes")
    assert_refused(done, "the notes of", "give that file or its folder as --data")
    assert not (tmp_path / "report").exists()
