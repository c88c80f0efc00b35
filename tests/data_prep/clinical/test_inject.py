"""Wrong notes made of right ones: labels that follow from the records, rates as published, nothing lost or doubled."""

import asyncio
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from statistics import median

import pytest

from data_prep.clinical import graded, published
from data_prep.clinical.graded import Graded
from data_prep.clinical.inject import injected
from data_prep.clinical.rewrite import tidy
from data_prep.clinical.rules import Rules, changed, plain
from data_prep.synthetic.clinic import visits
from reward_fns.clinical_note.alterations import TITLE, labels
from reward_fns.clinical_note.notes import Problem, positions
from tests.conftest import ROOT, assert_refused, run_command
from tests.reward_fns.clinical_note.test_notes import as_published
from tests.support.clinical import reference
from tests.support.clinical.clinic import Clinic
from tests.support.clinical.rewriter import rewriter


@pytest.fixture(scope="module")
def golds() -> list[Graded]:
    return [Graded(f"v{v.number}", None, v.dialogue, v.note, [""] * len(positions(v.note))) for v in visits(400, 3)]


@pytest.fixture(scope="module")
def made(golds: list[Graded]) -> tuple[list[Graded], Counter[str]]:
    return injected(golds, Rules(golds), samples=7, seed=0)


def test_labels_of_made_notes_are_those_of_the_second_writing_of_the_rules(
    made: tuple[list[Graded], Counter[str]],
) -> None:
    assert len(made[0]) == 2800
    for one in made[0]:
        records = as_published(one.note, one.altered, one.removed)
        assert one.labels == labels(one.note, one.altered, one.removed) == reference.labels(records)
        assert published.to_json(one.note, one.labels)["Problems"] is not None and "-" in one.labels


def test_what_is_altered_and_removed_comes_as_often_as_published(
    made: tuple[list[Graded], Counter[str]], golds: list[Graded]
) -> None:
    notes, count = made
    numbers = Counter(len(one.altered) for one in notes)
    assert set(numbers) <= {1, 2, 3, 4, 5} and abs(numbers[3] / len(notes) - 0.419) < 0.05
    assert all(len({(a.problem, a.step) for a in one.altered}) == len(one.altered) for one in notes)
    kinds = {kind: count[kind] / sum(count[k] for k in ("factual", "hallucination", "unhelpful")) for kind in count}
    assert all(0.25 < kinds[kind] < 0.42 for kind in ("factual", "hallucination", "unhelpful")), kinds
    short = sum(any(one.step != TITLE for one in each.removed) for each in notes) / len(notes)
    gone = sum(any(one.step == TITLE for one in each.removed) for each in notes) / len(notes)
    assert 0.5 < short < 0.64 and abs(gone - 0.187) < 0.03
    for each in notes:
        rewritten = {(a.problem, a.step) for a in each.altered}
        assert not rewritten & {(one.problem, one.step) for one in each.removed if one.step != TITLE}
    ratios: dict[str, list[float]] = {}
    for each in notes:
        for a in each.altered:
            assert a.before.lower().split() != a.after.lower().split()
            ratios.setdefault(a.kind, []).append(len(a.after.split()) / len(a.before.split()))
    assert median(ratios["factual"]) == 1 and median(ratios["unhelpful"]) < 1 < median(ratios["hallucination"])


def test_what_is_made_up_stands_nowhere_in_the_case(made: tuple[list[Graded], Counter[str]], golds: list) -> None:
    texts = {gold.case: {text.text for text in positions(gold.note)} for gold in golds}
    for one in made[0]:
        for a in (a for a in one.altered if a.kind == "hallucination"):
            assert a.after not in texts[one.case]


def test_a_changed_fact_of_the_clinic_shows_beside_the_conversation_alone(
    made: tuple[list[Graded], Counter[str]], golds: list[Graded]
) -> None:
    """What a fact is changed to is said of other cases, about as often as what it was."""
    before, after = Counter[str](), Counter[str]()
    for a in (a for one in made[0] for a in one.altered if a.kind == "factual"):
        (pair,) = ((x, y) for x, y in zip(a.before.split(), a.after.split(), strict=True) if x != y)
        before.update([pair[0].strip(".")])
        after.update([pair[1].strip(".")])
    assert before.keys() == after.keys() and len(before) > 20
    for word, count in before.items():
        assert abs(count - after[word]) < 4 * (count + after[word]) ** 0.5, (word, count, after[word])


def test_the_same_seed_makes_the_same_notes(golds: list[Graded]) -> None:
    first, again, other = (injected(golds[:40], Rules(golds), 2, seed)[0] for seed in (5, 5, 6))
    assert first == again != other


@pytest.mark.parametrize(
    ("text", "may"),
    [
        ("Plan: Take 10 mg daily.", {"Plan: Take 20 mg daily.", "Plan: Take 5 mg daily.", "Plan: Take 11 mg daily.",
                                     "Plan: Take 12 mg daily.", "Plan: Take 13 mg daily.", "Plan: Take 10 mg weekly."}),
        ("Left hip", {"Right hip"}),
        ("Assessment: Denies fever.", {"Assessment: Reports fever."}),
        ("Nothing here", {None}),
        ("Assessment: Assessment", {None}),
    ],
)  # fmt: skip
def test_one_fact_changes_and_nothing_else(text: str, may: set[str | None]) -> None:
    assert {changed(text, random.Random(seed)) for seed in range(200)} == may


