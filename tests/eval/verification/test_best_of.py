"""eval.best_of: exact expectations over subsets, facts counted, notes graded, chosen and drawn, bad input refused."""

import json
from itertools import combinations
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from common.files import sha256
from data_prep import parquet
from data_prep.synthetic import facts
from data_prep.synthetic.clinic import visits
from eval.scoring.intervals import Bootstrap
from eval.verification import chosen
from eval.verification.chosen import FACTS, ORACLE, PRM, RANDOM, Written
from reward_fns.clinical_note import tokens
from reward_fns.clinical_note.notes import positions
from reward_fns.clinical_note.written import strict, write
from tests.conftest import assert_refused, run_command
from tests.support import eval_folders
from tests.support.clinical.clinic import Clinic

N = 4


def by_hand(scores: list[float], values: list[float], size: int) -> float:
    """Every subset of that size; the notes with its highest score share the choice."""
    found = []
    for some in combinations(range(len(scores)), size):
        top = max(scores[at] for at in some)
        tied = [values[at] for at in some if scores[at] == top]
        found.append(sum(tied) / len(tied))
    return sum(found) / len(found)


@pytest.mark.parametrize(
    "scores", [[3, 1, 2, 0, 5], [1, 1, 1, 1, 1], [2, 2, 1, 1, 0], [0, 5, 5, 5, 1], [-1e9, -1e9, 0, 1, 0]]
)
def test_the_expectation_is_that_over_all_subsets(scores: list[float]) -> None:
    values = [0.9, 0.1, 0.4, 0.7, 0.3]
    found = chosen.expected(scores, values)
    assert found == pytest.approx([by_hand(scores, values, size) for size in range(1, 6)])
    assert found[0] == pytest.approx(sum(values) / 5)


def test_scores_that_differ_by_rounding_share_the_choice() -> None:
    assert chosen.expected([0.1 + 0.2, 0.3], [1.0, 0.0]) == [0.5, 0.5]


def test_facts_are_the_words_that_the_conversation_decides() -> None:
    every = [facts.gold(visit.note) for visit in visits(300, 0)]
    assert all(every) and all(facts.share(one, one) == 1 for one in every)
    note = next(visit.note for visit in visits(300, 0) if "left" in write(visit.note))
    gold, text = facts.gold(note), write(note)
    assert sum(fact.startswith("left: ") for fact in gold) == text.count("left")
    other = facts.said(strict(text.replace("left", "right")))
    assert facts.share(other, gold) == pytest.approx(1 - text.count("left") / len(gold))
    less, more = facts.said(note[:-1]), facts.said((*note, note[0]))
    assert facts.share(less, gold) == pytest.approx(len(less) / len(gold)) and facts.share(more, gold) < 1
    strange = strict(text.replace("1. ", "1. Not of the clinic, ", 1))
    assert facts.gold(strange) is None and facts.share(facts.said(strange), gold) < 1


def test_the_oracle_is_the_best_and_a_perfect_model_as_good_where_notes_differ_in_a_line() -> None:
    cases = []
    for visit in visits(12, 0):
        gold = write(visit.note)
        wrong = visit.note[0]._replace(title="Not of the clinic")
        notes = [(visit.note, 0.9), ((wrong, *visit.note[1:]), 0.2), (None, 0.0), (visit.note[1:], 0.5)]
        known = facts.gold(visit.note)
        cases.append(
            [
                Written(write(note) if note else "?", note, {PRM: [p] * len(positions(note or ()))}, gold, known)
                for note, p in notes
            ]
        )
    found = chosen.compare(cases, Bootstrap(50))[FACTS]
    curves = {rule: row["value"] for rule, row in found["curves"].items()}
    assert curves[ORACLE] == sorted(curves[ORACLE]) and curves[ORACLE][-1] == pytest.approx(1)
    assert curves["mean"] == pytest.approx(curves["reward"]) and curves["mean"][-1] == pytest.approx(1)
    assert curves[RANDOM] == pytest.approx([curves[RANDOM][0]] * N) and curves[RANDOM][0] < 0.75
    assert {round(row[0], 9) for row in curves.values()} == {round(curves[RANDOM][0], 9)}  # of one note, no choice
    gain = found["paired"]["mean - random"]
    assert gain["interval"][0] > 0 and gain["better"] == 12


