"""The reward of a set of codes: its table, the best matching by brute force, cheating, options, speed."""

import random
import time

import pytest

from reward_fns.icd import icd10, tabular
from reward_fns.icd_set import codes
from reward_fns.icd_set.reward import check_gold, check_options, compute_score
from tests.reward_fns.test_reward_fuzz import Maker

GOLD = "I214, E119"
KEYS = {"score", "acc", "pred", "format", "outcome", "f1", "unknown", "reward_error"}


def write(answer: str, reasoning: str = "Chest pain, troponin up.") -> str:
    return f"<think>\n{reasoning}\n</think>\n<diagnosis>{answer}</diagnosis>"


def scored(completion: str, gold: object = GOLD, **options: object) -> dict:
    result = compute_score("codiesp_icd_set", completion, gold, **options)
    assert result["reward_error"] == 0.0 and set(result) == KEYS
    return result


# (completion, gold, format, outcome); the outcome's arithmetic is 15 * 2C / (|P| + |G|)
TABLE = [
    ("", GOLD, -6.0, 0.0),
    (" \n", GOLD, -6.0, 0.0),
    ("I214, E119", GOLD, -1.0, 0.0),  # wrong formats
    ("<diagnosis>I214</diagnosis>", GOLD, -1.0, 0.0),
    (write(""), GOLD, -1.0, 0.0),
    (write(" , ;"), GOLD, -1.0, 0.0),
    (write("I214 and E119"), GOLD, -1.0, 0.0),
    (write("I214, myocardial"), GOLD, -1.0, 0.0),
    (write("I21. 4, E119"), GOLD, -1.0, 0.0),
    (write("I214, ."), GOLD, -1.0, 0.0),
    (write("I214\uff0cE119"), GOLD, -1.0, 0.0),
    (write("I214") + "<diagnosis>E119</diagnosis>" * 2, GOLD, -3.0, 0.0),
    (write("E11.9; i21.4"), GOLD, 1.0, 15.0),  # the gold, in every spelling
    (write("\tI214\n\ne119\n"), GOLD, 1.0, 15.0),
    (write("I214, I21.4, E119, E11.9"), GOLD, 1.0, 15.0),
    (write("I214,E119,"), ["I21.4", "E11.9"], 1.0, 15.0),
    (write("I214"), GOLD, 1.0, 10.0),  # 15 * 2 * 1 / 3
    (write("I214, E119, I10"), GOLD, 1.0, 12.0),  # 15 * 2 * 2 / 5
    (write("I214, E119, X99999"), GOLD, 1.0, 12.0),
    (write("I213, E119"), GOLD, 1.0, 15 * 2 * (1 + 0.5 * 3 / 4) / 4),
    (write("I21"), GOLD, 1.0, 15 * 2 * 0.5 * 3 / 4 / 3),
    (write("E11.92, E11.65"), "E11", 1.0, 15 * 2 * 0.5 / 3),  # both share all of E11, one pairs; E11.92 does not exist
    (write("I213, I219"), "I214, I21", 1.0, 15 * 2 * (0.5 * 3 / 4 + 0.5) / 4),
    (write("S0101XA, S0102XD"), "S01, S0102XA", 1.0, 15 * 2 * (0.5 + 0.5 * 6 / 7) / 4),  # not S01 for the longer one
    (write("J449"), GOLD, 1.0, 0.0),
    (write("J449, J45"), GOLD, 1.0, 0.0),
]


@pytest.mark.parametrize(("completion", "gold", "format", "outcome"), TABLE)
def test_the_table_of_outcomes(completion, gold, format, outcome):
    result = scored(completion, gold)
    assert (result["format"], result["outcome"]) == pytest.approx((format, outcome))
    assert result["score"] == pytest.approx(format + outcome)


def drawn(rng: random.Random, most: int) -> tuple[list[str], list[str]]:
    """Two sets of codes that share codes and categories, some of which do not exist on the side of the answer."""
    table = icd10.table().ordered
    at = rng.randrange(len(table) - 40)
    pool = [*rng.sample(table[at : at + 40], 7), *rng.sample(table, 2)]
    gold = rng.sample(pool, rng.randint(1, most))
    return rng.sample([*pool, gold[0][:6] + "X", "Z9999X9"], rng.randint(1, most)), gold


def brute_force(said: list[str], gold: list[str]) -> float:
    """The credit of the best of all ways to pair codes, by trying them all."""

    def worth(code: str, right: str) -> float:
        if not icd10.exists(code) or code[:3] != right[:3]:
            return 0.0
        return 1.0 if code == right else 0.5 * icd10.overlap(code, right) / len(right)

    if not gold:
        return 0.0
    right, *rest = gold
    pairs = [(worth(code, right), code) for code in said]
    taken = (value + brute_force([other for other in said if other != code], rest) for value, code in pairs if value)
    return max([brute_force(said, rest), *taken])


