"""What the samples of a note say: the answer, how sure it is, the alternatives, and all of it for people.

found = predicted(task, "note.txt", completions, prefill="", below=0.0, least=0.5)
print(shown(found))
"""

from typing import Any

from eval.scoring import votes
from reward_fns.answers import parse
from reward_fns.task import Scope, Task

ALTERNATIVES = 5  # shown in the terminal


def predicted(task: Task, name: str, texts: list[str], prefill: str, below: float, least: float) -> dict[str, Any]:
    """What the samples of one note say."""
    reward, scope = task.scorer(prefill=prefill), Scope(prefill)
    preds = [str(reward(text, task.example)["pred"]) for text in texts]  # the answer, whatever is right
    said = {level.key: [level.label(pred, scope) for pred in preds] for level in task.levels}
    finest = said[task.levels[task.finest].key]
    ballot = votes.ballot(task, finest, least)
    held = not ballot.answers or ballot.sure < below
    alike = [votes.value(task, ballot, label) if label else -1.0 for label in finest]  # of a sample and the answer
    return {
        "note": name,
        "task": task.key,
        "samples": len(texts),
        "valid": len(texts) - finest.count(None),
        "answer": [] if held else _titled(task, ballot.answers),
        "sure": ballot.sure,
        "abstained": held,
        "alternatives": _titled(task, ballot.shares if held else ballot.others),
        "levels": {
            level.title: votes.ballot(task, said[level.key], least).shares
            for level in task.levels
            if level is not task.levels[task.finest]
        },
        "reasoning": parse(texts[alike.index(max(alike))], task.tag, prefill).reasoning,
    }


def _titled(task: Task, shares: dict[str, float]) -> list[dict[str, Any]]:
    official = task.official or (lambda label: label)
    return [{"label": label, "share": share, "title": official(label)} for label, share in shares.items()]


def shown(found: dict[str, Any]) -> str:
    """The same for people."""
    wide = max(map(len, ("alternative", *found["levels"]))) + 2
    answers = [("answer", _line(each)) for each in found["answer"]] or [("answer", f"none: {_why(found)}")]
    others = [("alternative", _line(each)) for each in found["alternatives"][:ALTERNATIVES]]
    levels = [(title, ", ".join(f"{label} {share:.1%}" for label, share in shares.items()) or "nothing valid")
              for title, shares in found["levels"].items()]  # fmt: skip
    lines = [f"{name:{wide}}{text}" for name, text in (*answers, *levels, *others)]
    head = f"{found['note']}: {found['valid']} of {found['samples']} samples are valid"
    return "\n".join([head, *lines, "", found["reasoning"]])


def _line(each: dict[str, Any]) -> str:
    title = "" if each["title"] == each["label"] else f"  {each['title']}"
    return f"{each['share']:6.1%}  {each['label']}{title}"


def _why(found: dict[str, Any]) -> str:
    return f"the samples are sure by {found['sure']:.1%} only" if found["valid"] else "no sample has a valid answer"
