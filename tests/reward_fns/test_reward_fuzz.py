"""No completion raises, and none earns more than its answer is worth: random, mutated and searched-for completions."""

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_fns.drg import reward as drg
from reward_fns.drg.ms_drg import DRGS, find
from reward_fns.icd import icd10
from reward_fns.icd import reward as icd

TAG = {"drg": "answer", "icd": "diagnosis"}
GOLD = {"drg": "HEART FAILURE AND SHOCK WITH MCC", "icd": "I214"}
LONGEST = 65_536
PIECES = [
    *("<think>", "</think>", "<answer>", "</answer>", "<diagnosis>", "</diagnosis>", "<THINK>", "</Think>"),
    *("<ANSWER>", "</Answer>", "<Diagnosis>", "</DIAGNOSIS>", "< answer>", "<answer/>", "<<answer>>", "&lt;answer&gt;"),
    *(
        "\uff1canswer\uff1e",
        "\uff1c/answer\uff1e",
        "<\u0430nswer>",
        "<an\u017fwer>",
        "<think\u200b>",
        "\u2039think\u203a",
    ),
    *("<answer>title</answer>", "<diagnosis>CODE</diagnosis>", "<think>reasoning</think>", "[INST]", "<|im_end|>"),
    *(
        "\n",
        "\n\n",
        " ",
        "\t",
        "\r",
        "\x00",
        "\x1c",
        "\x85",
        "\u00a0",
        "\u2028",
        "\ufeff",
        "\u200b",
        "\ud800",
        "\U0001f600",
    ),
    *("HEART FAILURE AND SHOCK WITH MCC", "heart failure & shock w cc", "FEVER", "291", "WITH MCC", "DRG ", "answer: "),
    *("I21.4", "i214", "I21", "E11.9", "\u013121.4", "I2149", "C7A.00", ".", ",", "&", "<", ">", "/", "a", "word "),
]


def block(completion: str, tag: str) -> str | None:
    """The text in the answer block of a right format, else None: the rule stated once more, by counting tags."""
    tags = ["<think>", "</think>", f"<{tag}>", f"</{tag}>"]
    if re.findall(f"</?(?:think|{tag})>", completion, re.IGNORECASE) != tags:
        return None
    outside, inside = [], []
    for index, name in enumerate(tags):
        text, completion = completion.split(name)
        (inside if index % 2 else outside).append(text.strip())
    return inside[1] if inside[0] and not any([*outside, completion.strip()]) else None


def worth(task: str, completion: str) -> float:
    """What a completion earns by the papers' tables for its answer, or for a wrong format."""
    text = block(completion, TAG[task])
    if task == "drg":
        said, gold = find(text or ""), find(GOLD["drg"])
        if text is None or said is None:
            return -2.0 if text is None else -1.5
        shares = {(True, True): 2.0, (True, False): 1.5, (False, True): 0.5, (False, False): -0.5}
        return shares[said.base == gold.base, said.status == gold.status]
    code, gold = icd10.normalise(text or ""), GOLD["icd"]
    if not completion.strip():
        return -6.0
    if not re.fullmatch("[A-Z]([0-9][0-9A-Z]|[A-Z][0-9])[0-9A-Z]{0,4}", code):
        blocks = len(re.findall("<diagnosis>.*?</diagnosis>", completion.lower(), re.DOTALL))
        return -1.0 - max(0, blocks - 1)
    if not icd10.exists(code):
        return -1.0
    common = icd10.overlap(code, gold)
    if common == 0:
        return 0.0
    common -= common == len(gold) and code != gold
    return 1.0 + 15.0 * (common / len(gold) + max(0, common - 2))


def hold(completion: str) -> None:
    """Fail when a completion raises, is a fault, or earns anything but what it is worth."""
    for task, reward in (("drg", drg), ("icd", icd)):
        result = reward.compute_score(f"mimic_{task}", completion, GOLD[task])
        assert result["reward_error"] == 0.0, (task, completion)
        assert result["score"] == worth(task, completion), (task, completion, result)
        published = reward.compute_score(f"mimic_{task}", completion, GOLD[task], matching="published")
        assert published["reward_error"] == 0.0 and published.keys() == result.keys(), (task, completion)


