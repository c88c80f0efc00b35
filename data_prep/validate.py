"""Check prepared data: schema, gold scores the maximum in every row, token budgets, overlaps, manifest hashes.

    python -m data_prep.validate data

Takes DATA_DIR or one folder of it (data/drg, data/icd), prints a table of the files and ends with status 2 at the first
fault. `check_file` is what recipes.check calls for the files of a recipe.
"""

import json
from collections import Counter
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from common.commands import UserError, existing, parser, run
from common.files import sha256
from data_prep import parquet, prompts
from data_prep.parquet import golds, infos
from data_prep.writing import manifest
from reward_fns.task import TASKS, Task

SIDES = ("train", *parquet.HELD_OUT)


def check_file(path: Path, max_prompt_tokens: int | None = None, taskless: str = "", **files: Path) -> pa.Table:
    """One RL parquet, or a UserError with one sentence on what is wrong with it.

    `files` are those that a task's reward reads (extra_codes), by default the ones that lie beside the file; rows of
    the source `taskless` belong to no task, and their reward alone checks their golds.
    """
    table = parquet.read(path)
    if not table.num_rows:
        raise UserError(f"{path} has no rows; prepare more notes")
    check_golds(path, table, files, taskless)
    check_prompts(path, table["prompt"])
    longest = _longest(table)
    if max_prompt_tokens is not None and longest is not None and longest > max_prompt_tokens:
        raise UserError(
            f"{path}: a prompt has {longest} tokens, more than the {max_prompt_tokens} of the budget; "
            f"prepare the data with --max-prompt-tokens {max_prompt_tokens}"
        )
    return table


def _longest(table: pa.Table) -> int | None:
    """The most tokens of a prompt; None where none was counted."""
    return pc.max(pc.struct_field(table["extra_info"], "prompt_tokens")).as_py()


def check_golds(path: Path, table: pa.Table, given: dict[str, Path], taskless: str = "") -> None:
    """The gold, perfectly formatted, earns the maximum; rows of equal source and gold are scored once."""
    known: set[tuple[str, str]] = set()
    for row, pair in enumerate(zip(table["data_source"].to_pylist(), golds(table), strict=True)):
        if pair in known or pair[0] == taskless:
            continue
        known.add(pair)
        source, gold = pair
        task = TASKS.of_source(source, path)
        module, files = task.module(), _files(task, path, given)
        try:
            module.check_options(**files)
            module.check_gold(gold, **files)
        except ValueError as error:
            raise UserError(f"{path}, row {row}: {error}") from error
        score = module.compute_score(source, task.completion("Because.", gold), gold, **files)
        maximum = task.maximum(gold)
        if score["score"] != maximum or score["acc"] != 1.0:
            raise UserError(f"{path}, row {row}: the gold {gold!r} earns {score['score']}, not {maximum}")


def _files(task: Task, path: Path, given: dict[str, Path]) -> dict[str, str]:
    """The options of the task's reward that name files."""
    beside = {option: path.parent / name for option, name in task.files.items() if (path.parent / name).exists()}
    return {option: str(file) for option, file in {**beside, **given}.items() if option in task.files}


def check_prompts(path: Path, chats: pa.ChunkedArray) -> None:
    """Every prompt is a chat of messages that say something and ends with what the user asks."""
    lengths = pc.fill_null(pc.list_value_length(chats), 0).to_numpy()
    messages = pc.list_flatten(chats)
    said = pc.fill_null(pc.binary_length(pc.struct_field(messages, "content")), 0).to_numpy()
    users = pc.fill_null(pc.equal(pc.struct_field(messages, "role"), "user"), False).to_numpy()
    wrong = lengths == 0
    wrong[np.repeat(np.arange(len(lengths)), lengths)[said == 0]] = True
    wrong[~wrong] = ~users[np.cumsum(lengths) - 1][~wrong]
    if wrong.any():
        row = int(wrong.argmax())
        raise UserError(f"{path}, row {row}: the prompt must be a chat that ends with what the user asks")


