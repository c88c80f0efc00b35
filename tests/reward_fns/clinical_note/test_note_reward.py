"""The reward of a written note: what its format and its positions earn, and that to leave something out never pays."""

import random
from collections.abc import Sequence

import pytest

from data_prep.synthetic.clinic import visits
from reward_fns.clinical_note.alterations import Altered, Removed, apply, labels, units
from reward_fns.clinical_note.notes import Note, Problem, Step, positions
from reward_fns.clinical_note.reward import components
from reward_fns.clinical_note.scores import AGGREGATIONS
from reward_fns.clinical_note.written import strict, write

GOLD: Note = (
    Problem(1, "Asthma", (Step(1, "Assessment: She wheezes."), Step(2, "No fever."), Step(3, "Plan: Albuterol."))),
    Problem(2, "Sprain", (Step(1, "Assessment: It is swollen."), Step(2, "Plan: Rest."))),
)


def worth(note: Note, said: Sequence[str], gold: Note = GOLD, right: float = 1.0, wrong: float = 0.0) -> float:
    """What a note with these labels earns from a model that is always right, and so sure."""
    shares = [right if label == "+" else wrong for label in said]
    return components(positions(note), shares, positions(gold))["note"]


def lacking(gone: Sequence[Removed], altered: Sequence[Altered] = (), gold: Note = GOLD) -> tuple[Note, list[str]]:
    """The gold note without these, and its labels."""
    note = apply(gold, altered, gone)
    return note, labels(note, altered, gone)


def test_the_table_of_the_docstring_is_true() -> None:
    assert worth(GOLD, "+" * 11) == 1
    changed = [Altered(1, 2, "factual", "No fever.", "Fever.")]
    assert worth(*lacking([], changed)) == pytest.approx(0.8)
    more = (GOLD[0]._replace(steps=(*GOLD[0].steps, Step(4, "She has a fever."))), GOLD[1])
    assert worth(more, "++++-+++++++"[:12]) == pytest.approx(9 / 11)
    twice = (GOLD[0]._replace(steps=(*GOLD[0].steps, Step(4, "No fever."))), GOLD[1])
    assert worth(twice, "+" * 12) == pytest.approx(10 / 11)
    assert worth(*lacking([Removed(1, 2)])) == pytest.approx(0.7)
    assert worth(*lacking([Removed(2, 0)])) == pytest.approx(0.4)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("sure", [(1.0, 0.0), (0.8, 0.5), (0.9, 0.3)])
def test_to_leave_out_what_is_right_never_raises_the_reward(seed: int, sure: tuple[float, float]) -> None:
    """Steps and problems go one after the other, in any order, from right notes and from notes with a changed line."""
    rng, gold = random.Random(seed), next(visit.note for visit in visits(seed + 1, 7) if visit.number == seed)
    there = units(gold)
    wrong = rng.choice(list(there)) if seed % 2 else (0, 0)  # a note with a line that is wrong: it and its title stay
    changed = [Altered(*wrong, "factual", there[wrong], f"{there[wrong]} not")] if seed % 2 else []
    order = [Removed(*unit) for unit in there if unit not in (wrong, (wrong[0], 0))]
    rng.shuffle(order)
    gone: list[Removed] = []
    values = [worth(*lacking(gone, changed, gold), gold, *sure)]
    for one in order:
        if Removed(one.problem, 0) not in gone:
            gone.append(one)
            values.append(worth(*lacking(gone, changed, gold), gold, *sure))
            assert values[-1] <= values[-2] + 1e-12, gone
    assert values[-1] < values[0]


def test_to_say_a_problem_again_pays_nothing_even_where_room_is_left() -> None:
    note, said = lacking([Removed(2, 0)])
    twice = (*note, Problem(2, *note[0][1:]))
    count = len(positions(note)) - 2  # before the completeness of the note and its end
    assert worth(twice, [*said[:count], *"+" * count, *said[count:]]) <= worth(note, said)


def test_the_published_sum_pays_for_what_is_left_out_and_this_reward_does_not() -> None:
    """With a model that is right but soft, a note without its second problem has the higher sum of log p(+)."""
    note, said = lacking([Removed(2, 0)])
    found = {}
    for name, (one, of) in {"gold": (GOLD, ["+"] * 11), "less": (note, said)}.items():
        kinds = [position.kind for position in positions(one)]
        found[name] = AGGREGATIONS["sum"](kinds, [0.8 if label == "+" else 0.7 for label in of])
    assert found["less"] > found["gold"]
    assert worth(note, said, right=0.8, wrong=0.7) < worth(GOLD, "+" * 11, right=0.8, wrong=0.7)


def test_gold_notes_of_the_clinic_are_in_the_form_that_the_reward_takes() -> None:
    for visit in visits(200, 3):
        assert strict(write(visit.note)) == visit.note
