"""Time and memory of scoring the papers' test set."""

import json
import os
import subprocess
import sys
import time
from random import Random

import pytest

from common import record
from reward_fns.drg import ms_drg
from reward_fns.icd import icd10
from tests.conftest import ROOT
from tests.support.eval_folders import add, scores_of, settings


@pytest.mark.slow
@pytest.mark.parametrize("tag", ["answer", "diagnosis"])
def test_the_papers_test_set_is_scored_in_20_seconds_and_1500_megabytes(tmp_path, tag):
    """26,244 cases x 8 completions of 2,000 characters, every metric, 1,000 draws: also `make bench-score`."""
    random = Random(0)
    known = [entry.title for entry in ms_drg.DRGS] if tag == "answer" else list(icd10.table().ordered)[::12]
    weights = [1 / (i + 1) for i in range(len(known))]
    texts = [words_of(random, 2000) for _ in range(512)]
    source = "mimic_drg" if tag == "answer" else "mimic_icd"
    (tmp_path / "labels.json").write_text(json.dumps({"code": known}))
    made_with = settings(data={"name": str(tmp_path / "test.parquet"), "sha256": "d" * 64, "limit": None})
    made_with["sampling"]["n"] = 8
    out, cases = tmp_path / "g", 26_244
    out.mkdir()
    for start in range(0, cases, 128):
        rows = []
        for gold in random.choices(known, weights, k=min(128, cases - start)):
            said = [gold if random.random() < 0.5 else random.choices(known, weights)[0] for _ in range(8)]
            completions = [random.choice(texts) + f"<{tag}>{answer}</{tag}>" for answer in said]
            rows.append((random.randrange(20_000), gold, completions))
        add(out, rows, start, made_with, source)
    record.write(out, settings=made_with, prompts=cases, finished=True, command="")
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "eval.score", "--generations", str(out)], cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    seconds, megabytes = time.monotonic() - started, usage.ru_maxrss / 1024
    print(f"{source}: {seconds:.1f} s, {megabytes:,.0f} MB")
    assert status == 0 and scores_of(out)["metrics"]["valid"]["value"] == 1
    assert seconds <= 20 and megabytes <= 1500


def words_of(random: Random, length: int) -> str:
    words = ["the", "patient", "was", "treated", "for", "an", "infection", "with", "fluids,", "and", "improved."]
    return f"<think>\n{' '.join(random.choices(words, k=length // 7))}\n</think>\n"
