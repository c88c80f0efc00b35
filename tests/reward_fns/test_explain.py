"""The command that explains a score to people."""

import subprocess

import pytest

from tests.conftest import run_command

MCC = "HEART FAILURE AND SHOCK WITH MCC"


def explain(*arguments: str, completion: str = "") -> subprocess.CompletedProcess[str]:
    return run_command("reward_fns.explain", *arguments, stdin=completion)


def lines(run: subprocess.CompletedProcess[str]) -> dict[str, str]:
    assert run.returncode == 0, run.stderr
    return {line[:11].strip(): line[11:] for line in run.stdout.splitlines()}


def test_a_drg_score_is_explained(tmp_path):
    file = tmp_path / "completion.txt"
    file.write_text(f"<think>{MCC} it is.</think><answer>292 heart failure & shock w cc</answer>")
    said = lines(
        explain("--task", "drg", "--gold", MCC, "--completion", str(file), "--option", "cot_first_penalty=0.5")
    )
    assert said["gold"].startswith("DRG 291") and said["answer"].startswith("DRG 292")
    assert said["right"] == "the base"
    assert said["accuracy"].startswith("+1.5") and said["cot first"].startswith("-0.5") and said["score"] == "1"


def test_an_icd_score_is_explained_from_standard_input():
    options = ("--option", "prefill=<think>", "--option", "outcome_weight=2")
    said = lines(
        explain(
            *("--task", "icd", "--gold", "I21.4", "--completion", "-", *options),
            completion="a</think><diagnosis>I21</diagnosis>",
        )
    )
    assert said["answer"] == "I21: category I21, chapter 9"
    assert said["outcome"] == "+26.25  (weight 2)" and said["score"] == "53.5"


@pytest.mark.parametrize(
    ("completion", "fault"),
    [
        ("", "<think> occurs 0 times instead of once"),
        ("<think>a</think><answer>b</answer><answer>c</answer>", "<answer> occurs 2 times instead of once"),
        ("<think>a</think><Answer>b</answer>", "<answer> is not in lower case"),
        ("<answer>b</answer><think>a</think>", "the blocks <think> and <answer> are not in order"),
        ("<think> </think><answer>b</answer>", "the reasoning is empty"),
        ("<think>a</think>so<answer>b</answer>", "there is text outside the two blocks"),
    ],
)
def test_what_is_wrong_with_a_format_is_named(completion, fault):
    said = lines(explain("--task", "drg", "--gold", MCC, "--completion", "-", completion=completion))
    assert said["format"].startswith("-2") and f"{fault}; so there is no answer" in said["fault"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--gold", "HEART", "--completion", "-"), ("'HEART'", "nearest is 'HEART FAILURE AND SHOCK")),
        (("--gold", MCC, "--completion", "no/file"), ("no/file", "does not exist")),
        (("--gold", MCC, "--completion", "."), (".", "is a folder")),
        (("--gold", MCC, "--completion", "-", "--option", "accuracy=strickt"), ("'strickt'", "did you mean 'strict'")),
        (("--gold", MCC, "--completion", "-", "--option", "accuracy"), ("'accuracy'", "KEY=VALUE")),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(arguments, words):
    run = explain("--task", "drg", *arguments)
    assert run.returncode == 2 and "Traceback" not in run.stderr and run.stdout == ""
    assert all(word in run.stderr.splitlines()[-1] for word in words)


def test_help_has_an_example():
    assert "example:" in explain("--help").stdout
