"""The DRG reward: its table, what gold earns, what cheating earns, and what a fault gives."""

import itertools
import subprocess
import sys

import pytest

from reward_fns.drg import reward as drg
from reward_fns.drg.cot_first import is_answer_first
from reward_fns.drg.ms_drg import DRGS
from reward_fns.drg.reward import check_gold, check_options, compute_score

KEYS = {"score", "acc", "pred", "format", "accuracy", "base", "status", "cot_first", "reward_error"}
SCHEMES = ("dense", "balanced", "strict")
MCC, CC, NEITHER = (f"HEART FAILURE AND SHOCK {status}" for status in ("WITH MCC", "WITH CC", "WITHOUT CC/MCC"))
WRONG_FORMAT = -2.0


def write(answer: str, reasoning: str = "Fluid overload.") -> str:
    return f"<think>\n{reasoning}\n</think>\n<answer>\n{answer}\n</answer>"


def score(completion: str, gold: str = MCC, **options: object) -> float:
    result = compute_score("mimic_drg", completion, gold, **options)
    assert result["reward_error"] == 0.0
    return result["score"]


# (answer, gold, dense, balanced, strict); the format is right and adds 0
TABLE = [
    (MCC, MCC, 2.0, 2.0, 2.0),
    ("heart failure & shock w mcc.", MCC, 2.0, 2.0, 2.0),
    (CC, MCC, 1.5, 1.0, 0.0),  # the base
    (NEITHER, MCC, 1.5, 1.0, 0.0),
    ("RENAL FAILURE WITH MCC", MCC, 0.5, 1.0, 0.0),  # the status
    ("SPINAL DISORDERS AND INJURIES WITH CC/MCC", CC, 0.5, 1.0, 0.0),  # CC and CC/MCC are one class
    ("SEIZURES WITHOUT MCC", NEITHER, -0.5, -0.5, 0.0),  # without MCC and without CC/MCC are two
    ("RENAL FAILURE WITH CC", MCC, -0.5, -0.5, 0.0),
    ("FEVER", MCC, -0.5, -0.5, 0.0),
    ("FEVER", "PSYCHOSES", -0.5, -0.5, 0.0),  # two titles without a status share nothing
    ("FEVER", "FEVER", 2.0, 2.0, 2.0),
    ("HEART FAILURE AND SHOCK", MCC, -1.5, -1.5, -1.5),  # no DRG of version 34
    ("291", MCC, -1.5, -1.5, -1.5),
    ("292 " + MCC, MCC, -1.5, -1.5, -1.5),
    ("", MCC, -1.5, -1.5, -1.5),
]


@pytest.mark.parametrize(("answer", "gold", "dense", "balanced", "strict"), TABLE)
def test_the_table_of_outcomes(answer, gold, dense, balanced, strict):
    assert [score(write(answer), gold, accuracy=scheme) for scheme in SCHEMES] == [dense, balanced, strict]


def test_every_ordered_pair_of_titles_earns_what_base_and_status_say_in_every_scheme():
    # (same DRG, same base, same status that is a status) -> dense, balanced, strict
    expected = {(True, True): (1.5, 1.0, 0.0), (False, True): (0.5, 1.0, 0.0), (False, False): (-0.5, -0.5, 0.0)}
    for answer in DRGS:
        completion = f"<think>a</think><answer>{answer.title}</answer>"
        for gold in DRGS:
            same_base = answer.base == gold.base
            shares = same_base or (answer.status == gold.status and answer.status != 4)
            wanted = (2.0, 2.0, 2.0) if answer is gold else expected[same_base, shares]
            for scheme, points in zip(SCHEMES, wanted, strict=True):
                result = compute_score("mimic_drg", completion, gold.title, accuracy=scheme)
                if (result["score"], result["acc"], result["base"], result["status"], result["pred"]) != (
                    points,
                    answer is gold,
                    same_base,
                    answer.status == gold.status,
                    answer.title,
                ):
                    pytest.fail(f"answer {answer.title}, gold {gold.title}, {scheme}: {result}")


