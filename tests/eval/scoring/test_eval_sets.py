"""Metrics of sets of codes: scikit-learn's numbers, cases by hand, votes, and every command on such a folder."""

import json
import random
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score
from sklearn.preprocessing import MultiLabelBinarizer

from eval.scoring import sets
from eval.scoring.samples import read_samples
from reward_fns.task import TASKS
from tests.conftest import assert_refused
from tests.support.eval_folders import folder, scores_of, settings

CODES = [
    *("I214", "I219", "I2109", "I501", "I509", "E119", "E1165", "E860", "J189", "J449", "A419", "N179", "K3580"),
    *("R509", "R079", "Z870", "S72001A"),
]
BAD = "no format at all"


def say(codes: str) -> str:
    return BAD if codes == BAD else TASKS["icd_set"].completion("Some words.", codes)


def set_folder(out: Path, cases: list[tuple[str, list[str]]]) -> Path:
    made = settings(data={"name": str(out.parent / "test.parquet"), "sha256": "d" * 64, "limit": None})
    made["sampling"] |= {"n": len(cases[0][1])}
    rows = [(i, gold, [say(text) for text in said]) for i, (gold, said) in enumerate(cases)]
    return folder(out, rows, made_with=made, source="codiesp_icd_set", per_part=40)


def drawn(number: int, n: int, seed: int = 0) -> list[tuple[str, list[str]]]:
    """Cases whose samples say some of the gold and some of the rest, at times nothing."""
    rng, cases = random.Random(seed), []
    for _ in range(number):
        gold = rng.sample(CODES[:-2], rng.randint(1, 8))
        said = [
            [code for code in CODES if rng.random() < (0.6 if code in gold else 0.15 if code != "Z870" else 0)]
            for _ in range(n)
        ]
        cases.append((", ".join(gold), [", ".join(each) or BAD for each in said]))
    return cases


def scored(command, out: Path, *words: object) -> dict:
    done = command("eval.score", "--generations", out, "--bootstrap", 50, *words)
    assert done.returncode == 0, done.stderr
    return scores_of(out)


PART = {"code": lambda code: code, "category": lambda code: code[:3], "chapter": lambda code: _CHAPTER[code[0]]}
_CHAPTER = dict(zip("IEJANKRZS", ("9", "4", "10", "1", "14", "11", "18", "21", "19"), strict=True))


@pytest.mark.parametrize("n", [1, 4])
def test_every_average_equals_scikit_learns_to_a_trillionth(tmp_path, command, n):
    cases = drawn(120, n)
    found = scored(command, set_folder(tmp_path / "g", cases))["metrics"]
    for level, part in PART.items():

        def parts(text: str, part=part) -> set[str]:
            return set() if text == BAD else {part(code) for code in text.split(", ")}

        gold = [parts(gold) for gold, _ in cases]
        runs = [[parts(said[j]) for _, said in cases] for j in range(n)]
        every = MultiLabelBinarizer().fit([*gold, *(each for run in runs for each in run)])
        truth, answers = every.transform(gold), [every.transform(run) for run in runs]
        for name, score in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
            expected = {
                f"micro_{name}": score(np.vstack([truth] * n), np.vstack(answers), average="micro"),
                f"case_{name}": np.mean([score(truth, a, average="samples", zero_division=0) for a in answers]),
            }
            macro, golds = [], np.flatnonzero(truth.sum(axis=0))
            for answer in answers:
                union = np.flatnonzero((truth + answer).sum(axis=0))
                macro.append(
                    [score(truth, answer, average="macro", labels=labels, zero_division=0) for labels in (union, golds)]
                )
            expected |= dict(zip((name, f"{name}@gold"), np.mean(macro, axis=0), strict=True))
            for metric, value in expected.items():
                assert found[f"{level}/{metric}"]["value"] == pytest.approx(value, abs=1e-12, rel=0), (level, metric)
        if n > 1:
            votes = sum(answers) / n
            expected = average_precision_score(truth, votes, average="micro")
            assert found[f"{level}/ap"]["value"] == pytest.approx(expected, abs=1e-12, rel=0)
    for row in found.values():
        assert row["interval"][0] <= row["value"] <= row["interval"][1] and row["definition"]


# gold; two samples
BY_HAND = [
    ("I214, E119", ["I214, E119", "I214"]),
    ("I501", ["I509, J189", BAD]),
    ("E119, I214, J189", ["E119, X9999", "E119, X9999"]),
]


