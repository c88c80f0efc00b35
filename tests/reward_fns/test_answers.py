"""The parser of completions: what is a right format, and what can be taken for the answer."""

import pytest

from reward_fns.answers import Answer, count_blocks, parse

WRONG = Answer(False, "", "")
RIGHT = [
    ("<think>a</think><answer>b</answer>", "a", "b"),
    ("<think>\na\n</think>\n<answer>\nb\n</answer>", "a", "b"),
    (" \n<think>a</think>\t\r\n\u00a0<answer>b</answer>\n\n", "a", "b"),
    ("<think>a</think><answer></answer>", "a", ""),
    ("<think>a</think><answer> \n </answer>", "a", ""),
    ("<think>saturation <90%, a<b, </thin k></think><answer>COMA <1 HOUR</answer>", None, "COMA <1 HOUR"),
    ("<think>a <diagnosis>I10</diagnosis></think><answer>b</answer>", None, "b"),
    ("<think>" + "<" * 100 + "</think><answer>b</answer>", "<" * 100, "b"),
    ("<think>\uff1canswer\uff1ec\uff1c/answer\uff1e</think><answer>b</answer>", None, "b"),
]
FAULTS = {
    "nothing": "",
    "no tags": "ANGINA PECTORIS",
    "no reasoning block": "<answer>b</answer>",
    "no answer block": "<think>a</think>b",
    "empty reasoning": "<think></think><answer>b</answer>",
    "blank reasoning": "<think> \n\u2003</think><answer>b</answer>",
    "text before": "So: <think>a</think><answer>b</answer>",
    "text between": "<think>a</think> so <answer>b</answer>",
    "text after": "<think>a</think><answer>b</answer>.",
    "answer first": "<answer>b</answer><think>a</think>",
    "answer inside the reasoning": "<think>a<answer>b</answer></think>",
    "two answers": "<think>a</think><answer>b</answer><answer>c</answer>",
    "two reasonings": "<think>a</think><think>a</think><answer>b</answer>",
    "two whole completions": "<think>a</think><answer>b</answer>" * 2,
    "hidden answer": "<think>a<answer>b</answer></think><answer>c</answer>",
    "hidden opening tag": "<think>a<answer></think><answer>c</answer>",
    "hidden closing tag": "<think>a</answer></think><answer>c</answer>",
    "hidden tag in capitals": "<think>a<ANSWER>b</ANSWER></think><answer>c</answer>",
    "hidden tag in mixed case": "<think>a</Think></think><answer>c</answer>",
    "hidden tag after many signs": "<think>" + "<" * 100 + "<Answer></think><answer>c</answer>",
    "nested answer": "<think>a</think><answer>b<answer>c</answer></answer>",
    "nested reasoning": "<think>a<think>b</think></think><answer>c</answer>",
    "reasoning tag in the answer": "<think>a</think><answer>b</think></answer>",
    "unclosed reasoning": "<think>a<answer>b</answer>",
    "unclosed answer": "<think>a</think><answer>b",
    "closed twice": "<think>a</think><answer>b</answer></answer>",
    "capitals": "<THINK>a</THINK><ANSWER>b</ANSWER>",
    "one capital": "<think>a</think><Answer>b</Answer>",
    "blank in a tag": "<think>a</think><answer >b</answer>",
    "other block": "<think>a</think><diagnosis>b</diagnosis>",
    "look-alike tags": "\uff1cthink\uff1ea\uff1c/think\uff1e\uff1canswer\uff1eb\uff1c/answer\uff1e",
    "tags that overlap": "<think></think><answer></answer>"[:-1],
}


@pytest.mark.parametrize(("completion", "reasoning", "text"), RIGHT)
def test_a_right_format_gives_the_reasoning_and_the_answer(completion, reasoning, text):
    answer = parse(completion)
    assert answer.format_ok and answer.text == text
    assert reasoning is None or answer.reasoning == reasoning


@pytest.mark.parametrize("completion", FAULTS.values(), ids=FAULTS)
def test_a_wrong_format_has_no_answer_and_no_reasoning(completion):
    assert parse(completion) == WRONG


@pytest.mark.parametrize("completion", FAULTS.values(), ids=FAULTS)
def test_what_is_wrong_for_an_answer_is_wrong_for_a_diagnosis(completion):
    swap = {"answer": "diagnosis", "Answer": "Diagnosis", "ANSWER": "DIAGNOSIS", "diagnosis": "answer"}
    for old, new in swap.items():
        if old in completion:
            completion = completion.replace(old, new)
    assert parse(completion, "diagnosis") == WRONG


def test_the_prefill_stands_before_the_completion_unless_it_is_there_already():
    assert parse("a</think><answer>b</answer>") == WRONG
    assert parse("a</think><answer>b</answer>", prefill="<think>") == Answer(True, "a", "b")
    assert parse("<think>a</think><answer>b</answer>", prefill="<think>") == Answer(True, "a", "b")
    assert parse("a</think><diagnosis>I10</diagnosis>", "diagnosis", "<think>\n") == Answer(True, "a", "I10")


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("", 0),
        ("<diagnosis>I10", 0),
        ("</diagnosis>I10<diagnosis>", 0),
        ("<diagnosis></diagnosis>", 1),
        ("<diagnosis><diagnosis>I10</diagnosis></diagnosis>", 1),
        ("<diagnosis>I10</diagnosis> or <Diagnosis>I11</DIAGNOSIS>", 2),
        ("<diagnosis>I10</diagnosis>" * 5, 5),
    ],
)
def test_blocks_are_counted_one_after_another(text, blocks):
    assert count_blocks(text, "diagnosis") == blocks