def test_gold_perfectly_formatted_earns_the_maximum_for_every_title():
    for title in (known.title for known in DRGS):
        for scheme, matching in itertools.product(SCHEMES, drg.MATCHING):
            result = compute_score("mimic_drg", write(title), title, accuracy=scheme, matching=matching)
            assert result["score"] == 2.0 and result["acc"] == result["base"] == result["status"] == 1.0, title


# Each of these is a completion for the gold HEART FAILURE AND SHOCK WITH MCC and what it earns in the dense scheme.
CHEATS = {
    "gold hidden in the reasoning, wrong answer": (write("FEVER", f"x <answer>{MCC}</answer>"), WRONG_FORMAT),
    "gold named in the reasoning, wrong answer": (write("FEVER", f"{'w ' * 60} {MCC}"), -0.5),
    "gold answered first, then another": (write(MCC) + "<answer>FEVER</answer>", WRONG_FORMAT),
    "every title answered in turn": ("<think>a</think>" + "".join(f"<answer>{d.title}</answer>" for d in DRGS), -2.0),
    "every title in one answer": (write("\n".join(d.title for d in DRGS)), -1.5),
    "gold and another in one answer": (write(f"{MCC} or FEVER"), -1.5),
    "a longer text with the gold in it": (write(f"not {MCC}"), -1.5),
    "nested answers": (write(f"FEVER<answer>{MCC}</answer>"), WRONG_FORMAT),
    "unclosed reasoning": (f"<think>a<answer>{MCC}</answer>", WRONG_FORMAT),
    "unclosed answer": (f"<think>a</think><answer>{MCC}", WRONG_FORMAT),
    "hidden answer with capital tags": (write("FEVER", f"<ANSWER>{MCC}</ANSWER>"), WRONG_FORMAT),
    "capital tags": (write(MCC).upper(), WRONG_FORMAT),
    "look-alike tags around the gold": (write("FEVER", f"\uff1canswer\uff1e{MCC}\uff1c/answer\uff1e"), -0.5),
    "look-alike letters in the title": (write(MCC.replace("A", "\u0391")), -1.5),
    "full-width title": (write("".join(chr(ord(c) + 0xFEE0) if c > " " else c for c in MCC)), -1.5),
    "invisible letters in the title": (write(MCC.replace(" ", "\u200b ")), -1.5),
    "empty reasoning": (f"<think></think><answer>{MCC}</answer>", WRONG_FORMAT),
    "blank reasoning": (f"<think> \n </think><answer>{MCC}</answer>", WRONG_FORMAT),
    "no reasoning": (f"<answer>{MCC}</answer>", WRONG_FORMAT),
    "the prompt's example echoed, then the answer": (
        "<think>\nreasoning\n</think>\n<answer>\ntitle\n</answer>\n" + write(MCC),
        WRONG_FORMAT,
    ),
    "an answer after the end": (write("FEVER") + MCC, WRONG_FORMAT),
    "its number alone": (write("291"), -1.5),
    "another's number before the gold": (write(f"292 {MCC}"), -1.5),
    "nothing": ("", WRONG_FORMAT),
}


@pytest.mark.parametrize(("completion", "earned"), CHEATS.values(), ids=CHEATS)
def test_cheating_earns_no_more_than_an_honest_wrong_answer(completion, earned):
    assert score(completion) == earned <= score(write("FEVER"))


def test_the_components_add_up_and_every_result_has_the_same_keys():
    completions = [completion for completion, _ in CHEATS.values()] + [write(answer) for answer, *_ in TABLE]
    for completion in completions:
        result = compute_score("mimic_drg", completion, MCC, cot_first_penalty=0.25)
        assert set(result) == KEYS
        assert result["score"] == result["format"] + result["accuracy"] - 0.25 * result["cot_first"]
        assert isinstance(result.pop("pred"), str) and all(type(value) is float for value in result.values())


@pytest.mark.parametrize(
    ("completion", "pred"),
    [
        (write("291: heart failure & shock w mcc"), MCC),
        (write(" no  title "), "no  title"),
        (write("x" * 1000), "x" * 200),
        (write(""), ""),
        (MCC, ""),
    ],
)
def test_pred_is_the_title_or_else_the_answer_and_empty_in_a_wrong_format(completion, pred):
    assert compute_score("mimic_drg", completion, MCC)["pred"] == pred


