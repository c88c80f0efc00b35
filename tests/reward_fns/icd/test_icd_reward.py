"""The ICD reward: its table, what gold earns, what cheating earns, its switches, and what a fault gives."""

import random

import pytest

from reward_fns.icd import icd10
from reward_fns.icd import reward as icd
from reward_fns.icd.reward import check_gold, check_options, compute_score

KEYS = {"score", "acc", "pred", "format", "outcome", "category", "chapter"}
KEYS |= {"judge", "judge_retries", "judge_wait", "reward_error"}


def write(code: str, reasoning: str = "Chest pain, troponin up.") -> str:
    return f"<think>\n{reasoning}\n</think>\n<diagnosis>{code}</diagnosis>"


def parts(completion: str, gold: object = "I214", **options: object) -> tuple[float, float, float]:
    result = compute_score("mimic_icd", completion, gold, **options)
    assert result["reward_error"] == 0.0
    return result["format"], result["outcome"], result["score"]


# (completion, gold, format, outcome); the outcome's arithmetic is 15 * (O/|g| + (O-2 if O >= 3))
TABLE = [
    ("", "I214", -6.0, 0.0),
    (" \n", "I214", -6.0, 0.0),
    ("I214", "I214", -1.0, 0.0),  # wrong formats
    ("<diagnosis>I214</diagnosis>", "I214", -1.0, 0.0),
    (write("myocardial infarction"), "I214", -1.0, 0.0),
    (write(""), "I214", -1.0, 0.0),
    (write("I21.4, I50"), "I214", -1.0, 0.0),
    (write("I214") + "<diagnosis>I50</diagnosis>", "I214", -2.0, 0.0),
    (write("I214") + "<diagnosis>I50</diagnosis>" * 3, "I214", -4.0, 0.0),
    (write("I2199"), "I214", 0.0, -1.0),  # right formats: no such code
    (write("I214X"), "I214", 0.0, -1.0),
    (write("E119"), "I214", 1.0, -1.0),  # another first character
    (write("I50"), "I214", 1.0, 3.75),  # 15 * 1/4
    (write("I25.10"), "I214", 1.0, 7.5),  # 15 * 2/4
    (write("I21"), "I214", 1.0, 26.25),  # 15 * (3/4 + 1)
    (write("I21.3"), "I214", 1.0, 26.25),
    (write("I21.4"), "I214", 1.0, 45.0),  # the gold, 15 * (4-1)
    (write(" i21.4\n"), "I214", 1.0, 45.0),
    (write("I214."), "I21.4", 1.0, 45.0),
    (write("I10"), "I10", 1.0, 30.0),
    (write("I21.4"), "I21", 1.0, 10.0),  # extends the gold: O = |g|-1 = 2, 15 * 2/3
    (write("C7A.01"), "C7A.00", 1.0, 42.0),  # 15 * (4/5 + 2)
    (write("S72.001B"), "S72.001A", 1.0, 15 * (6 / 7 + 4)),
]


@pytest.mark.parametrize(("completion", "gold", "format", "outcome"), TABLE)
def test_the_table_of_outcomes(completion, gold, format, outcome):
    assert parts(completion, gold) == pytest.approx((format, outcome, format + outcome))


def test_gold_perfectly_formatted_earns_the_maximum_for_every_billable_code():
    import simple_icd_10_cm as package

    billable = [item for item in package.get_all_codes() if len(item) >= 3 and package.is_leaf(item)]
    billable = [item for item in billable if package.is_category(item) or package.is_subcategory(item)]
    assert len(billable) > 70_000
    for item in billable:
        gold = item.replace(".", "")
        highest = 1.0 + 15.0 * (len(gold) - 1)
        result = compute_score("mimic_icd", write(item), gold)
        if (result["score"], result["acc"], result["category"], result["chapter"]) != (highest, 1.0, 1.0, 1.0):
            pytest.fail(f"{gold}: {result}")