def write(reasoning: str, answer: str, tag: str) -> list[str]:
    return ["<think>", reasoning, "</think>", "\n", f"<{tag}>", answer, f"</{tag}>"]


def changed(parts: list[str], changes: list[tuple[int, int, str]]) -> str:
    """The parts with pieces put in place of others."""
    for at, length, piece in changes:
        at %= len(parts) + 1
        parts[at : at + length] = [piece]
    return "".join(parts)


some_text = st.one_of(st.sampled_from(PIECES), st.text(st.characters(codec=None), max_size=12))
some_answer = st.one_of(
    some_text, st.sampled_from([known.title for known in DRGS]), st.sampled_from(icd10.table().ordered)
)
some_completion = st.one_of(
    st.lists(some_text, max_size=16).map("".join),
    st.builds(
        changed,
        st.builds(write, some_text, some_answer, st.sampled_from(["answer", "diagnosis"])),
        st.lists(st.tuples(st.integers(0, 20), st.integers(0, 2), some_text), max_size=4),
    ),
)


@given(some_completion)
@settings(max_examples=1500, deadline=None)
def test_no_completion_earns_more_than_its_answer_is_worth(completion):
    hold(completion)


@pytest.mark.slow
@given(some_completion)
@settings(max_examples=100_000, deadline=None)
def test_a_long_search_finds_no_completion_that_earns_more(completion):
    hold(completion)


class Maker:
    """Random and mutated completions, their lengths log-uniform up to 64 KB."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        rng = self.rng
        self.any = "".join(chr(rng.randrange(1, 0x110000)) for _ in range(2 * LONGEST))
        self.bytes = "".join(chr(rng.randrange(256)) for _ in range(2 * LONGEST))
        self.pieces = "".join(rng.choices(PIECES, k=LONGEST))
        self.words = "".join(
            rng.choice(("with ", "MCC ", "heart ", "failure\n", "<90% ", "code ")) for _ in range(LONGEST)
        )

    def cut(self) -> str:
        length = int(2 ** self.rng.uniform(0, 16))
        pool = self.rng.choice((self.any, self.bytes, self.pieces, self.words, self.words))
        start = self.rng.randrange(max(1, len(pool) - length))
        return pool[start : start + length]

    def __call__(self) -> str:
        rng = self.rng
        if rng.random() < 0.3:
            return self.cut()
        tag = rng.choice(("answer", "diagnosis"))
        answer = rng.choice((rng.choice(DRGS).title, rng.choice(icd10.table().ordered), rng.choice(PIECES), self.cut))
        parts = write(self.cut(), answer() if callable(answer) else answer, tag)
        changes = [(rng.randrange(8), rng.randint(0, 2), rng.choice(PIECES)) for _ in range(rng.choice((0, 0, 1, 2)))]
        completion = changed(parts, changes)
        if rng.random() < 0.1:
            completion = rng.choice((str.upper, str.title, str.swapcase))(completion)
        return completion[:LONGEST]


def test_20_000_random_and_mutated_completions_hold():
    make = Maker(seed=0)
    for _ in range(20_000):
        hold(make())


@pytest.mark.slow
def test_a_million_random_and_mutated_completions_hold():
    make = Maker(seed=1)
    for _ in range(1_000_000):
        hold(make())


def test_the_random_completions_are_of_every_kind_and_length():
    make = Maker(seed=0)
    made = [make() for _ in range(2_000)]
    formats = [block(completion, tag) is not None for completion in made for tag in TAG.values()]
    assert 0.1 < sum(formats) / len(made) < 0.9
    assert min(map(len, made)) < 10 and max(map(len, made)) > 50_000
    assert any("\ud800" <= letter <= "\udfff" for completion in made for letter in completion[:100])