def test_a_wrong_format_is_right_in_nothing():
    result = compute_score("mimic_drg", MCC, MCC)
    assert (result["format"], result["accuracy"]) == (-2.0, 0.0)
    assert result["acc"] == result["base"] == result["status"] == result["cot_first"] == 0.0


LATE = "word " * 50
# (reasoning, answer, answer-first?)
COT_FIRST = [
    ("The patient had fluid overload.", MCC, False),
    (f"{MCC} fits best.", MCC, True),
    (f"[{MCC}], since", MCC, True),
    (f"**{MCC}**.", MCC, True),
    ("It is heart failure & shock w mcc: why?", MCC, True),
    ("It is RENAL FAILURE WITH CC, perhaps.", MCC, True),  # any title with a status, not only the answer's
    ("heart failure and shock, with\nMCC", MCC, True),
    ("Heart failure and shock with complications", MCC, False),
    ("Heart failure and shock; MCC is present", MCC, False),
    ("word " * 44 + MCC, MCC, True),  # the title is words 45 to 50
    ("word " * 45 + MCC, MCC, False),  # its last word is word 51
    (LATE + MCC, MCC, False),
    (LATE + MCC + " is what fits best here", MCC, False),
    (" \n" * 1000 + MCC, MCC, True),  # white space is no word
    ("CHEST PAIN is what he came with", MCC, True),  # in capitals
    ("He came with chest pain and fever", MCC, False),  # symptoms
    ("He came with CHEST pain", MCC, False),
    ("chest pain", "CHEST PAIN", False),
    ("DRG: chest pain", "CHEST PAIN", True),  # this completion's own answer directly after the word
    ("The answer (chest pain) is clear", "chest pain.", True),
    ("The code chest pain", "313 Chest pain", True),
    ("The code is chest pain", "CHEST PAIN", False),
    ("DRG fever", "CHEST PAIN", False),
    ("My answer: bananas", "bananas", True),
    ("My answer: apples", "bananas", False),
    (LATE + "answer: bananas", "bananas", False),
    ("It is DRG 100.", "bananas", True),  # a number of version 34 directly after the word, whatever the answer is
    ("MS-DRG-291 fits", MCC, True),
    ("the drg (#007)", MCC, True),
    ("<b>DRG</b>: <i>100</i>", MCC, True),
    ("ms-drg291", MCC, True),
    ("DRG 000 or DRG 1000 or DRG 100.5 or DRG 100%", MCC, False),  # no numbers of a DRG
    ("We look for the DRG:\n1. What brought the 67-year-old", MCC, False),
    ("The DRG. 67 years old, he took 100 mg", MCC, False),
    ("He took 100 mg", MCC, False),
    (LATE + "DRG 100", MCC, False),
    ("SEIZURES-WITH-MCC", MCC, True),
    ("SEIZURES/WITH/MCC", MCC, True),
    ("seizures.w/mcc", MCC, True),
    ("seizures + with = mcc", MCC, True),
    ("<b>SEIZURES</b> WITH MCC", MCC, True),
    ('Seizures with <span class="status">MCC</span>', MCC, True),
    ("SEIZURES\u2011WITH\u2010MCC", MCC, True),
    ("<b>CHEST</b><br>PAIN", MCC, True),
    ("code:<b>chest</b>-pain", "CHEST PAIN", True),
    ("SEIZURES < 2 a day, with 3 > 2 MCC", MCC, False),
    ("The answer", "", False),
    ("", "", False),
]


@pytest.mark.parametrize(("reasoning", "answer", "first"), COT_FIRST)
def test_answer_first_is_a_drg_named_within_the_first_50_words(reasoning, answer, first):
    assert is_answer_first(reasoning, answer) is first


def test_every_title_at_the_start_of_the_reasoning_is_answer_first():
    for known in DRGS:
        assert is_answer_first(f"Thus ({known.title}).", "FEVER"), known.title
        assert is_answer_first(f"thus ({known.title.lower()}).", "FEVER") is (known.status != 4), known.title
        assert is_answer_first(f"the drg {known.title.lower()}, so", known.title), known.title


