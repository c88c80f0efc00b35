"""What faults of the judge's server, and of ours, do to a reward: asked again, or a reward error, never a grade."""

import asyncio
import time

import pytest

from common import llm_server
from tests.support.judge_scenarios import INFO, KEYS, completions, run, score, write
from tests.support.judge_server import GARBAGE

PASSING = ["500", "502", "503", "429", "408", "drop", "cut", "html", *GARBAGE]


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_is_asked_about_again_until_there_is_a_grade(fault):
    async def scenario(server):
        server.judge.grade, server.judge.faults = 4, [fault, fault]
        result = await score(server, write())
        assert (result["judge"], result["judge_retries"], result["reward_error"]) == (3.2, 2, 0)
        assert result["score"] == pytest.approx(46 + 3.2) and 0 < result["judge_wait"] < 2
        assert server.judge.failed == 2

    run(scenario)


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_stays_is_a_reward_error_after_max_wait_and_never_a_grade(fault):
    async def scenario(server):
        server.judge.grade, server.judge.always = 5, fault
        began = time.monotonic()
        results = await asyncio.gather(*(score(server, text, max_wait=0.3) for text in completions(8)))
        assert 0.3 <= time.monotonic() - began < 2
        for result in results:
            assert set(result) == KEYS and result["reward_error"] == 1
            assert (result["judge"], result["score"]) == (0, 46)  # what the code earned, and nothing of a judge
            assert result["judge_retries"] >= 1 and 0.3 <= result["judge_wait"] < 2
        assert sum(result["judge_retries"] + 1 for result in results) == server.judge.failed

    run(scenario)


def test_a_server_that_is_too_slow_is_a_fault():
    async def scenario(server):
        server.judge.always = "slow"
        results = await asyncio.gather(
            *(score(server, text, timeout=0.1, max_wait=0.4, concurrency=4) for text in completions(12))
        )
        assert all(result["reward_error"] == 1 and result["judge"] == 0 for result in results)

    run(scenario)


def test_a_server_that_is_not_there_is_a_fault():
    async def scenario(server):
        await server.stop()
        results = await asyncio.gather(*(score(server, text, max_wait=0.3) for text in completions(16)))
        assert all(result["reward_error"] == 1 and result["judge"] == 0 for result in results)

    run(scenario)


@pytest.mark.parametrize("status", ["400", "401", "404", "422"])
def test_what_waiting_cannot_mend_is_given_up_soon_while_others_get_their_grades(status):
    async def scenario(server):
        server.judge.fault_of = lambda body: status if "variant 3." in body["messages"][1]["content"] else ""
        began = time.monotonic()
        results = await asyncio.gather(*(score(server, text, retries=2) for text in completions(8)))
        assert time.monotonic() - began < 5
        assert [result["reward_error"] for result in results] == [float(i == 3) for i in range(8)]
        assert results[3]["judge_retries"] == 2 and server.judge.failed == 3
        assert all(result["judge"] > 0 for i, result in enumerate(results) if i != 3)

    run(scenario)


def test_a_server_that_dies_in_mid_batch_and_comes_back_grades_all_of_it_without_bias():
    async def scenario(server):
        texts = completions(200)
        undisturbed = await asyncio.gather(*(score(server, text) for text in texts))
        assert server.judge.answered == 200
        llm_server.CACHE.clear()
        server.judge.delay = 0.02
        batch = asyncio.gather(*(score(server, text, concurrency=16) for text in texts))
        while server.judge.answered < 260:
            await asyncio.sleep(0.005)
        await server.stop()
        down_at = server.judge.answered
        await asyncio.sleep(0.5)
        assert server.judge.answered == down_at < 400
        await server.start()
        results = await batch
        assert [result["judge"] for result in results] == [result["judge"] for result in undisturbed]
        assert [result["score"] for result in results] == [result["score"] for result in undisturbed]
        assert all(result["reward_error"] == 0 for result in results)
        assert any(result["judge_retries"] > 0 for result in results)
        waited = [result["judge_wait"] for result in results]
        assert max(waited) >= 0.3 and all(
            bool(r["judge_retries"]) == bool(w) for r, w in zip(results, waited, strict=True)
        )

    run(scenario)


def test_the_log_says_when_the_judge_fell_silent_and_when_it_came_back_and_quotes_no_text(caplog):
    async def scenario(server):
        server.judge.faults = ["503"] * 3
        await asyncio.gather(*(score(server, text) for text in completions(3)))

    run(scenario)
    said = [record.getMessage() for record in caplog.records if record.name.startswith(("common", "reward_fns"))]
    assert len(said) == 2 and "HTTP 503" in said[0] and "answers again" in said[1]
    assert not any("Chest" in line or "67-year-old" in line for line in said)


@pytest.mark.parametrize(
    ("info", "options"),
    [
        (None, {}),
        ({}, {}),
        ({"note": None}, {}),
        ({"note": " "}, {}),
        (INFO, {"guidelines": "no/such/file"}),
        (INFO, {"symptoms": "README.md"}),
        (INFO, {"prompt": "README.md"}),
        (INFO, {"structured_output": "telepathy"}),
        (INFO, {"concurrency": "many"}),
        (INFO, {"judge_weight": "heavy"}),
        (INFO, {"extra_codes": "no/such/file"}),
        (INFO, {"format_wieght": 1}),
    ],
)
def test_a_fault_of_ours_is_a_reward_error_and_never_raises(info, options):
    async def scenario(server):
        result = await score(server, write(), info=info, **options)
        assert set(result) == KEYS and result["reward_error"] == 1.0 and result["judge"] == 0
        assert not server.judge.requests

    run(scenario)


@pytest.mark.parametrize("completion", [None, 1, b"<think>", ["I214"]])
@pytest.mark.parametrize("gold", ["I214", "I2199", None])
def test_what_is_no_text_or_no_gold_is_a_fault_and_never_raises(completion, gold):
    async def scenario(server):
        result = await score(server, completion, gold)
        assert set(result) == KEYS and result["reward_error"] == 1.0 and not server.judge.requests

    run(scenario)