def test_nothing_but_the_gold_earns_the_maximum():
    rng, codes = random.Random(0), icd10.table().ordered
    for _ in range(20_000):
        at = rng.randrange(5, len(codes) - 5)
        code, gold = codes[at + rng.choice((-5, -2, -1, 1, 2, 5))], codes[at]
        if parts(write(code), gold)[2] >= 1.0 + 15.0 * (len(gold) - 1):
            pytest.fail(f"answer {code}, gold {gold}")


CHEATS = {
    "gold hidden in the reasoning": (write("E119", "<diagnosis>I214</diagnosis>"), -2.0),
    "gold named in the reasoning": (write("E119", "I21.4"), 0.0),
    "gold first, then another": (write("I214") + "\n<diagnosis>E119</diagnosis>", -2.0),
    "a block for every guess": (write("I214") + "<diagnosis>I50</diagnosis>" * 9, -10.0),
    "two codes in one block": (write("I21.4 E11.9"), -1.0),
    "every code in one block": (write(" ".join(icd10.table().ordered)), -1.0),
    "a code beyond the gold": (write("I21.41"), -1.0),
    "nested blocks": (write("E119<diagnosis>I214</diagnosis>"), -1.0),
    "unclosed reasoning": ("<think>a\n<diagnosis>I214</diagnosis>", -1.0),
    "unclosed diagnosis": ("<think>a</think><diagnosis>I214", -1.0),
    "capital tags": (write("I214").upper(), -1.0),
    "look-alike tags": (write("E119", "\uff1cdiagnosis\uff1eI214\uff1c/diagnosis\uff1e"), 0.0),
    "look-alike letters": (write("\u0406214"), -1.0),
    "a dotless i": (write("\u0131214"), -1.0),
    "full-width digits": (write("I\uff12\uff11\uff14"), -1.0),
    "empty reasoning": ("<think></think><diagnosis>I214</diagnosis>", -1.0),
    "no reasoning": ("<diagnosis>I214</diagnosis>", -1.0),
    "the prompt's example echoed": ("<think>x</think><diagnosis>CODE</diagnosis>\n" + write("I214"), -2.0),
    "text after the end": (write("E119") + "I214", -1.0),
    "nothing but white space": ("\n", -6.0),
}


@pytest.mark.parametrize(("completion", "earned"), CHEATS.values(), ids=CHEATS)
def test_cheating_earns_no_more_than_an_honest_wrong_answer(completion, earned):
    assert parts(completion)[2] == earned <= parts(write("E119"))[2]


def test_every_result_has_the_same_keys_and_the_weighted_parts_add_up():
    weights = {"format_weight": 0.5, "outcome_weight": 2.0}
    for completion in [completion for completion, *_ in [*TABLE, *CHEATS.values()]]:
        result = compute_score("mimic_icd", completion, "I214", **weights)
        assert set(result) == KEYS
        assert result["score"] == 0.5 * result["format"] + 2.0 * result["outcome"]
        assert isinstance(result.pop("pred"), str) and all(type(value) is float for value in result.values())


@pytest.mark.parametrize(
    ("answer", "gold", "pred", "acc", "category", "chapter"),
    [
        ("i21.4", "I214", "I214", 1.0, 1.0, 1.0),
        ("I21.3", "I214", "I213", 0.0, 1.0, 1.0),
        ("I10", "I214", "I10", 0.0, 0.0, 1.0),
        ("D49.9", "D50", "D499", 0.0, 0.0, 0.0),  # the first letter is the same, the chapter is not
        ("I2199", "I214", "I2199", 0.0, 0.0, 0.0),  # no such code: parsed, and right in nothing
        ("pneumonia", "I214", "", 0.0, 0.0, 0.0),
    ],
)
def test_metrics_and_pred(answer, gold, pred, acc, category, chapter):
    result = compute_score("mimic_icd", write(answer), gold)
    assert (result["pred"], result["acc"], result["category"], result["chapter"]) == (pred, acc, category, chapter)