def test_a_list_is_read_as_its_codes_are_one_by_one():
    rng, table, good = random.Random(3), icd10.table().ordered, 0
    odd = "I2.1 ,;\n\u00a0\x1c-aKé\u0131\u0663<"
    for _ in range(20_000):
        text = rng.choice([", ", ";", " ", "\u00a0"]).join(rng.choices(table, k=rng.randrange(6)))
        for _ in range(rng.randrange(4)):
            at = rng.randrange(len(text) + 1)
            text = text[:at] + rng.choice(odd) + text[at + rng.randrange(2) :]
        text = rng.choice([text, text.lower()])
        each = tuple(map(icd10.normalise, text.replace(",", " ").replace(";", " ").split()))
        expected = each if each and all(map(icd10.looks_like_code, each)) else None
        assert codes.read(text) == expected, text
        good += expected is not None
    assert 4_000 < good < 16_000


def test_the_hierarchical_f1_equals_brute_force_on_20_000_random_sets():
    rng, several = random.Random(0), 0
    for _ in range(20_000):
        said, gold = drawn(rng, 5)
        said = list(dict.fromkeys(said))
        credit = brute_force(said, gold)
        several += credit > 1 and credit % 1 > 0
        expected = 15 * 2 * credit / (len(said) + len(set(gold)))
        if scored(write(", ".join(said)), ", ".join(gold))["outcome"] != pytest.approx(expected, abs=1e-9):
            pytest.fail(f"{said} for {gold}: {scored(write(', '.join(said)), ', '.join(gold))}, not {expected}")
    assert several > 2_000  # most draws would prove nothing if all were right or all wrong


def test_no_set_earns_more_than_the_gold_and_no_code_pays_without_credit():
    rng, more = random.Random(1), 0
    for _ in range(20_000):
        said, gold = drawn(rng, 8)
        truth, extra = ", ".join(gold), rng.choice([*icd10.table().ordered[::5000], "Z9999X9", *gold])
        before, after = (scored(write(", ".join(some)), truth) for some in (said, [*said, extra]))
        best = scored(write(truth), truth)
        assert best["score"] == 16.0 and best["acc"] == 1.0
        if set(said) != set(gold) and before["score"] >= 16.0:
            pytest.fail(f"{said} earns {before['score']} for {gold}")
        credit = [
            codes.credit({c for c in some if icd10.exists(c)}, frozenset(gold), 0.5) for some in (said, [*said, extra])
        ]
        if extra not in said and credit[1] <= credit[0]:
            more += 1
            if not (after["score"] < before["score"] or before["outcome"] == after["outcome"] == 0.0):
                pytest.fail(f"{extra} beside {said} raises {before['score']} to {after['score']} for {gold}")
    assert more > 5_000


CHEATS = {
    "gold hidden in the reasoning": (write("J449", "<diagnosis>I214, E119</diagnosis>"), -2.0),
    "a block for each code": (write("I214") + "<diagnosis>E119</diagnosis>", -2.0),
    "unclosed diagnosis": ("<think>a</think><diagnosis>I214, E119", -1.0),
    "every category": (write(" ".join(sorted({c[:3] for c in icd10.table().ordered}))), 1.05),
    "every code": (write(" ".join(icd10.table().ordered)), 1.01),
    "a code a thousand times": (write("I213 " * 1000), 1.0 + 15 * 2 * 0.375 / 3),
}


@pytest.mark.parametrize(("completion", "most"), CHEATS.values(), ids=CHEATS)
def test_cheating_does_not_pay(completion, most):
    assert scored(completion)["score"] <= most


def test_outcome_f1_with_weight_0_for_the_format_is_llm4icds_reward():
    options = {"outcome": "f1", "outcome_scale": 1, "format_weight": 0}
    assert scored(write("I213, E119, I10"), **options)["score"] == pytest.approx(2 / 5)
    assert scored(write("J449"), **options)["score"] == 0.0
    assert scored(write("I21.4 E11.9"), **options)["score"] == 1.0


# 15 for an equal code, 15 (O/|g| + (O-2 if O >= 3)) for a pair of one first character, -0.2 for a code without a pair
PUBLISHED = [
    ("I214", "I214", 15.0),
    ("I213", "I214", 26.25),  # the near miss earns more than the hit
    ("I214, E119", GOLD, 30.0),
    ("I214, I214", GOLD, 15.0 - 0.2),  # duplicates stay
    ("I213, I213", "I214, I219", 52.5),
    ("J449", GOLD, -0.2),
    ("I50, I213", "I214", 26.25 - 0.2),  # the longest prefix first
    ("I213", "I21, I214", 15 * (3 / 3 + 1)),  # of equal prefixes the shorter gold
    ("I213, I50", "I214, I48", 26.25 + 15 / 3),
]


