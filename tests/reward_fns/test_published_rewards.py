"""matching="published" gives what the papers' code gives, also where that is wrong, and exact does not.

The oracle is benchmarks.published_plain: the published rules as plain regular expressions.
"""

import random
import re

import pytest

from benchmarks import published_plain
from reward_fns.drg import reward as drg
from reward_fns.drg.ms_drg import DRGS, find
from reward_fns.icd import reward as icd

T = {known.number: known.title for known in DRGS}
MCC, CC = T["291"], T["292"]
STATUS = re.compile(r" (?:WITHOUT|WITH|W/O|W) (?:CC/MCC|MCC|CC)(?: |$)")


def write(answer: str, reasoning: str = "a") -> str:
    return f"<think>{reasoning}</think><answer>{answer}</answer>"


def diagnose(code: str, reasoning: str = "a") -> str:
    """A completion as it follows the prefill <think>."""
    return f"{reasoning}</think><diagnosis>{code}</diagnosis>"


def both(completion: str, gold: str, accuracy: str = "dense") -> tuple[float, float]:
    """The DRG score in exact and in published matching."""
    exact, published = (
        drg.compute_score("mimic_drg", completion, gold, accuracy=accuracy, matching=matching)
        for matching in ("exact", "published")
    )
    assert all(exact[key] == published[key] for key in ("acc", "base", "status", "pred"))
    return exact["score"], published["score"]


# (fault, completion, gold, accuracy, exact, published)
DRG_FAULTS = [
    ("1 hidden gold, wrong answer", write("FEVER", f"<answer>{MCC}</answer>"), MCC, "dense", -2.0, 2.0),
    ("1 hidden gold, capital tags", write("FEVER", f"<ANSWER>{MCC}</Answer>"), MCC, "strict", -2.0, 2.0),
    ("1 right answer, hidden wrong one", write(MCC, "<answer>x</answer>"), MCC, "dense", -2.0, -1.5),
    ("2 gold inside another title", write(T["008"]), "KIDNEY TRANSPLANT", "dense", -0.5, 2.0),
    ("2 the same, strict", write(T["008"]), "KIDNEY TRANSPLANT", "strict", 0.0, 2.0),
    (
        "2 CC inside CC/MCC",
        write(T["052"]),
        T["053"].replace("OUT", "")[:0] or MCC,
        "dense",
        -0.5,
        -0.5,
    ),
    ("3 a base that contains WITH", write(T["456"]), T["459"], "dense", 0.5, 1.5),
    ("3 another base, same words before WITH", write(T["871"]), T["870"], "dense", -0.5, 1.5),
    ("3 the same status, split elsewhere", write(T["974"]), T["061"], "dense", 0.5, -0.5),
    ("4 no WITH in the gold, same base", write(T["269"]), T["268"], "dense", 1.5, -0.5),
    ("4 W for WITH", write("HEART FAILURE AND SHOCK W MCC"), MCC, "dense", 2.0, -1.5),
    (
        "4 a corrected spelling",
        write(T["227"].replace("WITHOUT MCC", "WITH MCC")),
        T["226"],
        "dense",
        2,
        -1.5,
    ),
    ("4 one space where CMS has two", write(" ".join(T["640"].split())), T["640"], "dense", 2.0, -1.5),
    ("4 a full stop", write(MCC + "."), MCC, "strict", 2.0, -1.5),
    ("5 empty reasoning", write(MCC, ""), MCC, "dense", -2.0, 2.0),
    ("5 two reasonings", write(MCC, "a</think><think>b"), MCC, "dense", -2.0, 2.0),
    ("5 two answers", write("FEVER", f"a</think><answer>{MCC}</answer><think>b"), MCC, "dense", -2.0, 2.0),
    ("balanced table", write(CC), MCC, "balanced", 1.0, 1.0),
    ("balanced, status", write("RENAL FAILURE WITH MCC"), MCC, "balanced", 1.0, 1.0),
    ("case is no matter", write(f"\n{MCC.lower()}\n"), MCC, "dense", 2.0, 2.0),
]


@pytest.mark.parametrize(
    ("completion", "gold", "accuracy", "exact", "published"),
    [f[1:] for f in DRG_FAULTS],
    ids=[f[0] for f in DRG_FAULTS],
)
def test_each_published_drg_fault_in_both_modes(completion, gold, accuracy, exact, published):
    assert both(completion, gold, accuracy) == (exact, published)
    assert published_plain.drg_score(completion, gold, accuracy) == published


def test_the_published_split_is_wrong_for_137_titles():
    def split(pattern: re.Pattern[str], title: str) -> str:
        found = pattern.search(title)
        return title[: found.start()] if found else title

    published = re.compile(r"\s(?:WITH|WITHOUT)\s")
    assert sum(split(published, known.title) != split(STATUS, known.title) for known in DRGS) == 137


def test_published_equals_the_plain_rule_for_every_pair_of_titles():
    wrongly_right, wrong_base, denied = 0, 0, 0
    for answer in DRGS:
        completion = write(answer.title)
        for gold in DRGS:
            result = drg.compute_score("mimic_drg", completion, gold.title, matching="published")
            if result["score"] != published_plain.drg_score(completion, gold.title):
                pytest.fail(f"answer {answer.title}, gold {gold.title}")
            wrongly_right += result["score"] == 2.0 and not result["acc"]
            wrong_base += result["score"] == 1.5 and not result["base"]
            shares = result["status"] and gold.status != 4 and not result["base"]
            denied += bool(shares) and result["score"] < 0.5
    assert 0 < wrongly_right < 100 < wrong_base < 1000 and 10_000 < denied < 100_000


