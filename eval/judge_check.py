"""How far a judge can be trusted: on labelled reasonings that are good, or bad in a known way, and on attacks.

    python -m eval.judge_check --base-url http://localhost:8001/v1 --model judge --out runs/judge_check.json

Asks the judge with the prompt of training about the cases of eval/judge_cases.yaml (all invented) and prints a table;
every number has a 95 % interval (bootstrap over the cases), its n and its definition. Nothing is cached: equal requests
are sent again. About 300 short requests.
"""

import argparse
import asyncio
import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from tqdm import tqdm

from common.commands import UserError, existing, parser, run
from common.files import sha256, whole_file
from common.record import command_line, commit, versions
from eval.scoring.intervals import Bootstrap, ratios
from reward_fns.icd import icd10
from reward_fns.judge import client as judge_client
from reward_fns.judge import prompt as judge_prompt
from reward_fns.judge import server as judge_server

CASES = Path(__file__).with_name("judge_cases.yaml")
KINDS = ("good", "swapped", "wrong_code", "empty")
BAD = KINDS[1:]
SHORT_WAIT = 20.0  # seconds; a training run would wait longer, here a missing grade is a result


class Item(NamedTuple):
    """One labelled reasoning."""

    case: int
    kind: str
    note: str
    code: str
    reasoning: str


class Number(NamedTuple):
    """A line of the report."""

    name: str
    value: float
    interval: list[float]
    n: int
    definition: str


class Cases(NamedTuple):
    items: list[Item]
    bands: dict[str, tuple[int, int]]
    padding: list[str]
    attacks: list[str]


def load(path: Path) -> Cases:
    """The labelled cases of a file, or a sentence on what is wrong with it."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        items = [
            Item(at, kind, case["note"], *_said(case, kind))
            for at, case in enumerate(content["cases"])
            for kind in KINDS
        ]
        bands = {kind: (int(low), int(high)) for kind, (low, high) in content["bands"].items()}
        made = Cases(items, bands, list(content["padding"]), list(content["attacks"]))
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} does not have the form of eval/judge_cases.yaml ({reason})") from error
    unknown = next((item.code for item in items if not icd10.exists(item.code)), None)
    if unknown is not None or set(bands) != set(KINDS) or not items or not made.attacks:
        what = f"{unknown!r} is no ICD-10-CM code" if unknown else f"bands, cases and attacks need {', '.join(KINDS)}"
        raise UserError(f"{path}: {what}")
    return made


def _said(case: dict[str, Any], kind: str) -> tuple[str, str]:
    said = case[kind]
    return (said["code"], said["text"]) if isinstance(said, dict) else (case["code"], said)


class Asker:
    """Sends requests round by round: equal ones never share an answer."""

    def __init__(self, settings: judge_client.Settings, total: int) -> None:
        self.settings, self.bar = settings, tqdm(total=total, desc="judging", unit="request", leave=False)
        self.asked = self.missing = 0

    def __call__(self, items: Sequence[Item], prompt: judge_prompt.Prompt) -> np.ndarray:
        """The grade of every item; nan where the server gave none."""
        return np.array(asyncio.run(self._round(items, prompt)), dtype=float)

    async def _round(self, items: Sequence[Item], prompt: judge_prompt.Prompt) -> list[float]:
        client = judge_client.of(self.settings)

        async def one(item: Item) -> float:
            verdict = await client.grade(judge_prompt.messages(prompt, item.note, item.reasoning, item.code))
            self.bar.update()
            self.asked += 1
            self.missing += verdict.grade is None
            return np.nan if verdict.grade is None else float(verdict.grade)

        try:
            return list(await asyncio.gather(*map(one, items)))
        finally:
            await judge_client.close()


def reversed_rubric(prompt: judge_prompt.Prompt) -> judge_prompt.Prompt:
    """The prompt with its grades explained from 1 to 5 instead of 5 to 1."""
    lines = prompt.system.split("\n")
    places = [at for at, line in enumerate(lines) if re.match(r"[1-5]\W", line)]
    for at, line in zip(places, [lines[at] for at in reversed(places)], strict=True):
        lines[at] = line
    return prompt._replace(system="\n".join(lines))


def reasoning_first(prompt: judge_prompt.Prompt) -> judge_prompt.Prompt:
    """The prompt with the reasoning before the note and the code's entry."""
    parts = prompt.user.split("\n\n")
    parts.sort(key=lambda part: "{reasoning}" not in part)
    return prompt._replace(user="\n\n".join(parts))


