"""Wrong notes made of right ones: some lines altered, some steps and perhaps a problem removed, as often as published.

    made, count = injected(golds, Rules(golds), samples=7, seed=0)

The writer alters a line (data_prep.clinical.rules or .rewrite); how many, which, what is removed and the labels are
drawn and computed here; the same golds and seed give the same notes. With a journal, a file
with a line for every finished note, a run that was stopped goes on.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from common.commands import UserError
from common.llm_server import close
from data_prep.clinical.graded import Graded
from data_prep.clinical.rewrite import differs
from data_prep.clinical.rules import Unit
from reward_fns.clinical_note.alterations import ERRORS, TITLE, Altered, Removed, apply, causes, units
from reward_fns.clinical_note.notes import Note

# shares in the published test sets
ALTERED = {2: 0.101, 3: 0.419, 4: 0.330, 5: 0.151}  # lines of a note
TITLES = 0.179  # of the altered lines
LOSES_STEPS, LOSES_A_PROBLEM = 0.613, 0.187  # of the notes
SHORT_PROBLEMS = {1: 0.64, 2: 0.27, 3: 0.07, 4: 0.02}  # of a note that loses steps
LOST_STEPS = {1: 0.82, 2: 0.17, 3: 0.01}  # of such a problem


class Writer(Protocol):
    """Alters one line."""

    name: str

    def __call__(self, kind: str, gold: Graded, unit: Unit, rng: random.Random) -> Awaitable[str | None]: ...


def injected(
    golds: list[Graded], writer: Writer, samples: int, seed: int, journal: Path | None = None
) -> tuple[list[Graded], Counter[str]]:
    """So many wrong notes of every case, and how many lines were altered and removed, by kind."""
    known = _read(journal) if journal else {}
    wanted = [(gold, sample) for gold in golds for sample in range(samples)]
    missing = [one for one in wanted if (one[0].case, one[1]) not in known]
    with tqdm(total=len(missing), unit=" notes", desc="altering") as bar:
        asyncio.run(_fill(missing, writer, seed, journal, known, bar.update))
    made, count = [], Counter({"kept from before": len(wanted) - len(missing)} if journal else {})
    for gold, sample in wanted:
        altered, removed = known[gold.case, sample]
        if not altered and not removed:
            count["notes that could not be altered"] += 1
            continue
        note = apply(gold.note, altered, removed)
        made.append(gold._replace(
            sample=sample, note=note, altered=altered, removed=removed, causes=causes(note, altered, removed)
        ))  # fmt: skip
        count.update(one.kind for one in altered)
        count.update("removed problem" if one.step == TITLE else "removed step" for one in removed)
    return made, count


Records = tuple[tuple[Altered, ...], tuple[Removed, ...]]


async def _fill(
    missing: list[tuple[Graded, int]],
    writer: Writer,
    seed: int,
    journal: Path | None,
    known: dict[tuple[str, int], Records],
    done: Callable[[], object],
) -> None:
    async def fill(gold: Graded, sample: int) -> None:
        altered, removed = known[gold.case, sample] = await _drawn(gold, sample, writer, seed)
        if journal:
            with open(journal, "a", encoding="utf-8") as file:  # a line at once: whole, or torn at the end of the file
                file.write(json.dumps([gold.case, sample, altered, removed]) + "\n")
        done()

    try:
        async with asyncio.TaskGroup() as group:
            for one in missing:
                group.create_task(fill(*one))
    except* UserError as errors:
        raise errors.exceptions[0] from None
    finally:
        await close()


async def _drawn(gold: Graded, sample: int, writer: Writer, seed: int) -> Records:
    rng = random.Random(f"{seed}/{gold.case}/{sample}")
    there = units(gold.note)
    want = min(_weighted(rng, ALTERED), len(there))
    altered: list[Altered] = []
    for unit in _order(rng, list(there)):
        if len(altered) == want:
            break
        for kind in rng.sample(ERRORS, len(ERRORS)):
            made = await writer(kind, gold, unit, rng)
            if made and differs(made, there[unit]):
                altered.append(Altered(*unit, kind, there[unit], made))
                break
    return tuple(sorted(altered)), tuple(sorted(_lost(rng, gold.note, {(one.problem, one.step) for one in altered})))


def _order(rng: random.Random, left: list[Unit]) -> list[Unit]:
    """Lines in the order in which they are altered; titles come as often as published."""
    titles = [unit for unit in left if unit[1] == TITLE]
    steps = [unit for unit in left if unit[1] != TITLE]
    rng.shuffle(titles)
    rng.shuffle(steps)
    found = []
    while titles or steps:
        found.append((titles if titles and (not steps or rng.random() < TITLES) else steps).pop())
    return found


def _lost(rng: random.Random, note: Note, altered: set[Unit]) -> list[Removed]:
    """Steps that are removed, none of them altered, and perhaps a problem, whatever of it was."""
    lost = []
    if rng.random() < LOSES_STEPS:
        left = {one.no: [s.no for s in one.steps if (one.no, s.no) not in altered] for one in note}
        some = [no for no, steps in left.items() if steps]
        for no in rng.sample(some, min(_weighted(rng, SHORT_PROBLEMS), len(some))):
            lost += [Removed(no, step) for step in rng.sample(left[no], min(_weighted(rng, LOST_STEPS), len(left[no])))]
    if rng.random() < LOSES_A_PROBLEM:
        lost.append(Removed(rng.choice(note).no, TITLE))
    return lost


def _weighted(rng: random.Random, shares: dict[int, float]) -> int:
    return rng.choices(list(shares), shares.values())[0]


def _read(journal: Path) -> dict[tuple[str, int], Records]:
    """What a journal holds; a torn last line is cut off, so that the next one stands by itself."""
    if not journal.exists():
        return {}
    text = journal.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if whole != text:
        with open(journal, "r+b") as file:
            file.truncate(len(whole))
    found: dict[tuple[str, int], Records] = {}
    try:
        for line in whole.splitlines():
            case, sample, altered, removed = json.loads(line)
            found[case, sample] = tuple(Altered(*one) for one in altered), tuple(Removed(*one) for one in removed)
    except (ValueError, TypeError) as error:
        raise UserError(f"{journal} is damaged; delete it, and what it holds is asked for again") from error
    return found
