"""Notes as positions, their labels and scores, against a second writing of the rules (tests/support)."""

import random
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.clinical import published
from reward_fns.clinical_note import tokens
from reward_fns.clinical_note.alterations import ERRORS, TITLE, Altered, Removed, apply, causes, labels, units
from reward_fns.clinical_note.notes import KINDS, Note, Position, Problem, Step, check, note_of, positions
from reward_fns.clinical_note.scores import AGGREGATIONS, best
from tests.support.clinical import reference

WORDS = ("Left knee pain", "Plan: ice", "Assessment: no fever", "1. 2.", "- -", "\u00e9\u2019\u4e16", "+", "a\nb", " ")
GOLD: Note = (
    Problem(1, "Asthma", (Step(1, "Assessment: She wheezes."), Step(2, "Plan: Albuterol."), Step(3, "No smoking."))),
    Problem(2, "Follow-up instructions:", (Step(1, "Return in a week."),)),
)


def odd_case(rng: random.Random) -> tuple[Note, tuple[Altered, ...], tuple[Removed, ...]]:
    """A note of any shape and any alterations that it can have: also of all steps, of the only problem, of neither."""
    gold = tuple(
        Problem(no, rng.choice(WORDS), tuple(Step(at, rng.choice(WORDS)) for at in range(1, rng.randint(1, 5))))
        for no in range(1, rng.randint(1, 6))
    )
    there = list(units(gold))
    chosen = rng.sample(there, rng.randint(0, min(5, len(there))))
    altered = tuple(Altered(*unit, rng.choice(ERRORS), units(gold)[unit], "changed") for unit in chosen)
    rest = [unit for unit in there if unit not in chosen or unit[1] == TITLE]
    removed = tuple(Removed(*unit) for unit in rng.sample(rest, rng.randint(0, min(3, len(rest)))))
    return gold, altered, removed


def as_published(note: Note, altered: tuple[Altered, ...], removed: tuple[Removed, ...]) -> dict:
    """The records in the authors' layout, for the other writing of the rules."""
    records: dict[str, list[dict]] = {"Swapped_info": [], "Removed_info": []}
    for name, many in (("Swapped_info", altered), ("Removed_info", removed)):
        for one in many:
            of_step = {} if one.step == TITLE else {"Step_no": str(one.step)}
            level = "Step" if of_step else "Problem"
            records[name].append({"Problem_no": str(one.problem), "Error_level": level, **of_step})
    return published.to_json(note, ["+"] * len(positions(note))) | records


def test_labels_are_those_of_the_second_writing_of_the_rules() -> None:
    rng, wrong = random.Random(0), 0
    for _ in range(5000):
        gold, altered, removed = odd_case(rng)
        note = apply(gold, altered, removed)
        ours = labels(note, altered, removed)
        assert ours == reference.labels(as_published(note, altered, removed)), (gold, altered, removed)
        wrong += ours.count("-")
    assert wrong > 5000


def test_every_odd_note_goes_to_text_and_back() -> None:
    rng = random.Random(1)
    for _ in range(2000):
        gold, altered, removed = odd_case(rng)
        note = apply(gold, altered, removed)
        graded = positions(note, labels(note, altered, removed))
        assert reference.text_follows_grammar(tokens.render(graded, tokens.PUBLISHED))
        for markers in (tokens.PUBLISHED, tokens.ADDED):
            assert tokens.read(tokens.render(graded, markers), markers) == graded
        numbered = {(one.problem, one.step) for one in removed}
        if all((problem, TITLE) not in numbered or step == TITLE for problem, step in numbered):
            assert note_of(graded, removed) == note


