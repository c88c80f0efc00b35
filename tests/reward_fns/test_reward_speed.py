"""How fast the rewards are. The normal tier leaves room for a busy machine, the slow one holds the exact bounds."""

import random
import subprocess
import sys

import pytest

from benchmarks import rewards as bench

TASKS = (("drg", "answer", 150_000), ("icd", "diagnosis", 100_000))
GOLD = {"drg": "HEART FAILURE AND SHOCK WITH MCC", "icd": "I214"}
LONG_MS = 5.0
pytestmark = pytest.mark.timed


def throughput(task: str, tag: str, repeats: int) -> float:
    pairs = bench.ordinary(tag, 500, random.Random(0))
    return max(
        bench.per_second(reward, pairs, repeats) for name, reward in bench.rewards(task).items() if "exact" in name
    )


def slowest_ms(task: str, tag: str, length: int, repeats: int) -> dict[str, float]:
    """The milliseconds of every adversarial completion, in the slower of both kinds of matching."""
    pairs = [(completion, GOLD[task]) for _, completion in bench.adversarial(tag, length)]
    rewards = [reward for name, reward in bench.rewards(task).items() if name != "plain"]
    spent = zip(*(bench.seconds(reward, pairs, repeats) for reward in rewards), strict=True)
    return {name: 1e3 * max(of) for (name, _), of in zip(bench.adversarial(tag, length), spent, strict=True)}


@pytest.mark.parametrize(("task", "tag", "bound"), TASKS)
def test_ordinary_completions_are_scored_fast(task, tag, bound, capsys):
    found = throughput(task, tag, repeats=10)
    with capsys.disabled():
        print(f" {task}: {found:,.0f} ordinary completions a second (bound {bound:,}, here a quarter) ", end="")
    assert found > bound / 4


@pytest.mark.slow
@pytest.mark.parametrize(("task", "tag", "bound"), TASKS)
def test_ordinary_completions_are_scored_as_fast_as_promised(task, tag, bound):
    assert throughput(task, tag, repeats=200) >= bound


@pytest.mark.parametrize(("task", "tag", "bound"), TASKS)
def test_no_long_completion_takes_long(task, tag, bound):
    spent = slowest_ms(task, tag, bench.LONG, repeats=3)
    worst = max(spent, key=spent.get)
    assert spent[worst] < 4 * LONG_MS, worst


@pytest.mark.slow
@pytest.mark.parametrize(("task", "tag", "bound"), TASKS)
def test_no_long_completion_takes_longer_than_promised_and_twice_the_length_takes_twice_the_time(task, tag, bound):
    single, double = ({}, {})
    for _ in range(10):  # the best of several rounds, since other work on the machine only ever adds time
        for best, length in ((single, bench.LONG), (double, 2 * bench.LONG)):
            for name, spent in slowest_ms(task, tag, length, repeats=3).items():
                best[name] = min(spent, best.get(name, spent))
    for name, spent in single.items():
        assert spent < LONG_MS, name
        assert double[name] < 2 * spent * 1.25 + 0.1, name  # a quarter for the caches, 0.1 ms for what costs nothing


def test_the_time_of_a_long_completion_grows_no_faster_than_its_length():
    for task, tag, _ in TASKS:
        short, long = (slowest_ms(task, tag, length, repeats=3) for length in (8_192, 65_536))
        for name, spent in long.items():
            assert spent < 8 * short[name] * 3 + 1, name  # quadratic would be 64 times


def test_bench_prints_a_line_for_every_reward():
    command = [sys.executable, "-m", "benchmarks.rewards", "--task", "drg", "--number", "20"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0 and run.stderr == ""
    header, *lines = run.stdout.splitlines()
    assert "per second" in header
    assert len(lines) == 2 * len(bench.rewards("drg")) and all(line.startswith("drg ") for line in lines)
    assert sum("plain" in line for line in lines) == 2
