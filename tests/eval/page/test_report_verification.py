"""Verifications in the report: tables, notes by position, and texts on request alone."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from data_prep.clinical import graded
from eval.page.verifications import figures, graded_notes, read_verification
from tests.conftest import assert_refused, run_command
from tests.support.clinical.clinic import Clinic
from tests.support.report_pages import Opened, Page

HOSTILE = "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 2'>"


@pytest.fixture(scope="module")
def verified(clinic: Clinic, prm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("verified") / "out"
    done = run_command("eval.prm", "--data", clinic.test, "--model", prm, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def reported(out: Path, *words: object) -> tuple[Page, str, str]:
    """The page, its text, and what the command said on stderr."""
    done = run_command("eval.report", *words, "--out", out)
    assert done.returncode == 0, done.stderr
    return Page(out / "index.html"), (out / "index.html").read_text(encoding="utf-8"), done.stderr


def embedded(text: str) -> list[dict[str, Any]]:
    return json.loads(re.findall(r'id="note-data">([^<]*)<', text)[0])


def test_the_page_has_the_scores_and_the_labels_by_error(verified: Path, tmp_path: Path) -> None:
    page, text, _ = reported(tmp_path / "report", "--runs", f"tiny={verified}", "--figures")
    scores = json.loads((verified / "scores.json").read_text())
    rows = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in page.rows}
    for name in ("mean", "end", "most labels", "chance"):
        assert rows[name][0].split()[0] == f"{100 * scores['accuracy'][name]['value']:.1f}" and "[" in rows[name][0]
    for name in ("factual", "hallucination", "unhelpful", "step +", "step -"):
        cell = scores["positions"]["recall"][name]
        low, high = (f"{100 * bound:.1f}" for bound in cell["interval"])
        assert rows[name] == [f"{cell['n']:,}", f"{100 * cell['value']:.1f} [{low}, {high}]"]
    assert re.findall(r'id="figure-([^"]+)"', text) == ["verification-1"]
    assert {path.name for path in (tmp_path / "report/figures").iterdir()} == {
        "verification-1.png", "verification-1.pdf",
    }  # fmt: skip


def test_without_embedding_positions_have_a_kind_and_a_number_and_no_text(
    verified: Path, clinic: Clinic, tmp_path: Path
) -> None:
    _, text, said = reported(tmp_path / "report", "--runs", verified)
    rows = graded.read(clinic.test)
    for row in rows[:8]:
        assert row["case"] not in text and row["dialogue"][:40] not in text and "warning:" not in said
        assert not any(position.text in text for position in row["positions"] if len(position.text) > 20)
    (found,) = embedded(text)
    assert len(found["cases"]) == found["total"] == 9 and len(found["cases"][0]["notes"]) == 4
    names = [position[0] for position in found["cases"][0]["notes"][0]["positions"]]
    assert names[:2] == ["problem 1, title", "problem 1, step 1"] and names[-2:] == ["all problems", "the whole note"]
    assert names.count("problem 2, complete") == 1 and not any(
        position[4] for case in found["cases"] for note in case["notes"] for position in note["positions"]
    )


def test_grades_labels_and_texts_are_those_of_the_files(verified: Path, clinic: Clinic, tmp_path: Path) -> None:
    _, text, said = reported(tmp_path / "report", "--runs", verified, "--embed-notes", "--data", clinic.data)
    assert "warning:" in said and "of 9 cases" in said
    rows = iter(graded.read(clinic.test))
    for case in embedded(text)[0]["cases"]:
        for note in case["notes"]:
            row = next(rows)
            assert (case["id"], case["dialogue"]) == (row["case"], row["dialogue"]) and note["best"] == row["best"]
            columns = list(zip(*note["positions"], strict=True))
            assert list(columns[2]) == [position.label for position in row["positions"]]
            assert list(columns[3]) == row["causes"]
            assert list(columns[4]) == [position.text for position in row["positions"]]
            assert all(0 <= p <= 1 for p in columns[1])


def test_a_sample_of_the_cases_is_drawn_and_said(verified: Path, tmp_path: Path) -> None:
    page, text, _ = reported(tmp_path / "report", "--runs", verified, "--cases", 4)
    assert len(embedded(text)[0]["cases"]) == 4 and "a random sample of 4 of 9 cases" in page.words
    _, text, _ = reported(tmp_path / "none", "--runs", verified, "--cases", 0)
    assert "note-data" not in text and "Verification of notes" in text


def test_a_set_without_labels_has_no_figure_of_errors(verified: Path) -> None:
    one = read_verification("a", verified)
    one.scores["positions"].clear()
    assert figures([one]) == [] and graded_notes(one, 2)["total"] == 9


def test_what_is_no_verification_of_now_is_a_sentence(verified: Path, clinic: Clinic, tmp_path: Path) -> None:
    for name in ("scores.json", "per_case.parquet"):
        shutil.copytree(verified, tmp_path / name)
        (tmp_path / name / name).write_text("{}")
        words = ("--runs", tmp_path / name, "--out", tmp_path / "out")
        assert_refused(run_command("eval.report", *words), "no finished verification of this version")
    words = ("--runs", verified, "--out", tmp_path / "out", "--embed-notes", "--data", clinic.train)
    assert_refused(run_command("eval.report", *words), "the notes of", "give that file or its folder as --data")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_note_is_shown_coloured_by_its_grades_the_lowest_first(
    browser: Any, clinic: Clinic, prm: Path, tmp_path: Path
) -> None:
    """One position of the first note is hostile: its text is shown letter by letter and runs nothing."""
    import pyarrow.parquet as pq

    from data_prep import parquet

    rows = pq.read_table(clinic.test).to_pylist()
    rows[0]["positions"][1]["text"] = HOSTILE
    parquet.write(rows, tmp_path / "hostile.parquet", graded.NOTES)
    words = ("--data", tmp_path / "hostile.parquet", "--model", prm, "--out", tmp_path / "verified")
    assert run_command("eval.prm", *words).returncode == 0
    reported(tmp_path / "report", "--runs", f"<b>tiny</b>={tmp_path / 'verified'}", "--embed-notes")
    opened = Opened(browser, tmp_path / "report/index.html", 800, "[data-at=notes]:not([hidden])")
    page, shown = opened.page, opened.at("graded")
    assert opened.said == [] and page.evaluate("document.documentElement.scrollWidth") <= 800
    first = shown.locator("details.sample").first
    assert first.evaluate("node => node.open") and "the best one" in first.locator("summary").inner_text()
    grades = [float(cell) for cell in first.locator("tbody td:nth-child(2)").all_inner_texts()]
    assert grades == sorted(grades) and len(grades) == len(rows[0]["positions"])
    assert f"lowest {grades[0]:.3f}" in first.locator("summary").inner_text()
    colour = "node => getComputedStyle(node).backgroundColor"
    cells = first.locator("tbody td:nth-child(1)")
    assert len({cells.nth(at).evaluate(colour) for at in (0, len(grades) - 1)}) == 2 or grades[0] == grades[-1]
    opened.at("order").select_option("note")
    assert first.locator("tbody td:nth-child(1)").first.inner_text() == "problem 1, title"
    assert first.locator("bdi").nth(1).evaluate("node => node.textContent") == HOSTILE
    opened.at("case").select_option(index=3)
    assert rows[12]["dialogue"] == shown.locator("pre").evaluate("node => node.textContent")
    assert page.evaluate("window.broken") is None and page.locator("img").count() == 0 and opened.said == []