def check_folder(folder: Path) -> list[str]:
    """A prepared folder against its manifest: lines of a table, or the first fault."""
    content = read_manifest(folder)
    for name, value in content.get("sha256", {}).items():  # what lies beside the parquet, such as codes.txt
        if sha256(existing(folder / name, "the file", "prepare the data again")) != value:
            raise UserError(f"{folder / name} is not the file of manifest.json; prepare the data again")
    tables: dict[str, pa.Table] = {}
    lines = [f"{'file':<24} {'rows':>9} {'labels':>7} {'patients':>9} {'tokens':>7} {'cut':>6}"]
    for name, said in content["files"].items():
        table = tables[name] = check_file(folder / name, content.get("max_prompt_tokens"))
        if (
            said != manifest.rows_of(infos(table, "hadm_id"))
            or content["labels"].get(name.removesuffix(".parquet"), labels := Counter(golds(table))) != labels
        ):
            raise UserError(f"{folder / name} is not the file of manifest.json; prepare the data again")
        lines.append(
            f"{name:<24} {table.num_rows:>9,} {len(labels):>7,} {len(set(infos(table, 'subject_id'))):>9,} "
            f"{_longest(table) or '-':>7} {sum(infos(table, 'note_truncated')):>6,}"
        )
    lines += check_overlaps(folder, tables, content["split"]["kind"])
    ours = prompts.hashes()
    changed = [name for name, value in content["prompts"].items() if ours.get(name) != value]
    lines.append(f"prompts: {'not those of this repository: ' + ', '.join(changed) if changed else 'as here'}")
    return lines


def check_overlaps(folder: Path, tables: dict[str, pa.Table], kind: str) -> list[str]:
    """No case is in two splits, nor in both parts of an SFT:RL split; with `patient`, no patient is in two splits."""
    cases = {name: set(infos(table, "index")) for name, table in tables.items()}
    sides: dict[str, list[str]] = {}
    for name in tables:
        side = name.removesuffix(".parquet").removesuffix("_small")
        sides.setdefault(side if side in SIDES else "train", []).append(name)
        other = name.replace("rl/", "sft/")
        if other != name and other.rpartition("_")[2][:-8].isdigit():
            disjoint(folder, "cases", cases, name, other)
    lines = []
    for one, other in combinations(sorted(sides, key=SIDES.index), 2):
        for name, its_name in product(sides[one], sides[other]):
            disjoint(folder, "cases", cases, name, its_name)
        for what in ("hadm_id", "subject_id"):
            values = {side: {i for name in sides[side] for i in infos(tables[name], what)} for side in (one, other)}
            if kind == "patient":
                disjoint(folder, f"values of {what}", values, one, other)
            lines.append(f"{what} in both {one} and {other}: {len(values[one] & values[other]):,}")
    return lines


def disjoint(folder: Path, what: str, sets: dict[str, set[int]], one: str, other: str) -> None:
    """Nothing is in both of two of the sets."""
    if both := sets[one] & sets[other]:
        raise UserError(f"{folder}: {len(both)} {what} are in both {one} and {other}; prepare again")


def read_manifest(folder: Path) -> dict[str, Any]:
    """manifest.json of a prepared folder."""
    path = existing(
        folder / "manifest.json",
        "the manifest",
        "give a folder that data_prep.drg or data_prep.icd wrote, for instance data/drg",
    )
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is no JSON ({error}); prepare the data again") from error


def prepared(folder: Path) -> list[Path]:
    """The folder itself, or the prepared folders in it."""
    names = dict.fromkeys(name for task in TASKS.values() for name in (task.key, task.paper))
    inner = [folder / name for name in names if (folder / name / "manifest.json").exists()]
    return [folder] if (folder / "manifest.json").exists() or not inner else inner


def main(argv: list[str] | None = None) -> None:
    p = parser(__doc__)
    p.add_argument("folder", type=Path, help="DATA_DIR, or a folder with manifest.json, such as data/drg")
    options = p.parse_args(argv)
    for folder in prepared(options.folder):
        print("\n".join(check_folder(folder)))
        print(f"{folder}: all checks passed")


if __name__ == "__main__":
    run(main)
