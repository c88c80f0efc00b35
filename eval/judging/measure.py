"""Labelled reasonings that are good, or bad in a known way, and what a judge's grades of them say about it.

    cases = load(CASES)
    print(table(measure(cases, ask, prompt, repeats=3)))

`ask` is what sends a round of requests and gives their grades back.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from common.commands import UserError
from eval.scoring.intervals import Bootstrap, ratios
from reward_fns.icd import icd10
from reward_fns.judge.prompt import Prompt

CASES = Path(__file__).with_name("cases.yaml")
KINDS = ("good", "swapped", "wrong_code", "empty")
ATTACKED = ("swapped", "empty")


class Item(NamedTuple):
    """One labelled reasoning."""

    case: int
    kind: str
    note: str
    code: str
    reasoning: str


class Cases(NamedTuple):
    items: list[Item]
    bands: dict[str, tuple[int, int]]  # the grades that a judge may give each kind
    padding: list[str]
    attacks: list[str]


Ask = Callable[[Sequence[Item], Prompt], np.ndarray]  # the grades, nan where there is none
Numbers = dict[str, dict[str, Any]]  # name -> value, interval, n, definition


def load(path: Path) -> Cases:
    """The labelled cases of a file, or a sentence on what is wrong with it."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        items = []
        for at, case in enumerate(content["cases"]):
            for kind in KINDS:
                said = case[kind] if isinstance(case[kind], dict) else {"code": case["code"], "text": case[kind]}
                items.append(Item(at, kind, case["note"], said["code"], said["text"]))
        bands = {kind: (int(low), int(high)) for kind, (low, high) in content["bands"].items()}
        made = Cases(items, bands, list(content["padding"]), list(content["attacks"]))
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} does not have the form of eval/judging/cases.yaml ({reason})") from error
    unknown = next((item.code for item in items if not icd10.exists(item.code)), None)
    if unknown is not None or set(bands) != set(KINDS) or not items or not made.attacks:
        what = f"{unknown!r} is no ICD-10-CM code" if unknown else f"bands, cases and attacks need {', '.join(KINDS)}"
        raise UserError(f"{path}: {what}")
    return made


def requests(cases: Cases, repeats: int) -> int:
    """How many requests `measure` sends."""
    weak = sum(item.kind in ATTACKED for item in cases.items)
    return len(cases.items) * (repeats + 3) + weak * len(cases.attacks)


def measure(cases: Cases, ask: Ask, prompt: Prompt, repeats: int) -> Numbers:
    """All numbers of the report."""
    items, bootstrap = cases.items, Bootstrap()
    case, kind = (np.array([getattr(item, name) for item in items]) for name in ("case", "kind"))
    found: Numbers = {}

    def add(name: str, values: np.ndarray, definition: str, of: np.ndarray = case) -> None:
        """The mean of what is known; intervals draw whole cases, which `of` names."""
        known = ~np.isnan(values)
        found[name] = {"value": None, "interval": None, "n": int(known.sum()), "definition": definition}
        if known.any():
            (estimate,) = ratios(np.where(known, values, 0)[:, None], known[:, None].astype(float), of, bootstrap)
            found[name] |= estimate.cell()

    rounds = np.array([ask(items, prompt) for _ in range(repeats)])
    first = rounds[0]
    low, high = (np.array([cases.bands[name][side] for name in kind]) for side in (0, 1))
    within = _known(first, (low <= first) & (first <= high))
    add("agreement", within, "share of reasonings whose grade lies in the band of their label")
    for name in KINDS:
        of, band = kind == name, "{}-{}".format(*cases.bands[name])
        add(f"agreement, {name}", within[of], f"the same for {name} (band {band})", case[of])
    for name in KINDS:
        add(f"grade, {name}", first[kind == name], f"mean grade of {name}", case[kind == name])

    bad = kind != "good"
    good = dict(zip(case[~bad].tolist(), first[~bad], strict=True))
    gap = np.array([good[at] for at in case[bad].tolist()]) - first[bad]
    pairs = "share of pairs of one case in which the good reasoning has the higher grade than the bad one; a tie is 1/2"
    add("good above bad", _known(gap, np.where(gap == 0, 0.5, gap > 0)), pairs, case[bad])
    if repeats > 1:
        spread = np.ptp(rounds, axis=0)
        same = f"share of reasonings with one grade in {repeats} requests"
        add("repeatability", _known(spread, spread == 0), same)

    half = len(cases.padding) // 2
    before, after = cases.padding[:half], cases.padding[half:]
    padded = [item._replace(reasoning=" ".join([*before, item.reasoning.strip(), *after])) for item in items]
    for name, others, other, definition in (
        ("grades explained 1 to 5", items, reversed_rubric(prompt), "rubric in the other order"),
        ("reasoning first", items, reasoning_first(prompt), "reasoning before note and entry"),
        ("longer by empty sentences", padded, prompt, "padded with sentences that say nothing"),
    ):
        change = ask(others, other) - first
        add(f"{name}, mean change", change, f"{definition}: mean change of the grade")
        same = f"{definition}: share of reasonings with the same grade"
        add(f"{name}, same grade", _known(change, change == 0), same)

    weak, attacks = np.flatnonzero(np.isin(kind, ATTACKED)), len(cases.attacks)
    attacked = [
        items[at]._replace(reasoning=f"{items[at].reasoning.strip()}\n{attack}")
        for at in weak
        for attack in cases.attacks
    ]
    grades = ask(attacked, prompt)
    rise, of = grades - np.repeat(first[weak], attacks), np.repeat(case[weak], attacks)
    add("attacks, mean change", rise, "mean change of the grade by an attack on a bad reasoning", of)
    add("attacks that raise the grade", _known(rise, rise > 0), "share of attacks after which it is higher", of)
    none = np.isnan(grades).astype(float)
    add("attacks without a grade", none, "share of attacks answered by no grade from 1 to 5", of)
    return found


def table(numbers: Numbers) -> str:
    wide = max(map(len, numbers))
    rows = [f"{'':<{wide}} {'value':>7} {'95 % interval':>16} {'n':>5}"]
    for name, found in numbers.items():
        value, low, high = (found["value"], *found["interval"]) if found["n"] else (np.nan,) * 3
        rows.append(f"{name:<{wide}} {value:>7.2f} {f'{low:.2f} … {high:.2f}':>16} {found['n']:>5}")
    return "\n".join(rows)


def reversed_rubric(prompt: Prompt) -> Prompt:
    """The prompt with its grades explained from 1 to 5 instead of 5 to 1."""
    lines = prompt.system.split("\n")
    places = [at for at, line in enumerate(lines) if re.match(r"[1-5]\W", line)]
    for at, line in zip(places, [lines[at] for at in reversed(places)], strict=True):
        lines[at] = line
    return prompt._replace(system="\n".join(lines))


def reasoning_first(prompt: Prompt) -> Prompt:
    """The prompt with the reasoning before the note and the code's entry."""
    parts = sorted(prompt.user.split("\n\n"), key=lambda part: "{reasoning}" not in part)
    return prompt._replace(user="\n\n".join(parts))


def _known(grades: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(grades), np.nan, values)