@pytest.mark.parametrize(("said", "gold", "outcome"), PUBLISHED)
def test_matching_published_gives_lists_what_the_published_code_gives_them(said, gold, outcome):
    result = scored(write(said), gold, matching="published")
    assert (result["format"], result["outcome"]) == pytest.approx((1.0, outcome))
    assert result["acc"] == float(set(said.split(", ")) == set(gold.split(", ")))


def test_a_code_of_a_file_exists(tmp_path):
    file = tmp_path / "codes.txt"
    file.write_text("S02.19X\n")
    check_gold("S0219X", extra_codes=str(file))
    assert scored(write("s02.19x"), "S0219X", extra_codes=str(file))["score"] == 16.0
    assert scored(write("S0219X"), "S0219XA, S0219", extra_codes=str(file))["outcome"] > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"neer": 0.1}, "'neer' is no option of the reward of ICD sets; did you mean 'near'?"),
        ({"near": 0.6}, "near=0.6 must be between 0 and 0.5"),
        ({"outcome": "F1"}, "outcome='F1' is unknown to the reward of ICD sets; Known: hierarchical, f1"),
        ({"matching": "published", "outcome": "f1"}, "matching='published' has an outcome of its own"),
        ({"outcome_weight": -1}, "outcome_weight=-1 must be at least 0"),
        ({"outcome_scale": float("nan")}, "outcome_scale=nan must be a finite number"),
        ({"near": "0.5"}, "near='0.5' must be a finite number"),
        ({"extra_codes": "no/such.txt"}, "cannot be read: No such file"),
    ],
)
def test_bad_options_are_named(options, said):
    with pytest.raises(ValueError, match=r"^[^\n]*$") as refused:
        check_options(**options)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("gold", "said"),
    [
        ("I214 and E119", "'I214 and E119' must be ICD-10-CM codes with commas between them, and nothing else"),
        ("", "must be ICD-10-CM codes"),
        (None, "must be ICD-10-CM codes"),
        ([], "must be ICD-10-CM codes"),
        ("I214, I2149", "'I2149' is no ICD-10-CM code; the nearest is 'I214'"),
    ],
)
def test_a_gold_that_is_no_list_of_codes_is_named_and_never_scored(gold, said):
    with pytest.raises(ValueError, match=r"^[^\n]*$") as refused:
        check_gold(gold)
    assert said in str(refused.value)
    result = compute_score("codiesp_icd_set", write("I214"), gold)
    assert result["reward_error"] == 1.0 and result["score"] == -6.0 and set(result) == KEYS


def test_random_and_mutated_completions_are_scored_and_earn_no_more_than_the_gold():
    make = Maker(seed=3)
    for _ in range(3_000):
        completion = make()
        for matching in ("exact", "published"):
            score = scored(completion, matching=matching)["score"]
            assert matching == "published" or score <= 16.0


def lists(number: int) -> list[tuple[str, str]]:
    """Completions of 30 codes each: a third right, some of the same categories, the rest anywhere."""
    rng, table = random.Random(2), icd10.table().ordered
    made = []
    for _ in range(number):
        places = rng.sample(range(20, len(table) - 20), 20)
        gold = [table[at] for at in places]
        near = [table[at + rng.choice((-2, -1, 1, 2))] for at in places[10:17]]
        said = [*gold[:10], *near, *rng.sample(table, 13)]
        rng.shuffle(said)
        made.append((write(", ".join(map(tabular.dotted, said)), "word " * 200), ", ".join(gold)))
    return made


def a_second(made: list[tuple[str, str]]) -> float:
    """Completions that are scored in a second of processor time: the best of five rounds, as other work only adds."""
    spent = []
    for _ in range(5):
        started = time.process_time()
        for completion, gold in made:
            compute_score("codiesp_icd_set", completion, gold)
        spent.append(time.process_time() - started)
    return len(made) / min(spent)


@pytest.mark.timed
def test_lists_of_30_codes_are_scored_fast(capsys):
    found = a_second(lists(1_000))
    with capsys.disabled():
        print(f" icd_set: {found:,.0f} completions of 30 codes a second (bound 10,000, here a quarter) ", end="")
    assert found > 2_500


@pytest.mark.slow
def test_10_000_completions_of_30_codes_are_scored_a_second():
    assert a_second(lists(5_000)) >= 10_000


@pytest.mark.timed
@pytest.mark.parametrize("matching", ["exact", "published"])
@pytest.mark.parametrize("text", [" ".join(icd10.table().ordered), "I213 " * 20_000, "," * 65_536, "I21.4" * 9_000])
def test_the_longest_lists_take_a_moment(text, matching):
    gold = ", ".join(icd10.table().ordered[::2000])
    started = time.process_time()
    scored(write(text), gold, matching=matching)
    assert time.process_time() - started < 3
