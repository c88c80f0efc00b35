"""The authors' files: gold and altered notes as JSON, and the notes among which physicians chose as text with tokens.

    gold = published.notes(folder / GOLD)           # a list of Graded
    published.to_json(gold[0]) == the JSON of its problems, steps and labels
    preferences = published.preferences(folder)

Numbers of problems and steps are theirs and stay when others are removed. The labels are those of the file; `causes`
of reward_fns.clinical_note.alterations recomputes them. The end of a note has none there and gets the rule's.
"""

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.commands import UserError, existing
from data_prep.clinical.graded import Graded
from reward_fns.clinical_note import tokens
from reward_fns.clinical_note.alterations import TITLE, Altered, Removed, causes, labelled
from reward_fns.clinical_note.notes import Note, Problem, Step, note_of

TRAIN = {"gold": "PRM-Clinic/prm_clinic_gold.json.gz", "errors": "PRM-Clinic/prm_clinic_error.json.gz"}
TASKS = {
    "gold": "test_set_verification_tasks/verificaiton_tasks_gold.json.gz",
    "errors": "test_set_verification_tasks/verificaiton_tasks_error.json.gz",
}
PREFERRED = {"notes": "test_set_A_prefer/A_Prefer.csv", "choice": "test_set_A_prefer/preference_label.csv"}
REMEDY = "give the authors' repository (hanyin88/prm-clinic), its large files fetched, or the folder that holds it"
KINDS = {"Factual Inaccuracy": "factual", "Hallucination": "hallucination", "Unhelpful": "unhelpful"}
DIALOGUE, NOTE = "###DIALOGUE:\n", "\n###CLINICAL NOTE-ASSESSMENT AND PLAN: \n"


def folder(given: Path) -> Path:
    """The authors' data folder, whether it, the repository around it or what holds that was given."""
    inside = Path(TRAIN["gold"]).parent
    found = (place for place in (given, given / "data", *sorted(given.glob("*/data"))) if (place / inside).is_dir())
    if place := next(found, None):
        return place
    raise UserError(f"{given} holds no folder data/{inside}; {REMEDY}")


def notes(path: Path) -> Iterator[Graded]:
    """The notes of a JSON file; a sentence names the case that is not as the rest."""
    existing(path, "the file", REMEDY)
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            cases = json.load(file)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is no gzipped JSON ({' '.join(str(error).split())}); {REMEDY}") from error
    for at, case in enumerate(cases):
        try:
            yield from_json(case)
        except (KeyError, TypeError, ValueError) as error:
            name = case.get("Case_id", at) if isinstance(case, dict) else at
            raise UserError(f"{path}: case {name} is not as the published ones: {error}; {REMEDY}") from error


def from_json(case: dict[str, Any]) -> Graded:
    """One note; ValueError when its labels are not those of its alterations."""
    note = tuple(
        Problem(int(one["Problem_no"]), one["Problem"], tuple(Step(int(s["Step_no"]), s["Step"]) for s in one["Steps"]))
        for one in case["Problems"]
    )
    altered = tuple(
        Altered(*_unit(one), KINDS[one["Error_type"]], one["Original_content"], one["New_content"])
        for one in case.get("Swapped_info", ())
    )
    removed = tuple(Removed(*_unit(one)) for one in case.get("Removed_info", ()))
    why = causes(note, altered, removed)
    if labelled(why)[:-1] != list(_labels(case)):
        raise ValueError("its labels do not follow from its alterations")
    sample = case.get("Sample_no")
    return Graded(
        case["Case_id"], None if sample is None else int(sample), case["Dialogue"], note, why, altered, removed
    )


def _unit(record: dict[str, Any]) -> tuple[int, int]:
    return int(record["Problem_no"]), int(record["Step_no"]) if record["Error_level"] == "Step" else TITLE


def _labels(case: dict[str, Any]) -> Iterator[str]:
    for problem in case["Problems"]:
        yield problem["Problem_score"]
        yield from (step["Step_score"] for step in problem["Steps"])
        yield problem["Problem_completeness_score"]
    yield case["Note_completeness_score"]


def to_json(note: Note, labels: list[str]) -> dict[str, Any]:
    """Problems, steps and labels in the authors' layout."""
    said = iter(labels)
    problems = [
        {
            "Problem": problem.title,
            "Problem_no": str(problem.no),
            "Problem_score": next(said),
            "Steps": [{"Step": s.text, "Step_no": str(s.no), "Step_score": next(said)} for s in problem.steps],
            "Problem_completeness_score": next(said),
        }
        for problem in note
    ]
    return {"Problems": problems, "Note_completeness_score": next(said)}


def preferences(given: Path) -> Iterator[tuple[Graded, bool]]:
    """The notes of A-Prefer, without labels, and whether each is the one that physicians chose among its case's."""
    chosen = {row["Case_id"]: row["Preferred_note"] for row in _rows(given / PREFERRED["choice"])}
    path = given / PREFERRED["notes"]
    for row in _rows(path):
        case, sample = row["Case_id"], row["Sample_no"]
        try:
            _, dialogue, written = _parts(row["Training_note"])
            note = note_of(tokens.read(written, tokens.PUBLISHED))
            yield Graded(case, int(sample.removeprefix("Note_")), dialogue, note), chosen[case] == sample
        except (KeyError, ValueError) as error:
            raise UserError(
                f"{path}: {sample} of case {case} is not as the published ones: {error}; {REMEDY}"
            ) from error


def _parts(text: str) -> tuple[str, str, str]:
    instruction, begins, rest = text.partition(DIALOGUE)
    dialogue, ends, note = rest.rpartition(NOTE)
    if not begins or not ends:
        raise ValueError(f"it lacks the line {(DIALOGUE if not begins else NOTE).strip()!r}")
    return instruction, dialogue, note


def _rows(path: Path) -> Iterator[dict[str, str]]:
    existing(path, "the file", REMEDY)
    with open(path, newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)