def padded(item: Item, padding: Sequence[str]) -> Item:
    half = len(padding) // 2
    return item._replace(reasoning=" ".join([*padding[:half], item.reasoning.strip(), *padding[half:]]))


def measure(cases: Cases, ask: Callable[..., np.ndarray], prompt: judge_prompt.Prompt, repeats: int) -> list[Number]:
    """All numbers of the report."""
    items, bootstrap = cases.items, Bootstrap()
    case, kind = (np.array([getattr(item, name) for item in items]) for name in ("case", "kind"))
    rounds = np.array([ask(items, prompt) for _ in range(repeats)])
    first = rounds[0]

    def number(name: str, values: np.ndarray, cases: np.ndarray, definition: str) -> Number:
        known = ~np.isnan(values)
        if not known.any():
            return Number(name, float("nan"), [float("nan")] * 2, 0, definition)
        estimate = ratios(np.where(known, values, 0)[:, None], known[:, None].astype(float), cases, bootstrap)[0]
        return Number(name, estimate.value, estimate.interval(), int(known.sum()), definition)

    def difference(name: str, changed: np.ndarray, definition: str) -> Iterable[Number]:
        yield number(f"{name}, mean change", changed - first, case, f"{definition}: mean change of the grade")
        same = np.where(np.isnan(changed - first), np.nan, changed == first)
        yield number(f"{name}, same grade", same, case, f"{definition}: share of reasonings with the same grade")

    low, high = (np.array([cases.bands[name][side] for name in kind]) for side in (0, 1))
    within = np.where(np.isnan(first), np.nan, (low <= first) & (first <= high))
    found = [number("agreement", within, case, "share of reasonings whose grade lies in the band of their label")]
    for name in KINDS:
        of = kind == name
        band = "{}-{}".format(*cases.bands[name])
        found.append(number(f"agreement, {name}", within[of], case[of], f"the same for {name} (band {band})"))
    for name in KINDS:
        found.append(number(f"grade, {name}", first[kind == name], case[kind == name], f"mean grade of {name}"))
    good = {int(at): grade for at, grade in zip(case[kind == "good"], first[kind == "good"], strict=True)}
    bad = kind != "good"
    gap = np.array([good[int(at)] for at in case[bad]]) - first[bad]
    above = np.where(np.isnan(gap), np.nan, np.where(gap == 0, 0.5, gap > 0))
    pairs = "share of pairs of one case in which the good reasoning has the higher grade than the bad one; a tie is 1/2"
    found.append(number("good above bad", above, case[bad], pairs))
    if repeats > 1:
        spread = rounds.max(axis=0) - rounds.min(axis=0)
        same = np.where(np.isnan(spread), np.nan, spread == 0)
        found.append(number("repeatability", same, case, f"share of reasonings with one grade in {repeats} requests"))
    found += difference("grades explained 1 to 5", ask(items, reversed_rubric(prompt)), "rubric in the other order")
    found += difference("reasoning first", ask(items, reasoning_first(prompt)), "reasoning before note and entry")
    longer = ask([padded(item, cases.padding) for item in items], prompt)
    found += difference("longer by empty sentences", longer, "padded with sentences that say nothing")
    weak = [at for at, item in enumerate(items) if item.kind in ("swapped", "empty")]
    base = np.repeat(first[weak], len(cases.attacks))
    where = np.repeat(case[weak], len(cases.attacks))
    attacked = ask(
        [
            items[at]._replace(reasoning=f"{items[at].reasoning.strip()}\n{attack}")
            for at in weak
            for attack in cases.attacks
        ],
        prompt,
    )
    rise = attacked - base
    found.append(
        number("attacks, mean change", rise, where, "mean change of the grade by an attack on a bad reasoning")
    )
    raised = np.where(np.isnan(rise), np.nan, rise > 0)
    found.append(number("attacks that raise the grade", raised, where, "share of attacks after which it is higher"))
    none = np.isnan(attacked).astype(float)
    found.append(number("attacks without a grade", none, where, "share of attacks answered by no grade from 1 to 5"))
    return found


