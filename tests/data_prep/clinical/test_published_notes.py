"""The authors' own files, all of them: their notes go to text and back, their labels follow from their records.

They run where the folder is given: make test-full PRM_CLINIC=DIR
"""

import csv
import gzip
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from data_prep.clinical import published
from data_prep.clinical.graded import Graded
from reward_fns.clinical_note import tokens, written
from reward_fns.clinical_note.alterations import apply, labels
from reward_fns.clinical_note.notes import PROBLEM, RIGHT, STEP, note_of, positions
from reward_fns.clinical_note.scores import AGGREGATIONS, best
from tests.support.clinical import reference

GIVEN = os.environ.get("PRM_CLINIC", "")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not GIVEN, reason="PRM_CLINIC names no folder of published files")]
SOURCES = {"A_Verify": (80, 612), "A_Validate": (20, 155), "Dialogue_G": (80, 613)}


@pytest.fixture(scope="module")
def folder() -> Path:
    return published.folder(Path(GIVEN))


@pytest.fixture(scope="module")
def raw(folder: Path) -> dict[str, list[dict[str, Any]]]:
    names = {"train": published.TRAIN["gold"], "gold": published.TASKS["gold"], "errors": published.TASKS["errors"]}
    return {key: json.loads(gzip.decompress((folder / name).read_bytes())) for key, name in names.items()}


@pytest.fixture(scope="module")
def notes(folder: Path) -> dict[str, list[Graded]]:
    return {kind: list(published.notes(folder / name)) for kind, name in published.TASKS.items()}


def test_counts_are_those_of_the_paper(raw: dict[str, list[dict[str, Any]]], folder: Path) -> None:
    train = raw["train"]
    assert Counter(case["Data_source"] for case in train) == {"Dialogue_G": 1205, "ACIBENCH_train": 67}
    kinds = Counter(
        one.kind for note in published.notes(folder / published.TRAIN["gold"]) for one in positions(note.note)
    )
    assert (kinds[PROBLEM], kinds[STEP], sum(kinds.values())) == (4181, 14141, 25047)
    for at, side in enumerate(("gold", "errors")):
        found = Counter(case["Data_source"] for case in raw[side])
        assert found == {name: both[at] for name, both in SOURCES.items()}


@pytest.mark.parametrize("side", ["train", "gold", "errors"])
def test_every_note_goes_from_json_to_text_and_back(side: str, raw: dict[str, list[dict[str, Any]]]) -> None:
    for case in raw[side]:
        one = published.from_json(case)
        graded = positions(one.note, one.labels)
        text = tokens.render(graded, tokens.PUBLISHED)
        assert reference.text_follows_grammar(text)
        back = tokens.read(text, tokens.PUBLISHED)
        again = note_of(back, one.removed)
        said = published.to_json(again, [position.label for position in back])
        assert said == {name: case[name] for name in said}


def test_labels_follow_from_the_records(raw: dict[str, list[dict[str, Any]]]) -> None:
    for case in raw["gold"] + raw["errors"]:
        one = published.from_json(case)
        ours = labels(one.note, one.altered, one.removed)
        assert ours == reference.labels(case) and ours[:-1] == reference.stated(case)
    minus = Counter(label for case in raw["errors"] for label in reference.labels(case))
    assert minus == {"-": 7363, "+": 17865}


def test_the_records_applied_to_the_gold_note_give_the_altered_one(notes: dict[str, list[Graded]]) -> None:
    gold = {one.case: one.note for one in notes["gold"]}
    for one in notes["errors"]:
        assert apply(gold[one.case], one.altered, one.removed) == one.note


def test_all_texts_of_a_prefer_follow_the_grammar(folder: Path) -> None:
    csv.field_size_limit(10**9)
    with open(folder / published.PREFERRED["notes"], newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = list(published.preferences(folder))
    assert len(rows) == len(found) == 240 and sum(best for _, best in found) == 80
    for row, (one, _) in zip(rows, found, strict=True):
        assert reference.text_follows_grammar(row["Training_note"])
        assert row["Training_note"].endswith(tokens.render(positions(one.note), tokens.PUBLISHED))
        assert one.dialogue in row["Training_note"]
    chosen = Counter(one.sample for one, best in found if best)
    assert chosen == {1: 30, 2: 27, 3: 23}


@pytest.mark.parametrize(
    ("right", "wrong", "percent"), [(1.0, 0.0, [100, 100, 100, 100]), (0.8, 0.5, [61, 100, 100, 100])]
)
def test_the_choice_by_labels_that_are_right(
    right: float, wrong: float, percent: list[int], notes: dict[str, list[Graded]]
) -> None:
    """Even so the published sum misses gold where an altered note has fewer positions: its log p(+) adds up to less."""
    cases: dict[str, list[Graded]] = {}
    for one in notes["gold"] + notes["errors"]:
        if one.case.startswith("A_Verify") or right == 1:
            cases.setdefault(one.case, []).append(one)
    for name, wanted in zip(AGGREGATIONS, percent, strict=True):
        hits = 0.0
        for group in cases.values():
            scores = []
            for one in group:
                graded = positions(one.note, one.labels)
                shares = [right if position.label == RIGHT else wrong for position in graded]
                scores.append(AGGREGATIONS[name]([position.kind for position in graded], shares))
            places = best(scores)
            hits += (0 in places) / len(places)
        assert len(cases) == (180 if right == 1 else 80) and round(100 * hits / len(cases)) == wanted, name


def test_written_notes_are_read_again(folder: Path) -> None:
    """A step of several sentences is read as several: nothing in the text says that it is one."""
    same = strictly = steps = read = 0
    for one in published.notes(folder / published.TRAIN["gold"]):
        text = written.write(one.note)
        note, also = written.strict(text), written.lenient(text)
        strictly += 1
        same += note == also
        assert [problem.title for problem in note] == [problem.title for problem in one.note]
        for problem, other in zip(one.note, note, strict=True):
            steps += len(problem.steps)
            read += len({s.text for s in problem.steps} & {s.text for s in other.steps})
    print(f"{strictly} notes, {same} alike in both, {read} of {steps} steps")
    assert same == strictly and read >= 0.96 * steps
