"""What is checked before a run: the judge's options, its rows, and that its server grades."""

import subprocess
import sys

import pytest

from reward_fns.judge import reward as judge
from reward_fns.judge.reward import check_options
from tests.conftest import ROOT, assert_refused, run_command
from tests.support.judge_scenarios import INFO, other_process


def test_good_options_pass():
    check_options(base_url="http://localhost:8001/v1", model="judge")
    check_options(
        base_url="https://judge.example/v1",
        model="a/b",
        **{name: default for name, (default, _) in judge.NUMBERS.items()},
        structured_output="json_schema",
        extra_body={"chat_template_kwargs": {"enable_thinking": False}},
        prompt=None,
        prefill="<think>",
        matching="published",
        outcome_scale=1.0,
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"base_url": ""}, "JUDGE_URL"),
        ({"base_url": "localhost:8001"}, "http://"),
        ({"model": None}, "JUDGE_MODEL"),
        ({"judge_wieght": 0.8}, "did you mean 'judge_weight'"),
        ({"judge_weight": -1}, "at least 0"),
        ({"concurrency": 0}, "concurrency=0"),
        ({"concurrency": 1.5}, "concurrency=1.5"),
        ({"timeout": 0}, "timeout=0"),
        ({"max_wait": float("inf")}, "max_wait=inf"),
        ({"retries": True}, "retries=True"),
        ({"structured_output": "choise"}, "did you mean 'choice'"),
        ({"extra_body": "text"}, "extra_body='text'"),
        ({"guidelines": "no/such/file"}, "no/such/file.*No such file"),
        ({"guidelines": "README.md"}, "data_prep.guidelines"),
        ({"symptoms": "README.md"}, "columns code and description"),
        ({"prompt": "README.md"}, "====="),
        ({"prompt": 5}, "path of a file"),
        ({"outcome_weight": -1}, "outcome_weight"),
    ],
)
def test_a_bad_option_is_named_before_the_run(options, said):
    with pytest.raises(ValueError, match=said):
        check_options(**{"base_url": "http://localhost:8001/v1", "model": "judge", **options})


def test_a_row_without_a_note_is_named_before_the_run():
    judge.check_extra_info(INFO)
    judge.check_extra_info({}, judge_weight=0)
    with pytest.raises(ValueError, match=r"extra_info\.note"):
        judge.check_extra_info({"index": 1})


def asked(url: str, *words: str):
    words = words or ("--model", "judge")
    return run_command("reward_fns.judge.server", "--base-url", url, "--timeout", 5, *words)


def test_a_judge_that_grades_passes_the_check():
    with other_process() as url:
        done = asked(url)
        assert done.returncode == 0 and "grades" in done.stdout, done.stderr
        judge.check_server(base_url=url, model="judge")
        judge.check_server(base_url=url, model="judge", structured_output="json_schema")


def test_a_model_that_the_server_does_not_have_is_refused_by_name():
    with other_process() as url:
        assert_refused(asked(url, "--model", "jugde"), "'jugde'", "it has judge", "JUDGE_MODEL")


def test_no_server_is_one_sentence_that_says_how_to_start_one():
    assert_refused(asked("http://127.0.0.1:9/v1"), "no judge server answers at http://127.0.0.1:9", "recipes/judge.sh")
    assert_refused(asked("http://no.such.host.invalid/v1"), "no judge server answers", "recipes/judge.sh")
    assert_refused(asked("http://127.0.0.1:9 9/v1"), "judge server")


@pytest.mark.parametrize(
    ("fault", "said"),
    [("text", "does not keep to"), ("401", "JUDGE_API_KEY"), ("500", "HTTP 500"), ("404", "404")],
)
def test_a_server_that_cannot_grade_is_one_sentence(fault, said):
    with other_process("--always", fault) as url, pytest.raises(ValueError, match=said):
        judge.check_server(base_url=url, model="judge", timeout=5)
    judge.check_server(base_url=url, model="judge", judge_weight=0)  # nobody is asked, so nobody need be there


def test_nothing_of_the_network_is_imported_before_a_grade_is_wanted():
    program = (
        "import sys, reward_fns.judge; "
        "print(*{'aiohttp', 'httpx', 'httpx2', 'openai', 'simple_icd_10_cm', 'torch', 'vllm'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() == "", done.stderr
