"""Print, for people, how the score of one completion came about.

    python -m reward_fns.explain --task drg --gold "ANGINA PECTORIS" --completion FILE --option accuracy=strict

FILE - is standard input. --option KEY=VALUE gives one of the reward's own options and may be repeated.
"""

import argparse
import json
import sys
from pathlib import Path

from common.commands import UserError, existing, parser, run
from reward_fns.answers import parse, with_prefill
from reward_fns.task import TASKS, Task


def explain(task: Task, completion: str, gold: str, **options: object) -> list[str]:
    """The lines that tell how the score came about."""
    prefill = str(options.get("prefill", ""))
    result = task.module().compute_score(task.source, completion, gold, **options)
    answer = parse(completion, task.tag, prefill)
    lines = [f"gold       {task.describe(gold)}"]
    if answer.format_ok:
        lines.append(f"answer     {task.describe(answer.text)}")
    else:
        lines.append(f"fault      {format_fault(completion, task.tag, prefill)}; so there is no answer")
    if options.get("matching") == "published":
        lines.append("matching   format and points follow the published code, faults included, not the lines above")
    fault = "  (a fault: the trainer would stop)" if result["reward_error"] else ""
    return [*lines, *task.points(result, options), f"score      {result['score']:g}{fault}"]


def format_fault(completion: str, tag: str, prefill: str = "") -> str:
    """What is wrong with the format of a completion, or "right"."""
    if parse(completion, tag, prefill).format_ok:
        return "right"
    text = with_prefill(completion, prefill)
    lower, places = text.lower(), []
    for name in ("<think>", "</think>", f"<{tag}>", f"</{tag}>"):
        if lower.count(name) != 1:
            return f"{name} occurs {lower.count(name)} times instead of once"
        if name not in text:
            return f"{name} is not in lower case"
        places.append(text.index(name))
    if places != sorted(places):
        return f"the blocks <think> and <{tag}> are not in order"
    if not text[places[0] + len("<think>") : places[1]].strip():
        return "the reasoning is empty"
    return "there is text outside the two blocks"


def option(text: str) -> tuple[str, object]:
    """KEY=VALUE, its value read as a number where it is one."""
    key, sign, value = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form KEY=VALUE")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--task", choices=tuple(TASKS), required=True)
    arguments.add_argument("--gold", required=True, help="the right DRG title or ICD-10-CM code")
    arguments.add_argument("--completion", required=True, help="a file with the completion, - for standard input")
    arguments.add_argument("--option", type=option, action="append", default=[], metavar="KEY=VALUE")
    given = arguments.parse_args(argv)
    task, options = TASKS[given.task], dict(given.option)
    reward = task.module()
    try:
        reward.check_options(**options)
        reward.check_gold(given.gold, **options)
        if given.completion == "-":
            completion = sys.stdin.read()
        else:
            path = existing(given.completion, "the completion", "write it to a file, or give - for standard input")
            completion = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{given.completion} is not UTF-8 text; save it as UTF-8") from None
    except IsADirectoryError:
        raise UserError(f"{given.completion} is a folder; give a file with one completion") from None
    except ValueError as error:
        raise UserError(str(error)) from None
    print("\n".join(explain(task, completion, given.gold, **options)))


if __name__ == "__main__":
    run(main)
