"""The report in a real browser: opened from disk without a network, in headless Chromium."""

import random
from pathlib import Path
from typing import Any

import pytest

from common.files import sha256
from reward_fns.drg.ms_drg import DRGS
from tests.support.eval_folders import BAD_FORMAT, CASES, folder, say, settings
from tests.support.report_pages import STEP, Opened, notes, training

pytestmark = pytest.mark.slow

MANY = 5000
# What would run, fetch or break the page if a text were taken for markup or script.
HOSTILE = (
    "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 2'><!-- <script> ]]>"
    "${window.broken = 3}\u2028\u2029\u202eright to left\u202c \U0001f9ec \ufeff \x0b &lt;b&gt; \\u003c/script> '\"`"
)
WORDS = ("sepsis", "fever", "chest", "pain", "renal", "stable", "discharged", "home", "edema", "cough")


def evaluated(command: Any, out: Path, data: Path, cases: list) -> Path:
    n = len(cases[0][2])
    made_with = settings(data={"name": str(data), "sha256": sha256(data), "limit": None})
    made_with["sampling"] |= {"n": n}
    folder(out, cases, per_part=500, made_with=made_with)
    done = command("eval.score", "--generations", out, "--bootstrap", 50)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, command: Any) -> Path:
    """Two runs over four cases, one of them hostile in every text, and a training run."""
    place = tmp_path_factory.mktemp("report")
    hostile = [
        (patient, gold, [f"<think>{HOSTILE}</think><answer>{HOSTILE}</answer>"] * 4) for patient, gold, _ in CASES
    ]
    data = notes(place / "test.parquet", text=HOSTILE)
    before = evaluated(command, place / "before", data, CASES)
    after = evaluated(
        command, place / "after", data, [(p, gold, [say(gold)] * 4) for p, gold, _ in CASES[:3]] + hostile[3:]
    )
    grpo = training(place / "grpo", [(step, STEP) for step in range(1, 121)])
    words = ("--runs", f"<b>before</b>={before}", f"after={after}", grpo, "--out", place / "out", "--embed-notes")
    done = command("eval.report", *words, "--figures")
    assert done.returncode == 0, done.stderr
    return place / "out" / "index.html"


def test_the_page_opens_with_every_figure_drawn_and_not_a_word_on_the_console(browser, report):
    opened = Opened(browser, report)
    assert opened.said == []
    assert opened.asked == [report.as_uri()]
    figures = opened.page.locator("figure")
    assert figures.count() == len({path.stem for path in (report.parent / "figures").iterdir()}) >= 12
    for i in range(figures.count()):
        figure = figures.nth(i)
        box = figure.locator("svg").bounding_box()
        assert box["width"] > 200 and box["height"] > 80, figure.get_attribute("id")
        assert figure.locator("svg path").count() > 5 and figure.locator("svg text").count() > 3
        assert figure.locator("svg").get_attribute("aria-label")


@pytest.mark.parametrize("width", [1280, 800])
def test_nothing_is_wider_than_the_window(browser, report, width):
    opened = Opened(browser, report, width)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_figures_follow_the_colours_of_the_page(browser, report):
    opened = Opened(browser, report)
    colour = "getComputedStyle(document.querySelector('#figure-accuracy-drg svg text')).fill"
    light = opened.page.evaluate(colour)
    opened.page.emulate_media(color_scheme="dark")
    assert opened.page.evaluate(colour) != light


def test_the_case_browser_finds_filters_and_opens_a_case(browser, report):
    opened = Opened(browser, report)
    assert opened.found() == 4
    opened.chip("wrong").click()  # of the last run: the hostile one
    assert opened.found() == 1
    opened.chip("flipped").click()  # before: right, tied, wrong, wrong; after: right, right, right, wrong
    assert opened.found() == 2
    opened.at("run").select_option(label="<b>before</b>")
    opened.chip("broken").click()
    assert opened.found() == 2
    opened.chip("all").click()
    assert opened.search("heart failure and shock with CC") == 2  # gold of one, an answer in another
    assert opened.search("an original phrase that no text has") == 0
    assert opened.search("the reasoning") == 4  # only the completions say so
    opened.at("list").locator("button").first.click()
    detail = opened.at("detail")
    detail.locator("details.sample").first.wait_for()
    assert "Case 0" in detail.inner_text() and "hadm_id 100" in detail.inner_text()
    assert detail.locator("details.sample").count() == 8
    detail.locator("details.sample summary").first.click()
    shown = detail.locator("details.sample").first.inner_text()
    assert CASES[0][2][0] in shown and "score      2" in shown and "accuracy   +2" in shown
    assert opened.page.evaluate("location.hash") == "#case-0-0"
    assert opened.said == []


