"""A sheet for reviewers, as in the paper's reader study, and what filled sheets say.

    review.write(samples, kinds, Path("sheet.csv"), cases=30, seed=0, notes=False)
    print(review.summary([Path("sheet_a.csv"), Path("sheet_b.csv")]))

A row is a case drawn at random: gold, answer, reasoning, and empty columns for helpfulness and accuracy, each 1 (worst)
to 5. A reasoning tells of the patient, so a sheet stays where the notes stay; the notes themselves only by a flag.
"""

import csv
import sys
from itertools import chain
from pathlib import Path

import numpy as np

from common.commands import UserError, existing
from common.files import whole_file
from data_prep import parquet
from eval.scoring.samples import Samples
from reward_fns.answers import parse

RATINGS = ("helpfulness", "accuracy")
COLUMNS = ("index", "hadm_id", "gold", "answer", "kind", "reasoning", *RATINGS, "comment")
WARNING = "warning: {} holds {}, which the data agreement covers; keep it where the notes are and send it nowhere else"


def cell(value: object) -> object:
    """A text that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t") else value


def write(samples: Samples, kinds: np.ndarray, path: Path, cases: int, seed: int, notes: bool) -> str:
    """Write the sheet; what was written, for the terminal. Each case is shown by its first completion in the format."""
    texts = _notes(samples) if notes else {}
    shown = (samples.numbers["format"] > 0).any(axis=1)
    places = np.random.default_rng(seed).permutation(np.flatnonzero(shown))[:cases]
    if not len(places):
        raise UserError(f"{samples.folder} has no completion in the right format, so nothing to review")
    index = samples.cases["index"].to_numpy()
    said = samples.completions({int(index[i]) for i in places})
    with whole_file(path) as made, made.open("w", newline="", encoding="utf-8-sig") as file:
        rows = csv.DictWriter(file, [*COLUMNS, "note"] if notes else COLUMNS, extrasaction="ignore")
        rows.writeheader()
        for i, case in zip(places, samples.cases.take(places).to_pylist(), strict=True):
            j = int(samples.numbers["format"][i].argmax())
            answer = parse(said[case["index"]][j], samples.task.tag, samples.run["settings"]["prefill"])
            row = case | {"gold": case["ground_truth"], "answer": answer.text, "kind": kinds[i, j]}
            row |= {"reasoning": answer.reasoning, "note": texts.get(case["index"])}
            rows.writerow({name: cell(value) for name, value in row.items()})
    print(WARNING.format(path, "clinical notes" if notes else "reasonings about patients"), file=sys.stderr)
    return f"{path}: {len(places)} cases; fill in {' and '.join(RATINGS)}, 1 (worst) to 5"


def _notes(samples: Samples) -> dict[int, str]:
    """What the user of each prompt says, from the data file of the run."""
    data = samples.run["settings"]["data"]
    table = parquet.read(existing(data["name"], "the data file", "notes are read from where the run read them"))
    rows = zip(parquet.infos(table, "index"), table["prompt"].to_pylist(), strict=True)
    return {index: "\n\n".join(turn["content"] for turn in chat if turn["role"] == "user") for index, chat in rows}


def summary(paths: list[Path]) -> str:
    """Median and quartiles of both ratings, for each sheet and over all."""
    sheets = {str(path): _ratings(path) for path in paths}
    if len(paths) > 1:
        sheets["all sheets"] = {name: list(chain(*(found[name] for found in sheets.values()))) for name in RATINGS}
    wide = max(map(len, (*sheets, "all sheets"))) + 2
    lines = ["".ljust(wide) + "".join(f"{name:>24}" for name in RATINGS) + "   median [quartiles], cases"]
    for name, found in sheets.items():
        lines.append(name.ljust(wide) + "".join(f"{_middle(found[rating]):>24}" for rating in RATINGS))
    return "\n".join(lines)


def _middle(values: list[int]) -> str:
    if not values:
        return "-"
    low, median, high = np.percentile(values, [25, 50, 75])
    return f"{median:g} [{low:g}, {high:g}], {len(values)}"


def _ratings(path: Path) -> dict[str, list[int]]:
    existing(path, "the sheet", "give a sheet that `python -m eval.errors --sheet` wrote")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            file.seek(0)
            rows = list(csv.DictReader(file, delimiter=";" if first.count(";") > first.count(",") else ","))
    except (UnicodeDecodeError, csv.Error, IsADirectoryError) as error:
        raise UserError(f"{path} is no CSV in UTF-8; save it as that") from error
    found: dict[str, list[int]] = {name: [] for name in RATINGS}
    if not rows or not set(RATINGS) <= set(rows[0]):
        raise UserError(f"{path} lacks the columns {' and '.join(RATINGS)}; fill in a sheet of eval.errors")
    for number, row in enumerate(rows, 2):
        for name in RATINGS:
            text = (row[name] or "").strip()
            if text and text not in ("1", "2", "3", "4", "5"):
                raise UserError(f"{path}: row {number} has {text[:20]!r} for {name}; write 1 to 5, or nothing")
            found[name] += [int(text)] if text else []
    if not any(found.values()):
        raise UserError(f"{path} has no rating yet; fill in {' and '.join(RATINGS)}")
    return found
