"""A toy task of its own: the shade and colour of a fruit ("dark red"), as a user would add one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reward_fns.answers import parse
from reward_fns.task import Check, Flags, Grouping, Level, Measure, Scope, Score, Task

COLOURS = ("red", "green", "blue")
SHADES = ("dark", "light")
GOLDS = tuple(f"{shade} {colour}" for colour in COLOURS for shade in SHADES)


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: dict | None = None, *, prefill: str = ""
) -> dict[str, Any]:
    """2 for shade and colour, 1 for the colour, 0 for another one, -1 for none, -2 for a wrong format."""
    answer = parse(solution_str, "colour", prefill)
    known, colour = answer.text in GOLDS, answer.text.split(" ")[-1] == ground_truth.split(" ")[-1]
    right = float(answer.text == ground_truth)
    score = (1.0 * colour + right if known else -1.0) if answer.format_ok else -2.0
    return {
        "score": score, "acc": right, "pred": answer.text, "format": float(answer.format_ok),
        "colour": float(known and colour), "reward_error": 0.0,
    }  # fmt: skip


def check_options(**options: object) -> None:
    if unknown := set(options) - {"prefill"}:
        raise ValueError(f"{unknown.pop()!r} is no option of the fruit reward")


def check_gold(gold: object, **options: object) -> None:
    if gold not in GOLDS:
        raise ValueError(f"{gold!r} is no colour of a fruit; there is {', '.join(GOLDS)}")


def _read(scored: Score, gold: str, scope: Scope) -> dict[str, float]:
    return {"acc": scored["acc"], "colour": scored["colour"], "format": scored["format"],
            "valid": float(scored["pred"] in GOLDS), "letters": float(len(scored["pred"]))}  # fmt: skip


def _kind(said: str, gold: str, flags: Flags) -> str:
    return (
        "right" if flags["acc"] else "other shade" if flags["colour"] else "other colour" if flags["valid"] else "none"
    )


def points(result: Score, options: Mapping[str, Any]) -> list[str]:
    return [f"colour     {result['colour']:+g}"]


def fruit(**changed: Any) -> Task:
    """The task, with parts of it changed."""
    parts: dict[str, Any] = {
        "key": "fruit", "source": "fruit_colour", "title": "Fruit", "paper": "own", "tag": "colour",
        "reward": "tests.support.fruit",
        "levels": (
            Level("whole", "whole answer", lambda text, _: text if text in GOLDS else None, lambda gold, _: gold,
                  "acc", GOLDS),
            Level("colour", "colour", lambda text, _: text.split(" ")[-1] if text in GOLDS else None,
                  lambda gold, _: gold.split(" ")[-1], "colour", COLOURS),
        ),
        "flags": ("acc", "colour", "format", "valid"),
        "numbers": ("reward", "letters", "reasoning_words"),
        "measures": (
            Measure("letters", "mean number of letters of the answer", "words", "letters"),
            Measure("reward", "mean reward of a colour", "reward", "reward"),
        ),
        "valid": "a colour of a fruit", "read": _read, "canonical": str.lower, "maximum": lambda gold: 2.0,
        "columns": ("pass@1", "maj@n"), "printed": ("pass@1",),
        "groups": (Grouping("shade", "shade", lambda gold: gold.split(" ")[0]),), "stands": "whole/pass@1",
        "confusion": "colour", "pairs": "colour",
        "kinds": {"right": "the answer is right", "other shade": "the right colour", "other colour": "another colour",
                  "none": "wrong format or no colour"},
        "kind": _kind, "describe": repr, "points": points,
        "styles": {"plain": (Check("shouts", "shouts", lambda text, gold: text.isupper()),)},
        "prompts": Path(__file__).parent,
    }  # fmt: skip
    return Task(**(parts | changed))
