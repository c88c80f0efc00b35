"""The published block of ICD scores is what the authors' evaluation gives, on completions of 22 kinds."""

import random

import pytest

from reward_fns.icd import icd10, published
from reward_fns.task import TASKS, Scope
from tests.support.eval_folders import scores_of
from tests.support.icd_folders import icd_folder
from tests.support.published import icd as published_icd


def cases(seed: int, many: int = 6000) -> tuple[list[str], list[str], list[str]]:
    """Completions, golds and labels: 400 codes over most chapters."""
    chance = random.Random(seed)
    labels = sorted(chance.sample([code for code in icd10.table().ordered if code[0] not in "UVWXY"], 400))
    golds, made = [], []
    while len(made) < many:
        gold = chance.choice(labels)
        more = published_icd.completions(gold, labels, chance)
        made, golds = made + more, golds + [gold] * len(more)
    return made, golds, labels


def test_every_completion_is_of_the_classes_of_the_authors_evaluation() -> None:
    completions, _, labels = cases(0)
    scope, (chapter, category, code) = Scope(labels=tuple(labels)), TASKS["icd"].published.levels
    seen = set()
    for completion in completions:
        text = published.answer(completion)
        assert text == published_icd.answer(completion), repr(completion)
        ours = {"chapter": chapter.label(text, scope), "category": category.label(text, scope)}
        theirs = published_icd.classes(text, [*labels, "NIL"])
        assert ours["chapter"] == theirs["chapter"], repr(completion)
        assert theirs["category"] in (ours["category"], "NIL") and theirs["code"] in (code.label(text, scope), "NIL")
        seen.add(theirs["chapter"])
    assert len(seen) >= 18


@pytest.mark.parametrize("many", [600, pytest.param(6000, marks=pytest.mark.slow)])
def test_the_published_block_has_the_scores_of_the_authors_evaluation(tmp_path, command, many: int) -> None:
    completions, golds, labels = cases(1, many)
    rows = [(i, gold, [said]) for i, (gold, said) in enumerate(zip(golds, completions, strict=True))]
    out = icd_folder(tmp_path / "g", rows, labels, raw=True)
    done = command("eval.score", "--generations", out)
    assert done.returncode == 0, done.stderr
    found = {name: row["value"] for name, row in scores_of(out)["published"].items()}
    assert found == pytest.approx(published_icd.scores(completions, golds, labels), abs=1e-12)


@pytest.mark.parametrize(
    ("text", "chapter"),
    [("", "1"), ("NIL", "14"), ("Diabetes", "3"), ("Heart failure", "8"), ("_I214", "21"), ("i214", "9"),
     ("U071", "22"), ("V01", "20"), ("N", "13"), ("{", None), ("é", None)],
)  # fmt: skip
def test_any_text_is_of_a_chapter_by_how_it_sorts(text: str, chapter: str | None) -> None:
    assert published.chapter(text) == chapter
