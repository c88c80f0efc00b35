"""The report in a real browser: headless Chromium, a page opened from disk without a network."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.browser import chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
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
