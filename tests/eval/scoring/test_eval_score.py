"""eval.score through the command: numbers by hand, and the rule of training."""

import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from common import record
from reward_fns.drg.reward import compute_score
from tests.conftest import ROOT, assert_refused
from tests.support.eval_folders import CASES, CC, CHEST, MCC, SECRET, add, folder, say, scores_of, settings


def test_every_metric_equals_the_one_computed_by_hand(tmp_path, command):
    out = folder(tmp_path / "g")
    done = command("eval.score", "--generations", out)
    assert done.returncode == 0, done.stderr
    found = {name: row["value"] for name, row in scores_of(out)["metrics"].items()}
    by_hand = {
        # right DRGs of each case: 2, 1, 0, 0 of 4
        "drg/pass@1": (2 / 4 + 1 / 4 + 0 + 0) / 4,
        "drg/pass@2": ((1 - 1 / 6) + (1 - 3 / 6) + 0 + 0) / 4,
        "drg/pass@4": (1 + 1 + 0 + 0) / 4,
        # votes: MCC 2 of 3 | HYPERTENSION and CHEST tie | MCC 2 of 4 | none
        "drg/maj@4": (1 + 1 / 2 + 0 + 0) / 4,
        # bases: heart failure 3 of 3 | as above | heart failure 3 of 4 | none
        "base/pass@1": (3 / 4 + 1 / 4 + 3 / 4 + 0) / 4,
        "base/maj@4": (1 + 1 / 2 + 1 + 0) / 4,
        # statuses: MCC MCC CC | MCC none | MCC without MCC MCC (gold CC) | none
        "status/pass@1": (2 / 4 + 1 / 4 + 0 + 0) / 4,
        "status/pass@4": (1 + 1 + 0 + 0) / 4,
        "status/maj@4": (1 + 1 / 2 + 0 + 0) / 4,
        "valid": (3 + 2 + 4 + 0) / 16,
        "format": (4 + 2 + 4 + 1) / 16,
        "truncated": 4 / 16,
        "n_tokens": 10,
        # right 2, valid 0, invalid -1.5, format -2: (2+2+0-1.5) + (0+2-2-2) + 0 + (-2-1.5-2-2) over 16
        "reward": (2.5 - 2 + 0 - 7.5) / 16,
    }
    assert {name: found[name] for name in by_hand} == pytest.approx(by_hand)
    assert {f"{level}/pass@{k}" for level in ("drg", "base", "status") for k in range(1, 5)} <= set(found)
    for row in scores_of(out)["metrics"].values():
        assert row["interval"][0] <= row["value"] <= row["interval"][1] and row["n"] == 4 and row["definition"]
    assert (scores_of(out)["cases"], scores_of(out)["patients"], scores_of(out)["samples"]) == (4, 3, 4)
    assert "18.8" in done.stdout and "drg/maj@4" in done.stdout  # 3 / 16


def test_pass_at_1_is_the_mean_accuracy_that_training_would_log(tmp_path, command):
    out = folder(tmp_path / "g")
    assert command("eval.score", "--generations", out).returncode == 0
    rewards = [compute_score("mimic_drg", text, gold) for _, gold, texts in CASES for text in texts]
    for level, key in (("drg", "acc"), ("base", "base"), ("status", "status")):
        mean = sum(reward[key] for reward in rewards) / len(rewards)
        assert scores_of(out)["metrics"][f"{level}/pass@1"]["value"] == pytest.approx(mean)


def test_ties_can_go_to_what_was_said_first(tmp_path, command):
    out = folder(tmp_path / "g")
    assert command("eval.score", "--generations", out, "--ties", "first").returncode == 0
    assert scores_of(out)["metrics"]["drg/maj@4"]["value"] == 1 / 4  # case 1 said HYPERTENSION before CHEST PAIN


def test_a_prefill_is_put_back_before_scoring(tmp_path, command):
    cut = [(1, CHEST, [say(CHEST).removeprefix("<think>\n")] * 4)]
    plain = folder(tmp_path / "plain", cut)
    prefilled = folder(tmp_path / "prefilled", cut, made_with=settings(prefill="<think>\n"))
    for out, value in ((plain, 0), (prefilled, 1)):
        assert command("eval.score", "--generations", out).returncode == 0
        assert scores_of(out)["metrics"]["drg/pass@1"]["value"] == value