def test_the_cot_first_penalty_is_taken_off_only_when_the_format_is_right():
    first, late = write(MCC, f"{MCC}, as follows."), write(MCC)
    assert [score(first, cot_first_penalty=penalty) for penalty in (0.0, 0.5, 3.0)] == [2.0, 1.5, -1.0]
    assert score(late, cot_first_penalty=0.5) == 2.0
    assert score(first + "!", cot_first_penalty=0.5) == WRONG_FORMAT
    assert compute_score("mimic_drg", first, MCC)["cot_first"] == 1.0


def test_the_prefill_is_put_back():
    completion = write(MCC).removeprefix("<think>")
    assert score(completion) == WRONG_FORMAT
    assert score(completion, prefill="<think>") == 2.0
    assert score(write(MCC), prefill="<think>") == 2.0


@pytest.mark.parametrize(
    ("options", "lowest"),
    [
        ({"accuracy": "denes"}, -2.0),
        ({"accuracy": ["dense"]}, -2.0),
        ({"matching": "Exact"}, -2.0),
        ({"acuracy": "dense"}, -2.0),
        ({"cot_first_penalty": -0.5}, -2.0),
        ({"cot_first_penalty": float("nan")}, -2.0),
        ({"cot_first_penalty": "0.5"}, -2.0),
        ({"prefill": 1}, -2.0),
        ({"cot_first_penalty": 2.0, "prefill": 1}, -3.5),  # -1.5 for an invalid answer, and 2 off
    ],
)
def test_a_bad_option_is_a_fault_and_never_raises(options, lowest):
    result = compute_score("mimic_drg", write(MCC), MCC, **options)
    assert set(result) == KEYS and result["reward_error"] == 1.0 and result["score"] == lowest
    with pytest.raises(ValueError, match=next(reversed(options))):
        check_options(**options)


@pytest.mark.parametrize("gold", ["HEART FAILURE", "291", "", None, 291, [MCC], {"title": MCC}])
def test_a_gold_that_is_no_title_is_a_fault_and_never_raises(gold):
    result = compute_score("mimic_drg", write(MCC), gold)
    assert set(result) == KEYS and result["reward_error"] == 1.0 and result["score"] == -2.0
    with pytest.raises(ValueError, match="gold"):
        check_gold(gold)


@pytest.mark.parametrize("completion", [None, 1, b"<think>a</think><answer>FEVER</answer>", ["FEVER"]])
def test_a_completion_that_is_no_text_is_a_fault_and_never_raises(completion):
    assert compute_score("mimic_drg", completion, MCC)["reward_error"] == 1.0


def test_what_is_near_is_named():
    with pytest.raises(ValueError, match=r"'denes'.*did you mean 'dense'"):
        check_options(accuracy="denes")
    with pytest.raises(ValueError, match=r"'acuracy'.*did you mean 'accuracy'"):
        check_options(acuracy="dense")
    with pytest.raises(ValueError, match=r"'hart failure with mcc'.*nearest is '.*FAILURE.* WITH MCC'"):
        check_gold("hart failure with mcc")
    with pytest.raises(ValueError, match=r"'291'.*HEART FAILURE AND SHOCK WITH MCC"):
        check_gold("291")


def test_good_options_and_golds_pass():
    check_options()
    check_options(accuracy="strict", matching="published", cot_first_penalty=0.5, prefill="<think>")
    for known in DRGS:
        check_gold(known.title, accuracy="strict")


@pytest.mark.parametrize("module", ["drg", "icd"])
def test_importing_a_reward_is_quick_and_light(module):
    program = (
        "import sys, time; start = time.perf_counter(); import reward_fns." + module + "; "
        "spent = time.perf_counter() - start; "
        "heavy = {'torch', 'pandas', 'numpy', 'socket', 'requests', 'simple_icd_10_cm'} & set(sys.modules); "
        "print(spent, *heavy)"
    )
    runs = [subprocess.run([sys.executable, "-c", program], capture_output=True, text=True) for _ in range(5)]
    assert all(len(run.stdout.split()) == 1 for run in runs), runs[0]
    assert min(float(run.stdout) for run in runs) < 0.2
