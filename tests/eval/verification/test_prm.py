"""eval.prm: grades that both engines agree on, the best note found, and a killed run that goes on."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from data_prep import parquet
from data_prep.clinical import graded
from eval.scoring.intervals import Bootstrap
from eval.verification import measure, store
from reward_fns.clinical_note import tokens
from tests.conftest import ROOT, assert_refused, run_command, run_process
from tests.support.clinical.clinic import Clinic


@pytest.fixture(scope="module")
def verified(clinic: Clinic, prm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("verified") / "out"
    done = run_command("eval.prm", "--data", clinic.test, "--model", prm, "--out", out)
    assert done.returncode == 0, done.stderr
    (out / "stdout.txt").write_text(done.stdout)
    return out


def shares(out: Path) -> list[list[float]]:
    return [row for part in sorted(out.glob("part-*.parquet")) for row in pq.read_table(part)["right"].to_pylist()]


def test_grades_are_the_softmax_over_the_whole_vocabulary(clinic: Clinic, prm: Path, verified: Path) -> None:
    """One note at a time, without padding, every logit: what the batched grades must be."""
    tokenizer, model = AutoTokenizer.from_pretrained(prm), AutoModelForCausalLM.from_pretrained(prm).float()
    right = tokenizer.convert_tokens_to_ids(tokens.ADDED.label("+"))
    for row, found in zip(graded.read(clinic.test), shares(verified), strict=True):
        encoded = tokens.encode(tokenizer, tokens.ADDED, row["dialogue"], row["positions"])
        with torch.no_grad():
            every = model(torch.tensor([encoded.ids])).logits[0].softmax(-1)
        assert found == pytest.approx([float(every[slot - 1, right]) for slot in encoded.slots], abs=1e-5)


def test_scores_have_values_intervals_and_baselines(verified: Path) -> None:
    scores = json.loads((verified / "scores.json").read_text())
    assert set(scores["accuracy"]) == {"sum", "mean", "min", "end", *measure.BASELINES, measure.CHANCE}
    for row in scores["accuracy"].values():
        assert 0 <= row["interval"][0] <= row["value"] <= row["interval"][1] <= 1 and row["n"] == scores["cases"] == 9
    assert [scores["accuracy"]["chance"]["value"], *scores["accuracy"]["chance"]["interval"]] == pytest.approx(
        [0.25] * 3
    )
    assert {"mean - sum", "mean - most labels"} <= set(scores["paired"]) and scores["paper"] == {}
    recall = scores["positions"]["recall"]
    assert recall["note_complete +"]["n"] + recall.get("note_complete -", {"n": 0})["n"] <= 36
    cases = pq.read_table(verified / "per_case.parquet").to_pylist()
    assert len(cases) == 36 and sum(row["best"] for row in cases) == 9
    assert "best note found" in (verified / "stdout.txt").read_text()


def test_started_again_it_grades_nothing_and_says_the_same(clinic: Clinic, prm: Path, verified: Path) -> None:
    before = {part: part.stat().st_mtime_ns for part in verified.glob("part-*")}
    done = run_command("eval.prm", "--data", clinic.test, "--model", prm, "--out", verified)
    assert done.returncode == 0 and done.stdout == (verified / "stdout.txt").read_text()
    assert (
        before == {part: part.stat().st_mtime_ns for part in verified.glob("part-*")} and "grading" not in done.stderr
    )


def test_two_models_are_compared_over_the_same_cases(clinic: Clinic, prm: Path, verified: Path, tmp_path: Path) -> None:
    other = tmp_path / "orm"
    shutil.copytree(prm, other)
    said = json.loads((other / tokens.FILE).read_text()) | {"graded": "end"}
    (other / tokens.FILE).write_text(json.dumps(said))
    words = ("eval.prm", "--data", clinic.test, "--model", other, "--out", tmp_path / "out", "--against", verified)
    done = run_command(*words)
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "out/scores.json").read_text())
    assert {name for name in scores["accuracy"] if name in ("sum", "mean", "min", "end")} == {"end"}
    row = scores["paired"][f"end - end of {verified}"]
    assert row["value"] == 0 and row["interval"] == [0, 0] and row["p"] == 1  # the same weights


def test_a_killed_verification_goes_on_without_a_doubled_or_lost_note(
    clinic: Clinic, prm: Path, verified: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With parts of one note, the command is killed when a few are there; what follows is as if it never was."""
    out = tmp_path / "out"
    code = "import eval.verification.store as s, eval.prm, sys; s.PART = 1; eval.prm.main(sys.argv[1:])"
    words = ["--data", str(clinic.test), "--model", str(prm), "--out", str(out)]
    running = subprocess.Popen([sys.executable, "-c", code, *words], cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while len(list(out.glob("part-*.parquet"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.002)
    running.send_signal(signal.SIGKILL)
    running.wait()
    there = {part.name: part.stat().st_mtime_ns for part in out.glob("part-*.parquet")}
    assert len(there) >= 3 and not json.loads((out / "run.json").read_text())["finished"]
    monkeypatch.setattr(store, "PART", 1)
    done = run_command("eval.prm", *words)
    assert done.returncode == 0, done.stderr
    assert len(list(out.glob("part-*.parquet"))) == 36
    assert all((out / name).stat().st_mtime_ns == when for name, when in there.items())
    assert np.allclose(np.concatenate(shares(out)), np.concatenate(shares(verified)), atol=1e-6)
    assert json.loads((out / "run.json").read_text())["finished"]


@pytest.mark.slow
def test_vllm_agrees_to_a_ten_thousandth(clinic: Clinic, prm: Path, verified: Path, tmp_path: Path) -> None:
    words = ("eval.prm", "--data", clinic.test, "--model", prm, "--out", tmp_path / "out", "--engine", "vllm")
    done = run_process(*words)
    assert done.returncode == 0, done.stderr
    ours, exact = (np.concatenate(shares(out)) for out in (tmp_path / "out", verified))
    print(f"{len(ours)} positions, at most {abs(ours - exact).max():.1e} apart")
    assert len(ours) == len(exact) and abs(ours - exact).max() < 1e-4
    assert_refused(run_command(*words[:-1], "transformers"), "other engine")


def test_wilson_intervals_are_the_ones_of_the_papers_figures() -> None:
    for right, low, high in ((79, 93.3, 99.8), (45, 45.3, 66.6), (75, 86.2, 97.3), (49, 50.3, 71.2)):
        assert [round(100 * bound, 1) for bound in measure.wilson(right, 80)] == [low, high]


def test_candidates_that_share_the_highest_score_share_the_case() -> None:
    rows = [{"case": "a", "candidate": at, "best": at == 0, "positions": []} for at in range(3)]
    assert measure._hit([0, 1, 2], rows, [1.0, 1.0, 0.0]) == 0.5
    assert measure._hit([0, 1, 2], rows, [0.0, 1.0, 0.0]) == 0.0


def test_a_coin_is_not_calibrated_and_a_sure_right_grade_is() -> None:
    right = np.array([True, False] * 50)
    assert measure.calibration(right, np.where(right, 1.0, 0.0))["error"] == 0
    assert measure.calibration(right, np.full(100, 0.9))["error"] == pytest.approx(0.4)


def test_labels_told_apart_are_counted_by_kind_and_error(clinic: Clinic) -> None:
    rows = graded.read(clinic.test)
    perfect = [[1.0 if position.label == "+" else 0.0 for position in row["positions"]] for row in rows]
    found = measure.positions(rows, perfect, Bootstrap(50))
    assert all(row["value"] == 1 for row in found["recall"].values()) and found["calibration"]["error"] == 0
    hits = measure.choices(measure.grouped(rows, "x"), rows, perfect)
    assert all(hits[name].mean() == 1 for name in ("sum", "mean", "min", "end"))
    wrong = [[1 - share for share in of] for of in perfect]
    assert all(row["value"] == 0 for row in measure.positions(rows, wrong, Bootstrap(50))["recall"].values())


def altered(rows: list[dict], case: str) -> list[dict]:
    for row in rows[:4]:
        row["case"] = case
    return rows


# what is done to the rows, what the sentence says
FAULTS = {
    "two cases in one group": (lambda rows: altered(rows, rows[4]["case"]), "another dialogue"),
    "no best note": (lambda rows: [row | {"best": False} for row in rows], "0 of them the best"),
    "one candidate": (lambda rows: [row for row in rows if row["best"]], "has 1 candidates"),
    "a number twice": (lambda rows: [row | {"candidate": 0} for row in rows], "two candidates of one number"),
    "no end": (
        lambda rows: [row | {"positions": row["positions"][:-1]} for row in rows],
        "ends with the position 'end'",
    ),
    "too long": (lambda rows: [row | {"dialogue": "word " * 5000} for row in rows], "takes 4096"),
    "none": (lambda rows: [], "holds no note"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_candidates_are_a_sentence(fault: str, clinic: Clinic, prm: Path, tmp_path: Path) -> None:
    change, said = FAULTS[fault]
    parquet.write(change(pq.read_table(clinic.test).to_pylist()), tmp_path / "bad.parquet", graded.NOTES)
    words = ("--data", tmp_path / "bad.parquet", "--model", prm, "--out", tmp_path / "out")
    assert_refused(run_command("eval.prm", *words), said)


def test_other_bad_input_is_a_sentence(clinic: Clinic, prm: Path, verified: Path, tmp_path: Path) -> None:
    def said(*words: object) -> subprocess.CompletedProcess[str]:
        return run_command("eval.prm", *words)

    pq.write_table(pa.table({"case": ["a"]}), tmp_path / "other.parquet")
    out = ("--out", tmp_path / "out")
    assert_refused(said("--data", tmp_path / "other.parquet", "--model", prm, *out), "lacks the column set")
    assert_refused(said("--data", clinic.test, "--model", clinic.model, *out), "no process reward model", "sft.prm")
    assert_refused(said("--data", clinic.train, "--model", prm, "--out", verified), "other notes")
    assert_refused(said("--data", clinic.test, "--model", prm, *out, "--against", tmp_path), "no finished verification")
    assert_refused(said("--data", clinic.test, "--model", prm, *out, "--bootstrap", 0), "at least 1")
    broken = AutoModelForCausalLM.from_pretrained(prm)
    broken.get_output_embeddings().weight.data.fill_(float("nan"))
    shutil.copytree(prm, tmp_path / "broken")
    broken.save_pretrained(tmp_path / "broken")
    refused = said("--data", clinic.test, "--model", tmp_path / "broken", "--out", tmp_path / "nan")
    assert_refused(refused, "probabilities that are no numbers")
    assert not [*(tmp_path / "nan").glob("part-*")]
    few = (*("--data", clinic.test, "--model", prm), "--limit", 3)
    assert_refused(said(*few, "--out", verified), "other notes (36)")
    assert_refused(said(*few, "--out", tmp_path / "few", "--against", verified), "grades of 36 notes", "these are 12")
