"""What tests of the report share: training runs, notes, a page taken apart, and one opened in headless Chromium."""

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from benchmarks.browser import chromium
from data_prep import parquet
from tests.support.eval_folders import CASES

STEP = {
    "critic/score/mean": -1.5,
    "response_length/mean": 80.0,
    "actor/kl_loss": 0.001,
    "training/rollout_actor_probs_pearson_corr": 0.998,
    "groups/zero_variance": 0.25,
    "reward/format/mean": -0.5,
    "reward/accuracy/mean": -1.0,
}
NOTE = "an original note of a stay"


def training(out: Path, rows: list[tuple[int, dict]], tail: str = "") -> Path:
    """A training run folder: what verl's file logger and the launcher write."""
    out.mkdir()
    lines = [json.dumps({"step": step, "data": data}) + "\n" for step, data in rows]
    (out / "metrics.jsonl").write_text("".join(lines) + tail)
    (out / "run.json").write_text(json.dumps({"recipe": "drg_sapphire/strict", "commit": "0123abc", "overrides": []}))
    return out


def notes(path: Path, cases=CASES, text: str = NOTE) -> Path:
    """The data file that the cases' notes are in."""
    rows = [
        {
            "data_source": "mimic_drg",
            "prompt": [{"role": "user", "content": f"{text} {i}"}],
            "ability": "drg",
            "reward_model": {"style": "rule", "ground_truth": gold},
            "extra_info": {
                "index": i, "split": "test", "hadm_id": 100 + i, "subject_id": patient, "prompt_tokens": None,
                "note_truncated": False,
            },
        }
        for i, (patient, gold, _) in enumerate(cases)
    ]  # fmt: skip
    parquet.write(rows, path)
    return path


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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium; while it is open no command that uses asyncio runs in the test's process."""
    path = chromium()
    if path is None:
        pytest.skip("no Chromium here and none could be installed; run `make browser` or set CHROMIUM to its path")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path)
        yield launched
        launched.close()


class Opened:
    """A page opened from disk, what it said on the console, and what it tried to fetch."""

    def __init__(self, browser: Any, path: Path, width: int = 1280, ready: str = "#cases[data-searchable=yes]") -> None:
        self.page = browser.new_context(viewport={"width": width, "height": 900}, offline=True).new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        self.page.locator(ready).wait_for()

    def at(self, name: str) -> Any:
        return self.page.locator(f"[data-at={name}]")

    def chip(self, name: str) -> Any:
        return self.page.locator(f"[data-filter={name}]")

    def found(self) -> int:
        return int(self.at("status").inner_text().split()[0].replace(",", ""))

    def search(self, words: str) -> int:
        self.page.evaluate("document.getElementById('cases').dataset.filterMs = 'waiting'")
        self.at("search").fill(words)
        self.page.locator("#cases:not([data-filter-ms=waiting])").wait_for()
        return self.found()