def test_samples_are_written_in_the_order_of_the_cases_and_without_their_text(tmp_path, command):
    out = folder(tmp_path / "g", CASES[2:])
    add(out, CASES[:2], 2, settings())
    record.write(out, prompts=4)
    assert command("eval.score", "--generations", out, "--out", tmp_path / "elsewhere.json").returncode == 0
    rows = pq.read_table(out / "per_sample.parquet").to_pylist()
    assert [row["index"] for row in rows] == [0, 1, 2, 3]
    assert rows[2]["pred"] == [MCC, MCC, CC, "NO SUCH TITLE"]
    assert (rows[2]["acc"], rows[2]["base"], rows[2]["format"]) == ([1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1])
    assert (tmp_path / "elsewhere.json").exists() and not (out / "scores.json").exists()
    assert not any(SECRET in str(row) for row in rows)


def test_two_runs_are_compared_case_by_case(tmp_path, command):
    before = folder(tmp_path / "before")
    after = folder(tmp_path / "after", [(patient, gold, [say(gold)] * 4) for patient, gold, _ in CASES])
    done = command("eval.score", "--generations", after, "--against", before)
    assert done.returncode == 0, done.stderr
    row = scores_of(after)["paired"]["metrics"]["drg/pass@1"]
    assert row["value"] == pytest.approx(1 - 3 / 16)
    # all four cases gained: p = 2 x (1/2)^4
    assert (row["better"], row["worse"], row["p"]) == (4, 0, 0.125)
    assert "+81.2" in done.stdout


def test_runs_on_other_cases_are_not_compared(tmp_path, command):
    these, those = folder(tmp_path / "these"), folder(tmp_path / "those", CASES[:3])
    assert_refused(command("eval.score", "--generations", these, "--against", those), "1 cases only in the first")
    other = folder(tmp_path / "other", [*CASES[:3], (3, MCC, [say(MCC)] * 4)])
    assert_refused(command("eval.score", "--generations", these, "--against", other), "other admissions or golds")


def test_tables_by_mdc_and_family_are_of_the_cases_whose_gold_is_there(tmp_path, command):
    out = folder(tmp_path / "g")
    assert command("eval.score", "--generations", out).returncode == 0
    groups = scores_of(out)["groups"]
    # heart failure: golds MCC (2 of 4 right) and CC (0 of 4); chest pain: 1 and 0 of 4. Both are of MDC 05.
    assert {name: row["cases"] for name, row in groups["family"].items()} == {CHEST: 2, "HEART FAILURE AND SHOCK": 2}
    value = {name: row["metrics"]["drg/pass@1"]["value"] for name, row in groups["family"].items()}
    assert value == {CHEST: 1 / 8, "HEART FAILURE AND SHOCK": 2 / 8}
    assert groups["mdc"]["05"]["cases"] == 4
    for name, row in groups["mdc"]["05"]["metrics"].items():
        whole = scores_of(out)["metrics"][name]
        assert row["value"] == pytest.approx(whole["value"]) and row["interval"] == pytest.approx(whole["interval"])


def test_the_papers_own_definition_reads_the_first_answer_and_lets_invalid_ones_vote(tmp_path, command):
    hidden = f"<think>\nperhaps <answer>{CHEST}</answer>\n</think>\n<answer>\n{MCC}\n</answer>"
    dot = say(f"{CHEST}.")
    out = folder(tmp_path / "g", [(1, CHEST, [hidden, dot, dot, say(CHEST)])])
    assert command("eval.score", "--generations", out).returncode == 0
    found = {name: row["value"] for name, row in scores_of(out)["published"].items()}
    # right: the hidden one and the last; "CHEST PAIN." twice is no title but ties and is second to be said
    assert found == {"drg/pass@1": 2 / 4, "drg/pass@4": 1, "drg/maj@4": 1}
    ours = {name: scores_of(out)["metrics"][name]["value"] for name in found}
    assert ours == {"drg/pass@1": 3 / 4, "drg/pass@4": 1, "drg/maj@4": 1}  # a full stop is no other answer


def test_no_valid_answer_is_a_score_of_zero_with_a_warning(tmp_path, command):
    out = folder(tmp_path / "g", CASES[3:])
    done = command("eval.score", "--generations", out)
    assert done.returncode == 0 and "has a valid answer" in done.stderr
    assert scores_of(out)["metrics"]["drg/maj@4"]["value"] == 0


def test_scoring_needs_neither_torch_nor_vllm_nor_ray():
    code = "import sys, eval.score; print({'torch', 'vllm', 'ray', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
