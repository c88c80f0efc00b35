"""Turn what a run found out about its prompts into training files without the easy or hard ones, or in order.

    python -m data_prep.curriculum --data data/drg/rl/small.parquet --outcomes runs/…/outcomes.parquet
    python -m data_prep.curriculum --data data/drg/rl/small.parquet --parts 3

Beside DATA it writes DATA_without_easy, DATA_without_hard, DATA_without_easy_and_hard, DATA_easy_to_hard and DATA_hard
(DRG-Sapphire, appendices A.6 and A.7), or DATA_part_1 … DATA_part_N of equal size for staged learning, and
DATA_curriculum.json or DATA_parts.json with the counts. A prompt whose rewards were all equal is *easy* if all were
right and *hard* if every answer was valid and earned what the reward pays for one with nothing right. Any other is
neither, and so is one that the run never drew. Within the order, which the paper leaves open, prompts go by their mean
accuracy reward, then as they stood.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from common.commands import UserError, parser, run
from common.files import sha256, whole_file
from common.record import command_line
from data_prep import parquet
from data_prep.writing.manifest import rows_of
from reward_fns.drg.reward import NOTHING, SCHEMES, payments

COLUMNS = ("step", "index", "score", "accuracy", "acc", "format")


class Outcome(NamedTuple):
    """What became of one prompt's group: easy, hard or neither, and its mean accuracy reward."""

    easy: bool
    hard: bool
    mean: float


def judge(
    score: list[float], accuracy: list[float], acc: list[float], format: list[float], wrong: frozenset[float]
) -> Outcome:
    """Appendix A.6 for one group; `wrong` is what the scheme pays for a valid title with nothing right."""
    equal = len(set(score)) == 1
    return Outcome(
        easy=equal and all(acc),
        hard=equal and not any(format) and not any(acc) and set(accuracy) <= wrong,
        mean=float(np.mean(accuracy)),
    )


def schemes_of(outcomes: Path, given: str | None) -> list[str]:
    """The accuracy scheme of a run: as given, as config.yaml beside its outcomes says, else any."""
    config = outcomes.with_name("config.yaml")
    if given is None and config.exists():
        reward = (yaml.safe_load(config.read_text(encoding="utf-8")) or {}).get("reward") or {}
        given = ((reward.get("custom_reward_function") or {}).get("reward_kwargs") or {}).get("accuracy")
    if given is not None and given not in SCHEMES:
        raise UserError(f"the accuracy scheme {given!r} is unknown; there is {', '.join(SCHEMES)}: say --accuracy NAME")
    return [given] if given else list(SCHEMES)


def read_outcomes(path: Path, schemes: list[str]) -> dict[int, Outcome]:
    """The last outcome of every prompt, by its index."""
    remedy = "give the outcomes.parquet of a finished GRPO run"
    table = parquet.load(path, "the outcomes", remedy)
    if missing := [name for name in COLUMNS if name not in table.column_names]:
        raise UserError(f"{path} lacks the column {missing[0]}; {remedy} of a DRG recipe")
    rows = sorted(table.select(COLUMNS).to_pylist(), key=lambda row: row["step"])
    wrong = frozenset().union(*(payments(scheme, NOTHING) for scheme in schemes))
    return {row["index"]: judge(row["score"], row["accuracy"], row["acc"], row["format"], wrong) for row in rows}


def filtered(indices: list[int], outcomes: dict[int, Outcome]) -> dict[str, np.ndarray]:
    """Row numbers of every file that the outcomes make, by the file's suffix."""
    known = [outcomes.get(index) for index in indices]
    middle = float(np.mean([found.mean for found in known if found]))
    easy, hard, means = map(np.array, zip(*(found or Outcome(False, False, middle) for found in known), strict=True))
    return {
        "without_easy": np.flatnonzero(~easy),
        "without_hard": np.flatnonzero(~hard),
        "without_easy_and_hard": np.flatnonzero(~easy & ~hard),
        "easy_to_hard": np.argsort(-means, kind="stable"),
        "hard": np.flatnonzero(hard),
    }


def main(argv: list[str] | None = None) -> None:
    p = parser(__doc__)
    p.add_argument("--data", type=Path, required=True, help="the RL parquet that the run trained on")
    source = p.add_mutually_exclusive_group(required=True)
    source.add_argument("--outcomes", type=Path, help="outcomes.parquet in the folder of an unfiltered run")
    source.add_argument("--parts", type=int, help="cut the file into this many equal parts instead")
    p.add_argument("--accuracy", metavar="SCHEME", help="the run's (default: what config.yaml beside it says)")
    p.add_argument("--out", type=Path, help="folder of the new files (default: that of DATA)")
    given = p.parse_args(argv)
    table = parquet.read(given.data)
    indices, hadm_ids = parquet.infos(table, "index"), np.array(parquet.infos(table, "hadm_id"))
    drawn = None
    if given.parts is not None:
        if not 2 <= given.parts <= table.num_rows:
            raise UserError(f"--parts {given.parts}: {given.data} has {table.num_rows} rows; take 2 or more parts")
        # the rows are in no order: every n-th one is as good as any
        files = {f"part_{part + 1}": np.arange(part, table.num_rows, given.parts) for part in range(given.parts)}
    else:
        outcomes = read_outcomes(given.outcomes, schemes_of(given.outcomes, given.accuracy))
        drawn = sum(index in outcomes for index in indices)
        if not drawn:
            raise UserError(f"{given.outcomes} knows no prompt of {given.data}; give the file that the run trained on")
        files = filtered(indices, outcomes)
    folder, stem = given.out or given.data.parent, given.data.stem
    counts = {}
    for suffix, rows in files.items():
        name = f"{stem}_{suffix}.parquet"
        if not len(rows):
            print(f"{name:<40} not written: no prompt is left for it")
            (folder / name).unlink(missing_ok=True)
            continue
        parquet.write(table.take(rows), folder / name)
        counts[name] = rows_of(hadm_ids[rows].tolist())
        print(f"{name:<40} {len(rows):>9,} of {table.num_rows:,} prompts")
    if drawn is not None and drawn < table.num_rows:
        print(f"note: the run never drew {table.num_rows - drawn:,} prompts; they count as neither easy nor hard")
    record = {"command": command_line("data_prep.curriculum", argv), "data_sha256": sha256(given.data)}
    record |= {"drawn": drawn, "files": counts}
    with whole_file(folder / f"{stem}_{'parts' if given.parts else 'curriculum'}.json") as file:
        file.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