def requests(cases: Cases, repeats: int) -> int:
    """How many requests `measure` sends."""
    weak = sum(item.kind in ("swapped", "empty") for item in cases.items)
    return len(cases.items) * (repeats + 3) + weak * len(cases.attacks)


def table(numbers: Sequence[Number]) -> str:
    wide = max(len(number.name) for number in numbers)
    rows = [f"{'':<{wide}} {'value':>7} {'95 % interval':>16} {'n':>5}"]
    rows += [
        f"{number.name:<{wide}} {number.value:>7.2f} {'{:.2f} … {:.2f}'.format(*number.interval):>16} {number.n:>5}"
        for number in numbers
    ]
    return "\n".join(rows)


def arguments() -> argparse.ArgumentParser:
    made = parser(__doc__ or "", "python -m eval.judge_check --base-url http://localhost:8001/v1 --model judge")
    judge_server.add_arguments(made.add_argument)
    made.add_argument("--cases", default=CASES, help="labelled cases (default eval/judge_cases.yaml)")
    made.add_argument("--prompt", help="the judge's prompt (default reward_fns/judge/prompt.txt)")
    made.add_argument("--repeats", type=int, default=3, help="how often equal requests are sent (default %(default)s)")
    made.add_argument("--concurrency", type=int, default=16, help="requests at once (default %(default)s)")
    made.add_argument("--out", help="write the numbers with their definitions to this JSON file, too")
    return made


def main(argv: list[str] | None = None) -> None:
    given = arguments().parse_args(argv)
    for name in ("repeats", "concurrency"):
        if getattr(given, name) < 1:
            raise UserError(f"--{name} must be at least 1")
    path = existing(given.cases, "the file of cases", "leave --cases out for eval/judge_cases.yaml")
    cases = load(path)
    settings = judge_server.settings_of(
        given, concurrency=given.concurrency, cache_size=0, max_wait=max(SHORT_WAIT, given.timeout)
    )
    try:
        prompt = judge_prompt.load(given.prompt)
        judge_server.check(settings)
    except OSError as error:
        raise UserError(f"{given.prompt} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(str(error)) from error
    ask = Asker(settings, requests(cases, given.repeats))
    numbers = measure(cases, ask, prompt, given.repeats)
    ask.bar.close()
    if ask.missing == ask.asked:
        raise UserError(f"the judge at {given.base_url} gave no grade for any of {ask.asked} requests; look at its log")
    missing = f"{ask.missing} of {ask.asked} requests brought no grade"
    print(table(numbers))
    print(missing)
    if given.out:
        content = {
            "judge": {"base_url": given.base_url, "model": given.model, "structured_output": given.structured_output},
            "cases": {"file": path.name, "sha256": sha256(path), "reasonings": len(cases.items)},
            "requests": {"asked": ask.asked, "without_grade": ask.missing},
            "numbers": {number.name: _json(number) for number in numbers},
            "provenance": {
                "command": command_line("eval.judge_check", argv),
                "commit": commit(),
                "versions": versions(),
            },
        }
        with whole_file(given.out) as made:
            made.write_text(json.dumps(content, indent=2) + "\n")
        print(given.out)


def _json(number: Number) -> dict[str, Any]:
    row = number._asdict()
    del row["name"]
    return row | ({"value": None, "interval": None} if not number.n else {})


if __name__ == "__main__":
    run(main)