def test_a_note_of_one_line_can_be_altered_and_one_without_any_rule_cannot_be_factually_wrong() -> None:
    note = (Problem(1, "Rest", ()),)
    gold = Graded("a", None, "d", note, [""] * 4)
    (one,), count = injected([gold], Rules([gold]), 1, 0)
    assert [a.kind for a in one.altered] == ["unhelpful"] and count["unhelpful"] == 1
    assert asyncio.run(Rules([gold])("factual", gold, (1, 0), random.Random(0))) is None


@pytest.mark.parametrize("name", ["train", "test"])
def test_what_is_made_up_comes_from_notes_of_the_same_set(name: str, clinic: Clinic) -> None:
    rows = graded.read(clinic.data / f"clinical_note/{name}.parquet")
    own = {plain(position.text) for row in rows if row["best"] for position in row["positions"]}
    made = [a for row in rows for a in row["altered"] if a["kind"] == "hallucination" and a["step"] != TITLE]
    for a in made:
        assert a["after"].removeprefix(a["before"]).strip() in own or plain(a["after"]) in own, a
    assert made


@pytest.mark.parametrize(
    ("answer", "text", "line"),
    [
        ("Plan: Rest.", "Plan: Walk.", "Plan: Rest."),
        ("Rest.", "Plan: Walk.", "Plan: Rest."),
        ('"Rest."', "Walk.", "Rest."),
        ("walk.", "Walk.", None),
        ("  Walk. ", "Walk.", None),
        ("", "Walk.", None),
        ("Plan:", "Plan: Walk.", None),
        ("Rest.\nHere is why.", "Walk.", None),
        ("word " * 60, "Walk.", None),
    ],
)
def test_an_answer_of_a_model_is_one_other_line_or_of_no_use(answer: str, text: str, line: str | None) -> None:
    assert tidy(answer, text) == line


def prepare(dialogues: Path, out: Path, url: str) -> list[str]:
    words = ["--dialogues", str(dialogues), "--out", str(out), "--inject", url, "--model", "m"]
    return [*words, "--samples", "2", "--concurrency", "4"]


def test_a_killed_injection_goes_on_without_a_doubled_or_lost_note(clinic: Clinic, tmp_path: Path) -> None:
    with rewriter(pause=0.01) as server:
        words = prepare(clinic.dialogues, tmp_path, server.url)
        running = subprocess.Popen(
            [sys.executable, "-m", "data_prep.clinical_notes", *words], cwd=ROOT, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            lines = [line for file in tmp_path.glob("*_injected/*.jsonl") for line in file.read_text().splitlines()]
            if len(lines) >= 12:
                break
            time.sleep(0.005)
        running.send_signal(signal.SIGKILL)
        running.wait()
        assert not (tmp_path / "clinical_note").exists()
        journals = sorted(tmp_path.glob("*_injected/*.jsonl"), key=lambda file: file.stat().st_mtime)
        before = sum(journal.read_text().count("\n") for journal in journals)
        with open(journals[-1], "a") as file:
            file.write('["train/0", 1, [[')  # torn, as a kill may leave it
        done = run_command("data_prep.clinical_notes", *words)
        assert done.returncode == 0, done.stderr
        lines = [line for file in tmp_path.glob("*_injected/*.jsonl") for line in file.read_text().splitlines()]
        keys = [tuple(json.loads(line)[:2]) for line in lines]
        assert len(keys) == len(set(keys)) == 120 and 12 <= before < 120
        manifest = json.loads((tmp_path / "clinical_note/manifest.json").read_text())
        kept = sum(of["kept from before"] for of in manifest["injected"].values())
        assert kept == before and manifest["counts"]["train wrong notes"]["ours"] == 96
        asked = len(server.asked)
        again = run_command("data_prep.clinical_notes", *words)
        assert again.returncode == 0 and len(server.asked) == asked  # nothing is asked for twice
    whole = (tmp_path / "clinical_note/train.parquet").read_bytes()
    with rewriter() as server:
        assert (
            run_command("data_prep.clinical_notes", *prepare(clinic.dialogues, tmp_path / "b", server.url)).returncode
            == 0
        )
    assert (tmp_path / "b/clinical_note/train.parquet").read_bytes() == whole


def test_lines_that_a_model_leaves_as_they_are_count_as_none(tmp_path: Path) -> None:
    few = tmp_path / "dialogues"  # each line is asked for again and again
    assert run_command("data_prep.synthesize", "--out", few, "--dialogues", 20).returncode == 0
    with rewriter() as server:
        server.same = True
        done = run_command("data_prep.clinical_notes", *prepare(few, tmp_path, server.url), "--samples", 1)
    assert done.returncode == 0, done.stderr
    count = json.loads((tmp_path / "clinical_note/manifest.json").read_text())["injected"]["train"]
    assert not {"factual", "hallucination", "unhelpful"} & count.keys() and count["notes that could not be altered"] > 0


def test_a_server_that_is_gone_or_elsewhere_is_a_sentence(clinic: Clinic, tmp_path: Path) -> None:
    words = prepare(clinic.dialogues, tmp_path, "http://192.0.2.1:9/v1")
    assert_refused(
        run_command("data_prep.clinical_notes", *words), "--inject http://192.0.2.1:9/v1", "not on this machine"
    )
    assert_refused(run_command("data_prep.clinical_notes", *words[:6]), "--model NAME")
    for word in ("rulez", "localhost:8000/v1"):
        done = run_command("data_prep.clinical_notes", *prepare(clinic.dialogues, tmp_path, word)[:6])
        assert_refused(done, f"--inject {word} is neither rules nor an http(s) URL")