def test_a_weight_of_0_switches_its_component_off():
    assert parts(write("I214"), format_weight=0)[2] == 45.0
    assert parts(write("I214"), outcome_weight=0)[2] == 1.0
    assert parts("", format_weight=0)[2] == 0.0
    assert parts(write("I2199"), outcome_weight=0)[2] == 0.0


def test_every_constant_is_an_option():
    assert parts("", empty=-9)[2] == -9.0
    assert parts("x", wrong_format=-2)[2] == -2.0
    assert parts(write("I214") + "<diagnosis>I50</diagnosis>", extra_block=-3)[2] == -4.0
    assert parts(write("E119"), right_format=2, no_overlap=-5)[2] == -3.0
    assert parts(write("I2199"), unknown_code=-4)[2] == -4.0
    assert parts(write("I214"), outcome_scale=1)[2] == 4.0


def test_the_prefill_is_put_back():
    completion = write("I214").removeprefix("<think>")
    assert [parts(completion, prefill=prefill)[2] for prefill in ("", "<think>")] == [-1.0, 46.0]
    assert parts(write("I214"), prefill="<think>")[2] == 46.0
    assert parts("", prefill="<think>")[2] == -6.0


def test_extra_codes_exist_too(tmp_path):
    file = tmp_path / "codes.txt"
    file.write_text("I21.45\n")
    assert parts(write("I2145"))[:2] == (0.0, -1.0)
    assert parts(write("I2145"), extra_codes=str(file))[:2] == (1.0, 26.25)  # it extends the gold
    assert parts(write("I21.45"), "I2145", extra_codes=str(file))[2] == 61.0
    check_gold("I2145", extra_codes=str(file))
    with pytest.raises(ValueError, match=r"'I2145'.*nearest is 'I214'"):
        check_gold("I2145")


def test_a_gold_may_come_as_a_list_of_one():
    assert parts(write("I214"), ["I21.4"])[2] == 46.0
    check_gold(["I21.4"])


@pytest.mark.parametrize(
    ("options", "lowest"),
    [
        ({"matching": "fuzzy"}, -6.0),
        ({"format_wieght": 1.0}, -6.0),
        ({"format_weight": "1"}, -6.0),
        ({"outcome_scale": float("nan")}, -6.0),
        ({"prefill": None}, -6.0),
        ({"extra_codes": "no/such/file"}, -6.0),
        ({"extra_codes": 5}, -6.0),
        ({"format_weight": 2.0, "matching": "fuzzy"}, -12.0),
        ({"format_weight": 0.0, "matching": "fuzzy"}, -1.0),
    ],
)
def test_a_bad_option_is_a_fault_and_never_raises(options, lowest):
    result = compute_score("mimic_icd", write("I214"), "I214", **options)
    assert set(result) == KEYS and result["reward_error"] == 1.0 and result["score"] == lowest
    with pytest.raises(ValueError, match=next(reversed(options))):
        check_options(**options)


@pytest.mark.parametrize("gold", ["I2199", "HEART FAILURE", "", None, 214, [], ["I214", "I10"]])
def test_a_gold_that_is_no_code_is_a_fault_and_never_raises(gold):
    result = compute_score("mimic_icd", write("I214"), gold)
    assert set(result) == KEYS and result["reward_error"] == 1.0 and result["score"] == -6.0
    with pytest.raises(ValueError, match="gold"):
        check_gold(gold)


@pytest.mark.parametrize("completion", [None, 1, b"<think>", ["I214"]])
def test_a_completion_that_is_no_text_is_a_fault_and_never_raises(completion):
    assert compute_score("mimic_icd", completion, "I214")["reward_error"] == 1.0


def test_good_options_pass():
    check_options()
    check_options(matching="published", prefill="<think>", extra_codes=None, **icd.NUMBERS)
    with pytest.raises(ValueError, match="did you mean 'format_weight'"):
        check_options(format_wieght=1.0)
    with pytest.raises(ValueError, match=r"outcome_weight=-1"):
        check_options(outcome_weight=-1)