# (fault, completion, gold, exact, published), prefill <think>
ICD_FAULTS = [
    ("1 third character a letter", diagnose("C7A.00"), "C7A00", 61.0, 0.0),
    ("1 lower case", diagnose("i21.4"), "I214", 46.0, 0.0),
    ("2 no such code", diagnose("I2199"), "I214", -1.0, 27.25),
    ("2 a wrong code that exists, like one that does not", diagnose("E11.9"), "I214", 0.0, 0.0),
    ("4 unclosed reasoning", "a\n<diagnosis>I214</diagnosis>", "I214", -1.0, 60.0),
    (
        "4 a second pair on its line",
        diagnose("I214") + "<diagnosis>E119</diagnosis>",
        "I214",
        -2.0,
        61.0,
    ),
    ("4 a second pair on the next line", diagnose("I214") + "\n<diagnosis>E119</diagnosis>", "I214", -2.0, 60.0),
    ("5 beyond the gold", diagnose("I1012"), "I10", -1.0, 31.0),
    ("7 many line breaks", "\n" * 300 + "</think>" + "\n" * 300 + "<diagnosis>I214</diagnosis>", "I214", -1.0, 61.0),
    ("gold", diagnose("I21.4"), "I214", 46.0, 61.0),
    ("the category", diagnose("I21"), "I214", 27.25, 27.25),
    ("a sibling", diagnose("I219"), "I214", 27.25, 27.25),
    ("a letter", diagnose("I50"), "I214", 4.75, 4.75),
    ("no pair", "a", "I214", -1.0, -1.0),
    ("nothing", "", "I214", -6.0, -6.0),
]


@pytest.mark.parametrize(("fault", "completion", "gold", "exact", "published"), ICD_FAULTS)
def test_each_published_icd_fault_in_both_modes(fault, completion, gold, exact, published):
    results = [
        icd.compute_score("mimic_icd", completion, [gold], prefill="<think>", matching=matching)
        for matching in ("exact", "published")
    ]
    assert [result["score"] for result in results] == [exact, published]
    assert all(results[0][key] == results[1][key] for key in ("acc", "pred", "category", "chapter"))
    assert published_plain.icd_score(completion, gold) == published


def test_published_puts_the_prefill_back_even_where_it_stands():
    assert icd.compute_score("", "<think>" + diagnose("I214"), "I214", matching="published")["score"] == -1.0
    assert icd.compute_score("", diagnose("I214"), "I214", matching="published")["score"] == 61.0


def test_weights_switch_the_published_components_off():
    options = {"matching": "published", "format_weight": 0}
    assert icd.compute_score("", diagnose("I214"), "I214", **options)["score"] == 60.0
    options = {"matching": "published", "outcome_weight": 0}
    assert icd.compute_score("", diagnose("I214"), "I214", **options)["score"] == 1.0


PIECES = [
    *("<think>", "</think>", "<answer>", "</answer>", "<ANSWER>", "</Answer>", "<an\u017fwer>"),
    *("<diagnosis>", "</diagnosis>", "\n", "\n\n", " ", "\t", "\x1c", "\x85", "\u2028", "<", "</", "a", "a<b", "."),
    *("I21.4", "I214", "I2149", "I21.\n.", "E119", "C7A0", "i214", "I10", MCC, MCC.lower(), CC, f"{MCC}."),
    *(T[number] for number in ("008", "652", "640", "268", "269", "870", "871", "456", "459")),
]
GOLDS = [known.title for known in DRGS if known.title in PIECES]


def some_completion(rng: random.Random) -> str:
    """Pieces in any order, or a whole completion with a few pieces changed."""
    if rng.random() < 0.4:
        return "".join(rng.choices(PIECES, k=rng.randint(0, 14)))
    tag = rng.choice(("answer", "diagnosis"))
    whole = [
        "<think>",
        rng.choice(PIECES),
        "</think>",
        rng.choice(("", "\n")),
        f"<{tag}>",
        rng.choice(PIECES),
        f"</{tag}>",
    ]
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        at = rng.randrange(len(whole))
        whole[at : at + rng.randint(0, 1)] = [rng.choice(PIECES)]
    return "".join(whole[rng.randint(0, 1) :])


def compare(number: int, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(number):
        completion, gold, accuracy = some_completion(rng), rng.choice(GOLDS), rng.choice(tuple(drg.SCHEMES))
        result = drg.compute_score("mimic_drg", completion, gold, accuracy=accuracy, matching="published")
        if result["reward_error"] or result["score"] != published_plain.drg_score(completion, gold, accuracy):
            pytest.fail(f"{completion!r}, gold {gold}, {accuracy}")
        code = rng.choice(("I214", "I10", "E1165", "C7A00"))
        result = icd.compute_score("mimic_icd", completion, [code], matching="published")
        if result["reward_error"] or result["score"] != published_plain.icd_score(completion, code):
            pytest.fail(f"{completion!r}, gold {code}")


def test_published_equals_the_plain_rule_on_completions_made_of_pieces():
    compare(20_000, seed=0)


@pytest.mark.slow
def test_published_equals_the_plain_rule_on_a_million_completions_made_of_pieces():
    compare(1_000_000, seed=1)


def test_the_titles_of_the_faults_are_what_they_are_said_to_be():
    assert find(T["456"]).base != find(T["459"]).base
    assert T["652"] == "KIDNEY TRANSPLANT" and T["652"] in T["008"]