def test_the_grammar_is_that_of_the_second_writing() -> None:
    """All sequences of up to six kinds, and one that is none."""
    right = 0
    for length in range(7):
        for kinds in product(KINDS, repeat=length):
            graded = [Position(kind, "x" if kind in KINDS[:2] else "") for kind in kinds]
            try:
                check(graded)
                holds = True
            except ValueError:
                holds = False
            assert holds == reference.follows_grammar(list(kinds)), kinds
            right += holds
    assert right == 5  # no problem; one with 0, 1 and 2 steps; two without steps


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(["x", *(tokens.PUBLISHED.tokens)]), max_size=14).map("".join))
def test_a_text_is_read_exactly_when_it_follows_the_grammar(text: str) -> None:
    try:
        graded = tokens.read(text, tokens.PUBLISHED)
    except ValueError:
        return
    assert reference.text_follows_grammar(text) and tokens.render(graded, tokens.PUBLISHED) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "ends with the position 'end'"),
        ("Asthma<1><6>", "ends with the position 'end'"),
        ("Asthma<1>", "kind and a label"),
        ("<1><6><3><6><4><6><5><6>", "problem, has no text"),
        ("Asthma<1><6>x<3><6><4><6><5><6>", "problem_complete, has a text"),
        ("<4><6><5><2>", "not a text, a token"),
        ("<5><6>", "position 0 is 'end'"),
    ],
)
def test_a_text_that_is_no_note_says_where(text: str, said: str) -> None:
    for number in range(1, 9):
        text = text.replace(f"<{number}>", tokens.PUBLISHED.tokens[number - 1])
    with pytest.raises(ValueError, match=said):
        tokens.read(text, tokens.PUBLISHED)


def test_a_label_for_a_missing_position_is_refused() -> None:
    with pytest.raises(ValueError, match="8 labels for the 10 positions"):
        positions(GOLD, ["+"] * 8)
    for altered, removed, said in (
        ([Altered(1, 9, "factual", "", "")], [], "step 9 of problem 1"),
        ([Altered(3, TITLE, "factual", "", "")], [], "problem 3"),
        ([], [Removed(1, 2)], "step 2 of problem 1"),
        ([], [Removed(4, 1)], "step 1 of problem 4"),
    ):
        with pytest.raises(ValueError, match=said):
            causes(GOLD, altered, removed)
    for altered, removed, said in (
        ([Altered(2, 2, "factual", "", "")], [], "step 2 of problem 2"),
        ([Altered(1, 1, "factual", "something else", "")], [], "step 1 of problem 1 does not say"),
        ([], [Removed(7, TITLE)], "problem 7"),
    ):
        with pytest.raises(ValueError, match=said):
            apply(GOLD, altered, removed)


def test_a_title_is_not_made_wrong_by_its_steps() -> None:
    altered = (Altered(1, 2, "factual", "Plan: Albuterol.", "Plan: Aspirin."),)
    worse = apply(GOLD, altered, (Removed(1, 3),))
    assert causes(worse, altered, (Removed(1, 3),)) == [
        *("", "", "factual", "removed step"), *("", "", ""), "", "anything",
    ]  # fmt: skip


def test_scores_of_a_note() -> None:
    """log .8 = -.2231, log .5 = -.6931."""
    kinds, shares = [one.kind for one in positions(GOLD)], [0.8] * 9 + [0.5]
    found = {name: round(score(kinds, shares), 4) for name, score in AGGREGATIONS.items()}
    assert found == {"sum": -2.7014, "mean": -0.2701, "min": -0.6931, "end": -0.6931}
    assert AGGREGATIONS["min"](kinds, [0.0] * 10) == pytest.approx(-23.0259, abs=1e-4)  # log 1e-10
    assert AGGREGATIONS["min"](kinds, [1e-12] * 10) == pytest.approx(-27.6310, abs=1e-4)  # 0 alone is replaced


def test_the_sum_pays_for_omissions_and_mean_and_min_do_not() -> None:
    """A note without its second problem and one step, every position equally likely right but the two that say so."""
    short = [one.kind for one in positions(GOLD[:1])]
    shares = [0.5 if kind in ("note_complete", "end") else 0.8 for kind in short]
    whole = [one.kind for one in positions(GOLD)]
    gold = {name: score(whole, [0.8] * len(whole)) for name, score in AGGREGATIONS.items()}
    less = {name: score(short, shares) for name, score in AGGREGATIONS.items()}
    assert all(gold[name] > less[name] for name in ("mean", "min", "end"))
    nothing = [one.kind for one in positions(())]
    assert AGGREGATIONS["sum"](nothing, [0.5, 0.5]) > gold["sum"]


def test_ties_are_all_best_whatever_the_order_of_adding() -> None:
    assert best([0.1 + 0.2, 0.3, 0.2]) == [0, 1] and best([-1.0, -1.0, 0.0]) == [2]
