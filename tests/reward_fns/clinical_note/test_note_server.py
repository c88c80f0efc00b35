"""The reward of a note and its server: what is asked, what is not, and what faults do, over real HTTP."""

import asyncio
import math
from pathlib import Path
from typing import Any

import pytest

from common import llm_server
from reward_fns import clinical_note
from reward_fns.clinical_note import server as asking
from reward_fns.clinical_note.notes import positions
from reward_fns.clinical_note.reward import NUMBERS, check_options
from reward_fns.clinical_note.tokens import encode
from reward_fns.clinical_note.written import strict, write
from tests.conftest import assert_refused, run_command
from tests.reward_fns.clinical_note.test_note_reward import GOLD
from tests.support.clinical.grader import MALFORMED, Grader, share
from tests.support.judge_server import Server, in_a_thread, serving

TEXT, INFO = write(GOLD), {"index": 0, "dialogue": "[doctor] how is your breathing ?\n[patient] i wheeze ."}
OTHER = TEXT.replace("No fever.", "A fever.")
PASSING = ["500", "503", "429", "drop", "cut", "html", *MALFORMED]
KEYS = {"score", "acc", "pred", "format", "note", "said", "complete", "end", "lowest", "extent", "prm_retries",
        "prm_wait", "reward_error"}  # fmt: skip


async def score(server: Server, folder: Path, text: Any, gold: Any = TEXT, info: Any = INFO, **options: Any) -> dict:
    given = {"base_url": server.url, "model": str(folder), "max_wait": 20.0, "backoff": 0.01, **options}
    return await clinical_note.compute_score("clinical_note", text, gold, info, **given)


def run(folder: Path, scenario: Any) -> None:
    """A scenario with a server of its own, of which nothing is remembered."""

    async def whole() -> None:
        async with serving(Grader(model=str(folder))) as server:
            try:
                await scenario(server)
            finally:
                await llm_server.close()

    llm_server.CACHE.clear()
    asyncio.run(whole())


def expected(folder: Path, text: str) -> list[float]:
    """What the server says of every position: the rule of the tests on the ids that transformers would read."""
    tokenizer, markers = asking.loaded(str(folder))
    encoded = encode(tokenizer, markers, INFO["dialogue"], positions(strict(text)))
    right = tokenizer.convert_tokens_to_ids(markers.label("+"))
    return [share(encoded.ids[:slot], right) for slot in encoded.slots]


def test_a_note_earns_its_format_and_what_the_server_says_of_its_positions(prm: Path) -> None:
    async def scenario(server: Server) -> None:
        result = await score(server, prm, TEXT, note_weight=2.0)
        shares = expected(prm, TEXT)
        assert set(result) == KEYS and result["format"] == 1 and result["acc"] == 1 and result["reward_error"] == 0
        assert result["note"] == pytest.approx(sum(2 * one - 1 for one in shares[:-1]) / 10)
        assert result["score"] == pytest.approx(1 + 2 * result["note"]) and result["end"] == pytest.approx(shares[-1])
        assert result["lowest"] == pytest.approx(min(shares)) and result["extent"] == 1
        assert result["complete"] == pytest.approx((shares[4] + shares[8] + shares[9]) / 3)
        first, rest = server.judge.requests
        assert len(first["prompt"]) == 1 and len(rest["prompt"]) == 10  # the whole note fills the cache for the others
        assert all(first["prompt"][0][: len(ids)] == ids for ids in rest["prompt"])
        assert (await score(server, prm, TEXT, note_weight=2.0)) == result and len(server.judge.requests) == 2
        different = await score(server, prm, OTHER)
        assert different["acc"] == 0 and different["score"] != result["score"]

    run(prm, scenario)


@pytest.mark.parametrize(
    ("text", "form", "options"),
    [
        ("", -2.0, {}),
        (" \n", -2.0, {}),
        ("She wheezes.", -1.0, {}),
        ("2. Asthma\nPlan:\n- Rest.", -1.0, {}),
        (f"Here is the note.\n{TEXT}", -1.0, {}),
        (f"{TEXT}\nI hope that this helps.", -1.0, {}),
        (TEXT, -1.0, {"most_positions": 10}),
        ("1. Asthma\n" + "- Rest.\n" * 300, -1.0, {}),
        (TEXT, 1.0, {"note_weight": 0}),
        ("", -5.0, {"empty": -5.0}),
    ],
)
def test_what_is_no_note_is_paid_by_its_format_and_nobody_is_asked(
    prm: Path, text: str, form: float, options: dict
) -> None:
    async def scenario(server: Server) -> None:
        result = await score(server, prm, text, **options)
        assert (result["format"], result["score"], result["note"], result["reward_error"]) == (form, form, 0, 0)
        assert set(result) == KEYS and not server.judge.requests

    run(prm, scenario)


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_is_asked_about_again_until_there_are_grades(prm: Path, fault: str) -> None:
    async def scenario(server: Server) -> None:
        server.judge.faults = [fault, fault]
        result = await score(server, prm, TEXT)
        assert result["prm_retries"] == 2 and result["reward_error"] == 0 and result["prm_wait"] > 0
        assert result["end"] == pytest.approx(expected(prm, TEXT)[-1])

    run(prm, scenario)