def test_the_list_is_used_by_keyboard(browser, report):
    opened = Opened(browser, report)
    opened.at("list").locator("button").first.focus()
    opened.page.keyboard.press("ArrowDown")
    opened.page.keyboard.press("Enter")
    opened.at("detail").locator("h3", has_text="Case 1").wait_for()


def test_an_address_with_a_case_opens_it(browser, report):
    page = browser.new_context(offline=True).new_page()
    page.goto(f"{report.as_uri()}#case-0-2")
    page.locator("[data-at=detail] h3", has_text="Case 2").wait_for()


def test_hostile_text_is_shown_letter_by_letter_and_runs_nothing(browser, report):
    opened = Opened(browser, report)
    opened.at("list").locator("button").nth(3).click()
    detail = opened.at("detail")
    detail.locator("summary", has_text="Note").click()
    note, completion = detail.locator("details pre").first, detail.locator("details.sample pre").nth(8)
    assert note.evaluate("node => node.textContent") == f"{HOSTILE} 3"
    assert completion.evaluate("node => node.textContent") == f"<think>{HOSTILE}</think><answer>{HOSTILE}</answer>"
    assert opened.page.evaluate("window.broken") is None
    assert opened.page.locator("img").count() == 0 and opened.page.locator("main b").count() == 0
    assert opened.page.locator("script:not([type])").count() == 1
    assert opened.search("</script><script>") == 4
    assert opened.said == []


def test_a_script_that_got_in_would_not_run(browser, report):
    opened = Opened(browser, report)
    opened.page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.broken = 1'}))"
    )
    assert opened.page.evaluate("window.broken") is None
    assert any("Content Security Policy" in line for line in opened.said)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory, command: Any) -> Path:
    """Two runs of eight completions of about a thousand letters over 5,000 cases, with notes of three thousand."""
    place, draw = tmp_path_factory.mktemp("large"), random.Random(0)
    titles = [entry.title for entry in DRGS[:80]]

    def text(words: int) -> str:
        return " ".join(draw.choices(WORDS, k=words))

    def run() -> list:
        return [
            (i % 4000, gold, [f"<think>{text(150)}</think><answer>{draw.choice([gold, *titles])}</answer>"] * 4
             + [say(draw.choice([gold, gold, draw.choice(titles)])) for _ in range(3)]
             + [BAD_FORMAT if i % 50 == 0 else f"<think>{text(150)}</think><answer>{gold}</answer>"])
            for i, gold in enumerate(golds)
        ]  # fmt: skip

    golds = [draw.choice(titles) for _ in range(MANY)]
    data = notes(place / "test.parquet", run(), text=text(500))
    runs = [evaluated(command, place / name, data, run()) for name in ("before", "after")]
    done = command("eval.report", "--runs", *runs, "--out", place / "out", "--embed-notes")
    assert done.returncode == 0, done.stderr
    return place / "out" / "index.html"


def test_5000_cases_with_notes_are_filtered_and_searched_in_under_two_seconds(browser, large, record_property):
    opened = Opened(browser, large)
    assert opened.found() == MANY

    def milliseconds() -> float:
        return float(opened.page.evaluate("document.getElementById('cases').dataset.filterMs"))

    taken = {}
    for name in ("right", "wrong", "never", "flipped", "broken", "all"):
        opened.chip(name).click()
        taken[name] = milliseconds()
    assert 0 < opened.search("cough sepsis cough sepsis cough sepsis") < MANY  # in the texts alone
    taken["search"] = milliseconds()
    opened.search("no text has these words")
    taken["search in vain"] = milliseconds()
    print(f"{large.stat().st_size / 2**20:.0f} MiB, milliseconds: {taken}")
    assert max(taken.values()) < 2000, taken
    assert opened.said == []
