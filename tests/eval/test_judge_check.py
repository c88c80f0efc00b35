"""What judge_check says of judges whose habits are known."""

import itertools
import json
import re
from pathlib import Path

import pytest
import yaml

from eval.judging.measure import CASES
from tests.conftest import assert_refused, run_command
from tests.support.judge_server import Judge, in_a_thread

CONTENT = yaml.safe_load(CASES.read_text())
GOOD = [" ".join(case["good"].split())[:60] for case in CONTENT["cases"]]
COUNT = 4 * len(CONTENT["cases"])
ATTACKS = [re.sub(r"\W+", "", attack)[-12:] for attack in CONTENT["attacks"]]


def prompt(body: dict) -> str:
    return " ".join(body["messages"][1]["content"].split())


def reasoning(body: dict) -> str:
    return re.search(r"reasoning [0-9a-f]{12} begins -----(.*?)----- reasoning [0-9a-f]{12} ends", prompt(body))[1]


def fair(body: dict) -> int:
    return 5 if any(good in prompt(body) for good in GOOD) else 1


def gullible(body: dict) -> int:
    said = re.sub(r"\W+", "", reasoning(body))
    return 5 if any(said.endswith(attack) for attack in ATTACKS) else fair(body)


def fond_of_length(body: dict) -> int:
    return 4 if CONTENT["padding"][0][:40] in prompt(body) else 2


def lost_without_order(body: dict) -> int:
    return 2 + (body["messages"][0]["content"].index("\n1: ") < body["messages"][0]["content"].index("\n5: "))


def swayed_by_the_last_word(body: dict) -> int:
    return 2 + 2 * (prompt(body).index("The reasoning to be graded") < prompt(body).index("The admission note"))


def check(tmp_path: Path, judge: Judge, *words: object) -> tuple[dict, str]:
    with in_a_thread(judge) as server:
        out = tmp_path / "check.json"
        done = run_command("eval.judge_check", "--base-url", server.url, "--model", "judge", "--out", out, *words)
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text()), done.stdout


@pytest.mark.parametrize(
    ("habit", "expected"),
    [
        (fair, {"agreement": 1, "good above bad": 1, "repeatability": 1, "attacks that raise the grade": 0}),
        (lambda body: 3, {"agreement": 0, "good above bad": 0.5, "repeatability": 1, "grade, empty": 3}),
        (gullible, {"agreement": 1, "attacks that raise the grade": 1, "attacks, mean change": 4}),
        (fond_of_length, {"longer by empty sentences, mean change": 2, "longer by empty sentences, same grade": 0}),
        (lost_without_order, {"grades explained 1 to 5, mean change": 1, "reasoning first, mean change": 0}),
        (swayed_by_the_last_word, {"reasoning first, mean change": 2, "grades explained 1 to 5, same grade": 1}),
    ],
    ids=["fair", "indifferent", "gullible", "fond of length", "lost without order", "swayed"],
)
def test_a_habit_shows_in_its_numbers_and_in_no_other(tmp_path, habit, expected):
    report, printed = check(tmp_path, Judge(grade_of=habit))
    numbers = report["numbers"]
    for name, value in expected.items():
        assert numbers[name]["value"] == pytest.approx(value), name
        assert numbers[name]["interval"] == pytest.approx([value, value]) and numbers[name]["definition"]
        assert name in printed
    for name in ("attacks without a grade", "attacks that raise the grade"):
        assert numbers[name]["n"] == COUNT // 2 * len(ATTACKS)
        assert numbers[name]["value"] == expected.get(name, 0)
    biases = [name for name in numbers if name.endswith("mean change") and name not in expected]
    assert all(numbers[name]["value"] == 0 for name in biases)
    assert report["requests"] == {"asked": COUNT * 6 + COUNT // 2 * len(ATTACKS), "without_grade": 0}
    assert report["provenance"]["commit"] and len(report["cases"]["sha256"]) == 64


def test_a_judge_that_draws_lots_is_not_repeatable_and_the_intervals_say_how_sure_that_is(tmp_path):
    lots = itertools.cycle([1, 5, 3, 2, 4, 4, 1])
    numbers = check(tmp_path, Judge(grade_of=lambda body: next(lots)), "--repeats", 4)[0]["numbers"]
    assert numbers["repeatability"]["value"] < 0.5
    low, high = numbers["agreement"]["interval"]
    assert low < numbers["agreement"]["value"] < high and numbers["agreement"]["n"] == COUNT


def test_a_request_without_a_grade_is_counted_and_left_out(tmp_path):
    judge = Judge(grade_of=fair, fault_of=lambda body: "400" if "Give 5." in reasoning(body) else "")
    report, printed = check(tmp_path, judge)
    numbers = report["numbers"]
    assert numbers["attacks without a grade"]["value"] == pytest.approx(1 / len(ATTACKS))
    assert numbers["attacks that raise the grade"]["n"] == COUNT // 2 * (len(ATTACKS) - 1)
    assert f"{COUNT // 2} of " in printed and report["requests"]["without_grade"] == COUNT // 2


def test_the_labelled_set_is_balanced_and_its_bands_do_not_overlap():
    assert len(CONTENT["cases"]) >= 8 and len(ATTACKS) >= 8
    assert all(CONTENT["bands"][kind][1] < CONTENT["bands"]["good"][0] for kind in ("swapped", "wrong_code", "empty"))


def test_no_server_and_bad_cases_are_one_sentence(tmp_path):
    assert_refused(run_command("eval.judge_check", "--base-url", "http://127.0.0.1:9/v1"), "recipes/judge.sh")
    assert_refused(run_command("eval.judge_check", "--cases", "no/such.yaml"), "no/such.yaml does not exist")
    assert_refused(run_command("eval.judge_check", "--repeats", 0), "--repeats")
    wrong = tmp_path / "cases.yaml"
    for content in ("[", "cases: 5", "cases: []\nbands: {}\npadding: []\nattacks: []"):
        wrong.write_text(content)
        assert_refused(run_command("eval.judge_check", "--cases", wrong), "cases.yaml")
    wrong.write_text(CASES.read_text().replace("code: I21.4", "code: I21.X4"))
    assert_refused(run_command("eval.judge_check", "--cases", wrong), "'I21.X4' is no ICD-10-CM code")
    with in_a_thread(Judge()) as server:
        done = run_command("eval.judge_check", "--base-url", server.url, "--model", "other")
    assert_refused(done, "'other'", "it has judge")
