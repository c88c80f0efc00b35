"""eval.report through the command: a page that needs nothing else, and its tables of evaluations."""

import json
import re
from pathlib import Path

import pytest

from tests.conftest import assert_refused
from tests.support.eval_folders import CASES, SECRET, folder, say, scored, scores_of
from tests.support.icd_folders import icd_folder
from tests.support.report_pages import STEP, Page, training


@pytest.fixture
def runs(tmp_path, command) -> tuple[Path, Path]:
    right = [(patient, gold, [say(gold)] * 4) for patient, gold, _ in CASES]
    return scored(command, folder(tmp_path / "before")), scored(command, folder(tmp_path / "after", right))


def test_the_page_needs_no_network_and_holds_no_completion(tmp_path, command, runs):
    grpo = training(tmp_path / "grpo", [(step, STEP) for step in range(1, 6)])
    done = command("eval.report", "--runs", *runs, grpo, "--out", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    page = Page(tmp_path / "report" / "index.html")
    assert all(value.startswith(("#", "https://arxiv.org/abs/")) for value in page.fetched)  # the papers, to click on
    assert not {"link", "iframe", "img", "object", "form"} & set(page.tags)
    text = (tmp_path / "report" / "index.html").read_text()
    assert not re.search(r"url\((?!#)|@import", text)
    assert SECRET not in text and "hadm_id" not in text.split('id="case-data"')[1].split("</script>")[0]
    drawn = set(re.findall(r'<figure class="[^"]*" id="figure-([^"]+)"><svg', text))
    training_curves = {"reward", "format", "accuracy", "zero_variance", "length", "kl", "agreement"}
    assert drawn == {f"training-{key}" for key in training_curves} | {
        *("accuracy-drg", "classes-drg", "confusion-drg-1", "sft-cases", "sft-share")
    }
    assert not list((tmp_path / "report").glob("figures"))


def test_page_and_terminal_show_the_scores_and_the_paired_difference(tmp_path, command, runs):
    before, after = runs
    done = command("eval.report", "--runs", f"old={before}", f"new={after}", "--out", tmp_path / "report")
    low, high = (100 * bound for bound in scores_of(before)["metrics"]["drg/pass@1"]["interval"])
    page = Page(tmp_path / "report" / "index.html")
    rows = {name: next(row for row in page.rows if row[0].startswith(f"{name} ")) for name in ("old", "new - old")}
    rows["new"] = next(row for row in page.rows if row[0].startswith("new 4 cases"))
    assert rows["old"][1].split() == ["18.8", f"[{low:.1f},", f"{high:.1f}]"]  # 3 of 16 samples, see test_eval_score
    assert rows["new"][1].split()[0] == "100.0"
    assert rows["new - old"][1].split()[0] == "+81.2"
    assert "p 0.12" in rows["new - old"][1]  # 2 x (1/2)^4
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["percent", "Pass@1", "Pass@4", "Maj@4"]
    assert lines[1] == ["DRG"] and lines[2][:2] == ["old", "18.8"] and lines[4][:4] == ["new", "-", "old", "+81.2"]
    assert done.stdout.splitlines()[-1] == str(tmp_path / "report" / "index.html")


def test_other_cases_have_no_paired_difference(tmp_path, command, runs):
    other = scored(command, folder(tmp_path / "other", CASES[:3]))
    command("eval.report", "--runs", runs[0], other, "--out", tmp_path / "report")
    assert not any(" - " in row[0] for row in Page(tmp_path / "report" / "index.html").rows)


def test_names_are_shown_as_text(tmp_path, command, runs):
    named = (f"<b>1 & 2</b>={runs[0]}", f"_old $\\frac$={runs[1]}")
    done = command("eval.report", "--runs", *named, "--out", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    page = Page(tmp_path / "report" / "index.html")
    assert "b" not in page.tags
    assert page.words.count("_old $\\frac$") > 3  # in figures, too: no formula, and not left out


def test_what_cannot_be_shown_is_refused(tmp_path, command, runs):
    empty, broken = tmp_path / "empty", training(tmp_path / "broken", [(1, STEP)], tail="oops\n{}\n")
    empty.mkdir()
    for run, said in (
        (tmp_path / "nowhere", "does not exist"),
        (empty, "neither scores.json (an evaluation) nor metrics.jsonl"),
        (folder(tmp_path / "unscored"), "run `python -m eval.score --generations"),
        (broken, "line 2 is no row"),
        (training(tmp_path / "early", []), "has no training step yet"),
    ):
        assert_refused(command("eval.report", "--runs", run, "--out", tmp_path / "report"), said)
    assert_refused(
        command("eval.report", "--runs", runs[0], "--out", empty / "f", "--cases", "-1"), "--cases must be 0"
    )
    assert_refused(command("eval.report", "--runs", runs[0], "--out", runs[0] / "run.json"), "is a file")
    assert_refused(command("eval.report", "--runs", runs[0], "--out", empty / "r", "--data", empty / "no"), "not exist")
    assert not (tmp_path / "report").exists() and not list(empty.iterdir())


def test_prepared_data_are_described(tmp_path, command, runs, world):
    done = command("eval.report", "--runs", runs[0], "--out", tmp_path / "report", "--data", world.data / "drg")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((world.data / "drg" / "manifest.json").read_text())
    rows = {
        row[0].strip(): [cell.strip() for cell in row] for row in Page(tmp_path / "report" / "index.html").rows if row
    }
    for name, file in manifest["files"].items():
        assert rows[name][1] == f"{file['rows']:,}"
    for step in manifest["filters"]:
        assert rows[step["name"]][1:3] == [f"{step['before']:,}", f"{step['after']:,}"]


def test_icd_runs_are_shown_with_macro_averages_and_chapters(tmp_path, command):
    answers = [("I214", "I214"), ("I509", "I214"), ("E119", "E1165"), ("J189", "x")]
    cases = [(i, gold, [said]) for i, (gold, said) in enumerate(answers)]
    out = scored(command, icd_folder(tmp_path / "icd", cases, ["I214", "I509", "E119", "J189"]))
    done = command("eval.report", "--runs", f"table3/qwen7b={out}", "--out", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["percent", "recall", "precision", "F1"] and lines[1] == ["chapter"]
    text = (tmp_path / "report" / "index.html").read_text()
    assert {"figure-accuracy-icd", "figure-classes-icd", "figure-confusion-icd-1"} <= set(
        re.findall(r'id="([^"]+)"', text)
    )
    paper = next(
        row for row in Page(tmp_path / "report" / "index.html").rows if row[0].startswith("Qwen2.5-7B-Instruct")
    )
    assert "39.0" in [cell.strip() for cell in paper] and "unknown data" in paper[0]
