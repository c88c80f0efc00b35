"""eval.report through the command: one page that needs nothing else, and the same numbers in the terminal."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.conftest import assert_refused
from tests.test_eval_score import CASES, SECRET, folder, say, scores_of

STEP = {
    "critic/score/mean": -1.5,
    "response_length/mean": 80.0,
    "actor/kl_loss": 0.001,
    "training/rollout_actor_probs_pearson_corr": 0.998,
}


def training(out: Path, rows: list[tuple[int, dict]], tail: str = "") -> Path:
    """A training run folder: what verl's file logger and the launcher write."""
    out.mkdir()
    lines = [json.dumps({"step": step, "data": data}) + "\n" for step, data in rows]
    (out / "metrics.jsonl").write_text("".join(lines) + tail)
    (out / "run.json").write_text(json.dumps({"recipe": "drg_sapphire/strict", "commit": "0123abc", "overrides": []}))
    return out


@pytest.fixture
def runs(tmp_path, command) -> tuple[Path, Path]:
    before = folder(tmp_path / "before")
    after = folder(tmp_path / "after", [(patient, gold, [say(gold)] * 4) for patient, gold, _ in CASES])
    for out in (before, after):
        assert command("eval.score", "--generations", out).returncode == 0
    return before, after


class Page(HTMLParser):
    """The page's words, what it would fetch, and its tables as lists of rows of cells."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.fetched, self.tags, self.rows, self.words = [], [], [], ""
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.fetched += [value for name, value in attrs if name in ("src", "href", "xlink:href", "data", "action")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        self.words += data
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += " ".join(data.split()) + " "


def test_the_page_needs_no_network_no_script_and_holds_no_completion(tmp_path, command, runs):
    grpo = training(tmp_path / "grpo", [(step, STEP) for step in range(1, 6)])
    done = command("eval.report", "--runs", *runs, grpo, "--out", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    page = Page(tmp_path / "report" / "index.html")
    assert all(value.startswith("#") for value in page.fetched)
    assert not {"script", "link", "iframe", "img"} & set(page.tags)
    text = (tmp_path / "report" / "index.html").read_text()
    assert not re.search(r"url\((?!#)|@import", text)
    assert SECRET not in text
    assert page.tags.count("svg") == 5  # accuracy, reward, length, KL, agreement


def test_page_and_terminal_show_the_scores_and_the_paired_difference(tmp_path, command, runs):
    before, after = runs
    done = command("eval.report", "--runs", f"old={before}", f"new={after}", "--out", tmp_path / "report")
    low, high = (100 * bound for bound in scores_of(before)["metrics"]["drg/pass@1"]["interval"])
    page = Page(tmp_path / "report" / "index.html")
    rows = {row[0].strip(): row for row in reversed(page.rows)}  # the first table counts
    assert rows["old"][1].split() == ["18.8", f"[{low:.1f},", f"{high:.1f}]"]  # 3 of 16 samples, see test_eval_score
    assert rows["new"][1].split()[0] == "100.0"
    assert rows["new - old"][1].split()[0] == "+81.2"
    assert "p 0.12" in rows["new - old"][1]  # 2 x (1/2)^4
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["percent", "Pass@1", "Pass@4", "Maj@4"]
    assert lines[1] == ["DRG"] and lines[2][:2] == ["old", "18.8"] and lines[4][:4] == ["new", "-", "old", "+81.2"]
    assert done.stdout.splitlines()[-1] == str(tmp_path / "report" / "index.html")


def test_other_cases_have_no_paired_difference(tmp_path, command, runs):
    other = folder(tmp_path / "other", CASES[:3])
    assert command("eval.score", "--generations", other).returncode == 0
    command("eval.report", "--runs", runs[0], other, "--out", tmp_path / "report")
    assert not any(" - " in row[0] for row in Page(tmp_path / "report" / "index.html").rows)


def test_a_resumed_run_counts_by_the_last_row_of_a_step_and_a_half_written_line_is_left_out(tmp_path, command):
    rows = [(1, STEP), (2, STEP | {"critic/score/mean": -9.0}), (2, STEP | {"critic/score/mean": 0.25})]
    grpo = training(tmp_path / "grpo", rows, tail='{"step": 3, "da')
    done = command("eval.report", "--runs", grpo, "--out", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    table = [line.split() for line in done.stdout.splitlines()[1:4]]
    assert table == [
        ["step", "reward", "length", "KL", "agreement"],
        ["1", "-1.500", "80.0", "0.0010", "0.9980"],
        ["2", "0.250", "80.0", "0.0010", "0.9980"],
    ]


def test_steps_are_thinned_and_what_verl_did_not_log_is_a_dash(tmp_path, command):
    rows = [(step, {"critic/score/mean": float(step), "response_length/mean": None}) for step in range(1, 101)]
    done = command("eval.report", "--runs", training(tmp_path / "grpo", rows), "--out", tmp_path / "report")
    table = [line.split() for line in done.stdout.splitlines()[2:-2]]
    assert len(table) == 12 and table[0] == ["1", "1.000", "-", "-", "-"] and table[-1][0] == "100"


def test_names_are_shown_as_text(tmp_path, command, runs):
    command("eval.report", "--runs", f"<b>1 & 2</b>={runs[0]}", "--out", tmp_path / "report")
    assert "b" not in Page(tmp_path / "report" / "index.html").tags


def test_runs_that_cannot_be_shown_are_refused(tmp_path, command):
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
    assert not (tmp_path / "report").exists()
