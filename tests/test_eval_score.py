"""eval.score through the command: numbers by hand, the rule of training, and folders that are not whole."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from eval import parts
from reward_fns import icd10, ms_drg
from reward_fns.drg import compute_score
from tests.conftest import ROOT, assert_refused

MCC, CC, WITHOUT = (f"HEART FAILURE AND SHOCK {status}" for status in ("WITH MCC", "WITH CC", "WITHOUT CC/MCC"))
CHEST = "CHEST PAIN"
HYPERTENSION = "HYPERTENSION WITH MCC"
SECRET = "a sentence of the reasoning"
BAD_FORMAT = f"<answer>{MCC}</answer>"


def say(answer: str) -> str:
    return f"<think>\n{SECRET}\n</think>\n<answer>\n{answer}\n</answer>"


# Per case: patient, gold, four completions. Cases 0 and 1 are of one patient.
CASES = [
    (1, MCC, [say(MCC), say(MCC), say(CC), say("NO SUCH TITLE")]),
    (1, CHEST, [say(HYPERTENSION), say(CHEST), BAD_FORMAT, BAD_FORMAT]),
    (2, CC, [say(MCC), say(WITHOUT), say(MCC), say(HYPERTENSION)]),
    (3, CHEST, [BAD_FORMAT, say("?"), "", "no answer at all"]),
]


def settings(**changed) -> dict:
    return {
        "model": {"name": "m", "fingerprint": "f" * 64},
        "data": {"name": "d", "sha256": "d" * 64, "limit": None},
        "sampling": {"n": 4, "temperature": 0.6, "top_p": 0.95, "max_tokens": 100},
        "seed": 0,
        "prefill": "",
        "dtype": "float32",
    } | changed


def folder(
    out: Path, cases=CASES, *, per_part: int = 3, made_with: dict | None = None, source: str = "mimic_drg"
) -> Path:
    """A folder of generations as eval.generate leaves it."""
    made_with = made_with or settings()
    out.mkdir(parents=True)
    for start in range(0, len(cases), per_part):
        add(out, cases[start : start + per_part], start, made_with, source)
    run = {"settings": made_with, "prompts": len(cases), "finished": True, "command": "python -m eval.generate"}
    parts.write_run(out, run)
    return out


def add(out: Path, cases: list, start: int, made_with: dict, source: str = "mimic_drg") -> None:
    index = list(range(start, start + len(cases)))
    columns = {
        "index": index,
        "hadm_id": [100 + i for i in index],
        "subject_id": [patient for patient, _, _ in cases],
        "data_source": [source] * len(cases),
        "ground_truth": [gold for _, gold, _ in cases],
        "completions": [texts for _, _, texts in cases],
        "n_tokens": [[10] * len(texts) for _, _, texts in cases],
        "finish_reason": [["stop"] * (len(texts) - 1) + ["length"] for _, _, texts in cases],
    }
    parts.add(out, pa.table(columns), made_with)


def scores_of(out: Path) -> dict:
    return json.loads((out / "scores.json").read_text())


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
    parts.write_run(out, parts.read_run(out) | {"prompts": 4})
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


def break_no_folder(out: Path) -> str:
    for path in out.iterdir():
        path.unlink()
    return "run.json does not exist"


def break_unfinished(out: Path) -> str:
    parts.write_run(out, parts.read_run(out) | {"finished": False})
    return "is not finished"


def break_missing_part(out: Path) -> str:
    (out / "part-00001.parquet").unlink()
    return "has 3 of 4 cases"


def break_damaged_part(out: Path) -> str:
    path = out / "part-00000.parquet"
    path.write_bytes(path.read_bytes()[:200])
    return "part-00000.parquet is damaged"


def break_other_settings(out: Path) -> str:
    (out / "part-00001.parquet").unlink()
    add(out, CASES[3:], 3, settings(seed=1))
    return "part-00001.parquet was made with other settings"


def break_copy(out: Path) -> str:
    (out / "part-00000 (copy).parquet").write_bytes((out / "part-00000.parquet").read_bytes())
    return "part-00000 (copy).parquet is no part that eval.generate wrote"


def break_null(out: Path) -> str:
    (out / "part-00001.parquet").unlink()
    add(out, [(3, CHEST, [say(CHEST), None, say(CHEST), say(CHEST)])], 3, settings())
    return "part-00001.parquet has empty places in completions"


def break_other_task(out: Path) -> str:
    for start in (0, 3):
        (out / f"part-{start // 3:05d}.parquet").unlink()
        add(out, CASES[start : start + 3], start, settings(), source="mimic_notes")
    return "holds cases of mimic_notes, and eval.score knows mimic_drg, mimic_icd"


def break_twice(out: Path) -> str:
    add(out, CASES[3:], 3, settings())
    return "case 3 stands twice"


def break_samples(out: Path) -> str:
    (out / "part-00001.parquet").unlink()
    add(out, [(3, CHEST, [say(CHEST)] * 3)], 3, settings())
    return "case 3 does not have 4 samples"


def break_task(out: Path) -> str:
    (out / "part-00001.parquet").unlink()
    add(out, CASES[3:], 3, settings(), source="mimic_icd")
    return "part-00001.parquet mixes cases of mimic_drg and mimic_icd"


def break_gold(out: Path) -> str:
    (out / "part-00001.parquet").unlink()
    add(out, [(3, "CHEST PANE", [say(CHEST)] * 4)], 3, settings())
    return "the gold 'CHEST PANE' is no MS-DRG v34 title"


def break_run_json(out: Path) -> str:
    (out / "run.json").write_text("{}")
    return "does not describe generations"


@pytest.mark.parametrize("damage", [value for name, value in list(globals().items()) if name.startswith("break_")])
def test_a_folder_that_is_not_whole_is_refused_and_nothing_is_written(tmp_path, command, damage):
    out = folder(tmp_path / "g")
    said = damage(out)
    assert_refused(command("eval.score", "--generations", out), said)
    assert not list(out.glob("*.json.*")) and not (out / "scores.json").exists()
    assert not (out / "per_sample.parquet").exists()


def test_a_folder_that_is_being_written_is_refused(tmp_path, command):
    out = folder(tmp_path / "g")
    with parts.writing(out):
        assert_refused(command("eval.score", "--generations", out), "g is still being written; wait")


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
    parts.write_run(out, {"settings": made_with, "prompts": cases, "finished": True, "command": ""})
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