def test_every_metric_equals_the_one_counted_by_hand(tmp_path, command):
    out = set_folder(tmp_path / "g", BY_HAND)
    done = command("eval.score", "--generations", out)
    assert done.returncode == 0, done.stderr
    found = {name: row["value"] for name, row in scores_of(out)["metrics"].items()}
    by_hand = {
        # right 2 + 1 + 0 + 0 + 1 + 1 = 5; said 2 + 1 + 2 + 0 + 2 + 2 = 9; gold 2 * (2 + 1 + 3) = 12
        "code/micro_precision": 5 / 9,
        "code/micro_recall": 5 / 12,
        "code/micro_f1": 10 / 21,
        # F1 of the samples: 1, 2/3 | 0, 0 | 2/5, 2/5
        "code/case_f1": (1 + 2 / 3 + 0 + 0 + 2 / 5 + 2 / 5) / 6,
        "code/case_recall": (1 + 1 / 2 + 0 + 0 + 1 / 3 + 1 / 3) / 6,
        # first sample: E119 1, I214 2/3, the rest (I501, I509, J189, X9999) 0; second: E119 2/3, I214 2/3, 0 for I501,
        # J189 and X9999
        "code/f1": ((1 + 2 / 3) / 6 + (2 / 3 + 2 / 3) / 5) / 2,
        "code/f1@gold": ((1 + 2 / 3) / 4 + (2 / 3 + 2 / 3) / 4) / 2,
        # I50 is right in the first sample of the second case; X9999 has no chapter
        "category/micro_recall": 6 / 12,
        "chapter/micro_precision": (2 + 1 + 1 + 0 + 1 + 1) / (2 + 1 + 2 + 0 + 1 + 1),
        "code/pass@1": 1 / 6,
        "code/maj@2": (1 / 2 + 0 + 0) / 3,
        "codes": 9 / 6,
        "unknown": 2 / 6,
        "format": 5 / 6,
        "valid": 5 / 6,
    }
    assert {name: found[name] for name in by_hand} == pytest.approx(by_hand)
    assert "code/micro_f1" in done.stdout and "47.6" in done.stdout
    groups = scores_of(out)["groups"]["size"]
    assert (
        groups["1 to 5"]["cases"] == 3 and groups["1 to 5"]["metrics"]["code/case_f1"]["value"] == found["code/case_f1"]
    )


def test_votes_are_counted_code_by_code_and_the_share_is_chosen_on_dev(tmp_path, command):
    said = ["I214, E119, J189", "I214, E119", "I214, J449", "I214"]  # votes 4, 2, 1, 1
    test = set_folder(tmp_path / "test", [("I214, E119", said)])
    votes = scored(command, test)["votes"]
    assert votes["chosen_on"] is None and votes["code"]["chosen"] == 0.5
    shares = [(row["share"], row["precision"]["value"], row["recall"]["value"]) for row in votes["code"]["curve"]]
    assert shares == [(0.25, 2 / 4, 1), (0.5, 1, 1), (0.75, 1, 1 / 2), (1, 1, 1 / 2)]
    assert votes["code"]["f1"]["value"] == votes["code"]["case_f1"]["value"] == 1
    dev = set_folder(tmp_path / "dev", [("I214", said)])  # where only what all say is right
    chosen = scored(command, test, "--dev", dev)["votes"]
    assert chosen["chosen_on"] == str(dev) and chosen["code"]["chosen"] == 1
    assert chosen["code"]["f1"]["value"] == pytest.approx(2 / 3)


def test_risk_and_coverage_of_sets_and_of_single_answers(tmp_path, command):
    cases = [("I214", ["I214"] * 4), ("E119", ["E119"] * 3 + ["J189"]), ("J189", ["I214", "I214", "E119", BAD])]
    out = set_folder(tmp_path / "g", cases)
    scored(command, out)
    table = json.loads((out / "risk_coverage.json").read_text())["table"]
    assert [(row["share"], row["coverage"], row["accuracy"]) for row in table] == [
        (1.0, pytest.approx(1 / 3), 1.0),
        (0.75, pytest.approx(2 / 3), 1.0),
        (0.5, 1.0, pytest.approx(2 / 3)),
    ]
    drg = folder(tmp_path / "drg")
    before = scored(command, drg)
    assert not (drg / "risk_coverage.json").exists()
    after = scored(command, drg, "--risk")
    assert {**before, "provenance": 0} == {**after, "provenance": 0}
    # votes MCC 2 of 4 | HYPERTENSION first of two | MCC 2 of 4 where CC is right | none at all
    rows = json.loads((drg / "risk_coverage.json").read_text())["table"]
    assert [(row["share"], row["accuracy"], row["n"]) for row in rows] == [
        (0.5, 1 / 2, 2),
        (0.25, 1 / 3, 3),
        (0, 1 / 4, 4),
    ]


def test_every_other_command_takes_a_folder_of_sets(tmp_path, command):
    first, second = (set_folder(tmp_path / name, drawn(60, 4, seed)) for name, seed in (("first", 0), ("second", 1)))
    scored(command, first)
    again = read_samples(first)
    assert pq.read_table(first / "per_sample.parquet")["said_chapter"].null_count == 0
    level = sets.members(again.labelled, 2, ", ")
    assert set(level.names) <= set(CODES) and level.votes.max() == 4
    cases = [(gold, said) for (gold, _), (_, said) in zip(drawn(60, 4, 0), drawn(60, 4, 1), strict=True)]
    second = set_folder(tmp_path / "third", cases)
    paired = scored(command, second, "--against", first)["paired"]["metrics"]
    assert paired["code/micro_f1"]["value"] < 0 and paired["code/case_f1"]["p"] is not None
    done = command("eval.errors", "--runs", first, second, "--out", tmp_path / "errors")
    assert done.returncode == 0, done.stderr
    kinds = json.loads((tmp_path / "errors/errors.json").read_text())["runs"]["first"]["completions"]
    assert sum(kinds.values()) == pytest.approx(1) and kinds["some right"] > 0
    done = command("eval.report", "--runs", first, second, "--out", tmp_path / "report", "--figures")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "report/index.html").read_text()
    for shown in ("ICD-10-CM, sets of codes", "micro F1", "case F1", "codes that do not exist"):
        assert shown in page


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--risk",), "--risk needs several samples a case"),
        (("--dev", "no/folder"), "--dev sets of them, too"),
    ],
)
def test_votes_of_one_sample_are_refused(tmp_path, command, words, said):
    out = set_folder(tmp_path / "g", [("I214", ["I214"])])
    assert_refused(command("eval.score", "--generations", out, *words), said)
