"""The grammar and the label rules of clinical notes a second time, in other words and on the authors' own JSON.

Written from the description of the data alone: the tests compare what the package does with this, on thousands of odd
notes and, where the published files are given, on all of those.
"""

import re
from typing import Any

DIGIT = {"problem": "1", "step": "2", "problem_complete": "3", "note_complete": "4", "end": "5"}
NOTE = re.compile(r"(?:1L(?:2L)*3L)*4L5L")
TOKEN = re.compile(r"<\|reserved_special_token_(\d)\|>")


def follows_grammar(kinds: list[str]) -> bool:
    """Whether a sequence of positions, each with a label, is a note."""
    return NOTE.fullmatch("".join(DIGIT.get(kind, "?") + "L" for kind in kinds)) is not None


def text_follows_grammar(text: str) -> bool:
    """The same for a text with the published tokens: 6 is the placeholder, 7 is +, 8 is -."""
    shape = "".join("L" if token in "678" else token for token in TOKEN.findall(text))
    return NOTE.fullmatch(shape) is not None and TOKEN.split(text)[-1] == ""


def labels(case: dict[str, Any]) -> list[str]:
    """The labels of a case, from its records alone: title, its steps, its completeness, …, the note's, the end's."""
    rewritten = {(record["Problem_no"], record.get("Step_no")) for record in case.get("Swapped_info") or []}
    lost_steps, lost_problems = set(), set()
    for record in case.get("Removed_info") or []:
        (lost_steps if record["Error_level"] == "Step" else lost_problems).add(record["Problem_no"])
    found = []
    for problem in case["Problems"]:
        number = problem["Problem_no"]
        found.append("-" if (number, None) in rewritten else "+")
        for step in problem["Steps"]:
            found.append("-" if (number, step["Step_no"]) in rewritten else "+")
        found.append("-" if number in lost_steps else "+")
    found.append("-" if lost_problems else "+")
    found.append("-" if "-" in found else "+")
    return found


def stated(case: dict[str, Any]) -> list[str]:
    """The labels that a case's JSON carries, in the same order; the end has none there."""
    found = []
    for problem in case["Problems"]:
        scores = [problem["Problem_score"], *(step["Step_score"] for step in problem["Steps"])]
        found += [*scores, problem["Problem_completeness_score"]]
    return [*found, case["Note_completeness_score"]]
