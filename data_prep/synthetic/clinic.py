"""Conversations between a patient and a physician, each with its note: sides, doses, findings and times are in both.

    for visit in visits(1000, seed=0): visit.dialogue, visit.note

All sentences stand in clinic.yaml. What a note says follows from its conversation alone, and a conversation also has
numbers that belong in no note.
"""

import csv
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from common.commands import UserError
from common.files import beside, own_folder
from reward_fns.clinical_note import written
from reward_fns.clinical_note.notes import Note, Problem, Step
from reward_fns.clinical_note.written import ASSESSMENT, PLAN

SAY = beside(__file__)  # clinic.yaml
SETS, CUTS = ("train", "valid", "test"), (0.8, 0.85)  # and the shares at which one ends


class Visit(NamedTuple):
    """One conversation and its note."""

    number: int
    dialogue: str
    note: Note


def visits(count: int, seed: int) -> Iterator[Visit]:
    """So many visits; one and the same number and seed give the same visit."""
    for number in range(count):
        rng = random.Random(f"{seed}/clinic/{number}")
        chosen = rng.sample(SAY["problems"], rng.choice((1, 1, 2)))
        words = {name: rng.choice(choices) for name, choices in SAY["words"].items()}
        talk, note = [_said(rng.choice(SAY["openings"]), words)], []
        for no, problem in enumerate(chosen, 1):
            talk += [_said(pair, words) for pair in problem["talk"]]
            if rng.random() < 0.5:
                talk.append(_said(rng.choice(SAY["chat"]), words))
            texts = [text.format(**words) for part in ("assessment", "plan") for text in problem[part]]
            texts[0] = f"{ASSESSMENT} {texts[0]}"
            texts[len(problem["assessment"])] = f"{PLAN} {texts[len(problem['assessment'])]}"
            note.append(_problem(no, problem["title"].format(**words), texts))
        talk.append(_said(SAY["closing"], words))
        last = SAY["follow up"]
        note.append(_problem(len(note) + 1, last["title"], [text.format(**words) for text in last["steps"]]))
        yield Visit(number, "\n".join(talk), tuple(note))


def write(out: Path, count: int, seed: int) -> None:
    """The visits as CSV files, a set each."""
    if count < 20:
        raise UserError(f"--dialogues {count} is too few for a training, a validation and a test set; give 20 or more")
    cuts = [0, *(round(count * share) for share in CUTS), count]
    with own_folder(out) as folder:
        made = list(visits(count, seed))
        for name, begin, end in zip(SETS, cuts, cuts[1:], strict=False):
            with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
                rows = csv.writer(file, lineterminator="\n")
                rows.writerow(("encounter_id", "dialogue", "note"))
                rows.writerows((visit.number, visit.dialogue, written.write(visit.note)) for visit in made[begin:end])


def _said(pair: list[str], words: dict[str, str]) -> str:
    doctor, patient = (line.format(**words) for line in pair)
    return f"[doctor] {doctor}\n[patient] {patient}"


def _problem(no: int, title: str, texts: list[str]) -> Problem:
    return Problem(no, title, tuple(Step(at, text) for at, text in enumerate(texts, 1)))