@pytest.fixture(scope="module")
def sampled(clinic: Clinic, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Notes as a writer might sample them, in a folder as eval.generate leaves it: right, short, wrong, none."""
    data = clinic.data / "clinical_note/rl/test.parquet"
    rows = pq.read_table(data).to_pylist()
    cases = []
    for row in rows:
        gold = row["reward_model"]["ground_truth"]
        cases.append(
            (row["extra_info"]["subject_id"], gold, [gold, write(strict(gold)[:1]), "", gold.replace("e", "a")])
        )
    made_with = eval_folders.settings(data={"name": str(data), "sha256": sha256(data), "limit": None})
    out = tmp_path_factory.mktemp("sampled") / "notes"
    return eval_folders.folder(out, cases, made_with=made_with, source="clinical_note")


def words(sampled: Path, prm: Path, out: Path, *more: object) -> tuple[object, ...]:
    return ("eval.best_of", "--generations", sampled, "--prm", prm, "--out", out, *more)


def test_notes_are_graded_chosen_and_drawn(sampled: Path, prm: Path, tmp_path: Path) -> None:
    orm = tmp_path / "orm"
    orm.mkdir()
    for file in prm.iterdir():
        if file.is_file():
            (orm / file.name).write_bytes(file.read_bytes())
    said = json.loads((orm / tokens.FILE).read_text()) | {"graded": "end"}
    (orm / tokens.FILE).write_text(json.dumps(said))
    out = tmp_path / "out"
    done = run_command(*words(sampled, prm, out, "--orm", orm, "--bootstrap", 100))
    assert done.returncode == 0, done.stderr
    scores = json.loads((out / "best_of.json").read_text())
    assert scores["cases"] == 9 and scores["n"] == N and scores["unreadable"] == 9
    curves = scores["measures"][FACTS]["curves"]
    assert {"sum", "mean", "min", "end", "reward", "ORM", "longest text", RANDOM, ORACLE} <= set(curves)
    for row in curves.values():
        assert len(row["value"]) == len(row["interval"]) == N
        assert all(low <= value <= high for value, (low, high) in zip(row["value"], row["interval"], strict=True))
    assert curves[ORACLE]["value"][-1] == 1 and curves["ORM"] == curves["end"]  # the same weights
    assert (out / "best_of.png").stat().st_size > 10_000 and (out / "best_of.pdf").exists()
    assert "over random" in done.stdout
    report = run_command("eval.report", "--runs", f"tiny/1={out}", "--out", tmp_path / "report", "--figures")
    assert report.returncode == 0 and "over random" in report.stdout, report.stderr
    page = (tmp_path / "report/index.html").read_text()
    assert (tmp_path / "report/figures/best_of-1.png").exists() and "tiny/1: best of N notes" in page
    assert 'id="choice"' in page and 'id="verification"' not in page
    before = {part: part.stat().st_mtime_ns for part in out.rglob("part-*")}
    again = run_command(*words(sampled, prm, out, "--orm", orm, "--bootstrap", 100))
    assert again.stdout == done.stdout and "grading" not in again.stderr
    assert before == {part: part.stat().st_mtime_ns for part in out.rglob("part-*")}
    assert_refused(run_command(*words(sampled, orm, tmp_path / "x")), "give it as --orm")
    assert_refused(run_command(*words(sampled, prm, out, "--limit", 3)), "notes of other generations")
    (out / "best_of.json").write_text("{}")
    refused = run_command("eval.report", "--runs", out, "--out", tmp_path / "report")
    assert_refused(refused, "was not written by eval.best_of")


def test_bad_input_is_a_sentence(sampled: Path, prm: Path, clinic: Clinic, tmp_path: Path) -> None:
    out = tmp_path / "out"
    moved = ("--data", clinic.data / "clinical_note/rl/valid.parquet")
    assert_refused(run_command(*words(sampled, prm, out, *moved)), "is not the data file", "--data")
    assert_refused(run_command(*words(sampled, prm, out, "--data", tmp_path / "none")), "none", "--data")
    assert_refused(run_command(*words(tmp_path, prm, out)), "eval.generate")
    assert_refused(run_command(*words(sampled, clinic.model, out)), "no process reward model")
    assert_refused(run_command(*words(sampled, prm, out, "--bootstrap", 0)), "at least 1")
    data = clinic.data / "clinical_note/rl/test.parquet"
    made_with = eval_folders.settings(data={"name": str(data), "sha256": sha256(data), "limit": None})
    one = eval_folders.folder(tmp_path / "one", [(1, "x", ["a"])], made_with=made_with, source="clinical_note")
    assert_refused(run_command(*words(one, prm, out)), "--n 2 or more")
    other = tmp_path / "other.parquet"
    row = pq.read_table(data).to_pylist()[0]
    parquet.write([row | {"extra_info": {name: row["extra_info"][name] for name in parquet.INFO}}], other)
    made_with = eval_folders.settings(data={"name": str(other), "sha256": sha256(other), "limit": None})
    plain = eval_folders.folder(tmp_path / "plain", [(1, "x", ["a", "b"])], made_with=made_with)
    assert_refused(run_command(*words(plain, prm, out)), "holds no dialogues", "data_prep.clinical_notes")
    assert not out.exists()