@pytest.mark.parametrize("fault", ["503", "drop", *MALFORMED])
def test_a_fault_that_stays_is_a_reward_error_after_max_wait_and_never_a_grade(prm: Path, fault: str) -> None:
    async def scenario(server: Server) -> None:
        server.judge.always = fault
        for result in await asyncio.gather(*(score(server, prm, text, max_wait=0.3) for text in (TEXT, OTHER))):
            assert set(result) == KEYS and result["reward_error"] == 1
            assert (result["note"], result["score"]) == (0, 1)  # what the format earned, and nothing of a grade

    run(prm, scenario)


def test_a_server_that_dies_between_the_two_requests_of_a_note_is_a_reward_error(prm: Path) -> None:
    async def scenario(server: Server) -> None:
        server.judge.fault_of = lambda body: "503" if len(body["prompt"]) > 1 else ""
        result = await score(server, prm, TEXT, max_wait=0.3)
        assert result["reward_error"] == 1 and result["note"] == result["end"] == 0

    run(prm, scenario)


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ({"text": None}, {}),
        ({"gold": "no note"}, {}),
        ({"gold": None}, {}),
        ({"info": None}, {}),
        ({"info": {"dialogue": " "}}, {}),
        ({}, {"model": "no/such/folder"}),
        ({}, {"note_wieght": 1}),
        ({}, {"note_weight": math.nan}),
        ({}, {"concurrency": "many"}),
    ],
)
def test_a_fault_of_ours_is_a_reward_error_and_never_raises(prm: Path, given: dict, options: dict) -> None:
    async def scenario(server: Server) -> None:
        result = await score(server, prm, **{"text": TEXT, **given}, **options)
        assert set(result) == KEYS and result["reward_error"] == 1 and not server.judge.requests

    run(prm, scenario)


GOOD = {"base_url": "http://localhost:8001/v1", "model": "prm"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"base_url": ""}, "PRM_URL"),
        ({"model": None}, "PRM_MODEL"),
        ({"base_url": "localhost"}, "http://"),
        ({"note_wieght": 1}, "did you mean 'note_weight'"),
        ({"note_weight": -1}, "at least 0"),
        ({"empty": "low"}, "empty='low'"),
        ({"most_positions": 1}, "at least 5"),
        ({"timeout": 0}, "timeout=0"),
        ({"folder": 3}, "folder=3"),
    ],
)
def test_a_bad_option_is_named_before_the_run(options: dict, said: str) -> None:
    check_options(**GOOD, **NUMBERS)
    with pytest.raises(ValueError, match=said):
        check_options(**GOOD | options)


def test_a_bad_row_is_named_before_the_run() -> None:
    clinical_note.check_gold(TEXT)
    with pytest.raises(ValueError, match="written form: line 1"):
        clinical_note.check_gold("She wheezes.")
    clinical_note.check_extra_info(INFO)
    with pytest.raises(ValueError, match=r"extra_info\.dialogue.*data_prep\.clinical_notes"):
        clinical_note.check_extra_info({"index": 0})


def test_a_server_without_logs_is_named_before_the_run(prm: Path) -> None:
    def said(**judge: Any) -> Any:
        with in_a_thread(Grader(model=judge.pop("name", str(prm)), **judge)) as server:
            return run_command("reward_fns.clinical_note.server", "--base-url", server.url, "--model", prm)

    done = said()
    assert done.returncode == 0 and "grades" in done.stdout, done.stderr
    assert_refused(said(name="other"), "has no model", "it has other")
    assert_refused(said(always="no logs"), "gives no log-probabilities", "vLLM")
    assert_refused(said(surely=True), "--logprobs-mode raw_logprobs")
    assert_refused(said(key="secret"), "refuses the key", "JUDGE_API_KEY")
    words = ("reward_fns.clinical_note.server", "--base-url", "http://127.0.0.1:9/v1")
    assert_refused(run_command(*words, "--model", prm), "no server answers", "recipes/judge.sh --prm")
    assert_refused(run_command(*words, "--model", "no/such"), "no usable prm.json", "sft.prm")
    assert_refused(run_command(*words), "PRM_MODEL")
