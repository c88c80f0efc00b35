"""Check prepared data: schema, gold scores the maximum in every row, token budgets, overlaps, manifest hashes.

    python -m data_prep.validate data/drg

Prints a table of the files and ends with status 2 at the first fault. `check_file` is what recipes.check calls for the
files of a recipe.
"""

import importlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from commands import UserError, existing, parser, run
from data_prep import manifest, prompts, schema
from data_prep.schema import golds, infos


class Reward(NamedTuple):
    """How a data source is scored: the module, the tag of the answer, the highest score under the default options."""

    module: str
    tag: str
    maximum: float


REWARDS = {"mimic_drg": Reward("reward_fns.drg", "answer", 2.0)}


def check_file(path: Path, max_prompt_tokens: int | None = None) -> pa.Table:
    """One RL parquet, or a UserError with one sentence on what is wrong with it."""
    table = schema.read(path)
    if not table.num_rows:
        raise UserError(f"{path} has no rows; prepare more notes")
    for source in sorted(set(table["data_source"].to_pylist())):
        if source not in REWARDS:
            raise UserError(f"{path}: the data_source {source!r} is unknown; known: {', '.join(REWARDS)}")
    check_golds(path, zip(table["data_source"].to_pylist(), golds(table), strict=True))
    for row, chat in enumerate(table["prompt"].to_pylist()):
        if not chat or chat[-1]["role"] != "user" or not all(message["content"] for message in chat):
            raise UserError(f"{path}, row {row}: the prompt must be a chat that ends with what the user asks")
    tokens = [count for count in infos(table, "prompt_tokens") if count is not None]
    if max_prompt_tokens is not None and tokens and max(tokens) > max_prompt_tokens:
        raise UserError(
            f"{path}: a prompt has {max(tokens)} tokens, more than the {max_prompt_tokens} of the budget; "
            f"prepare the data with --max-prompt-tokens {max_prompt_tokens}"
        )
    return table


def check_golds(path: Path, rows: Iterable[tuple[str, str]]) -> None:
    """The gold, perfectly formatted, earns the maximum; rows of equal source and gold are scored once."""
    known: set[tuple[str, str]] = set()
    for row, (source, gold) in enumerate(rows):
        if (source, gold) in known:
            continue
        known.add((source, gold))
        reward = REWARDS[source]
        module = importlib.import_module(reward.module)
        try:
            module.check_gold(gold)
        except ValueError as error:
            raise UserError(f"{path}, row {row}: {error}") from error
        perfect = f"<think>\nBecause.\n</think>\n<{reward.tag}>\n{gold}\n</{reward.tag}>"
        score = module.compute_score(source, perfect, gold)
        if score["score"] != reward.maximum or score["acc"] != 1.0:
            raise UserError(f"{path}, row {row}: the gold {gold!r} earns {score['score']}, not {reward.maximum}")


def check_folder(folder: Path) -> list[str]:
    """A prepared folder against its manifest: lines of a table, or the first fault."""
    content = read_manifest(folder)
    budget = content.get("max_prompt_tokens")
    tables: dict[str, pa.Table] = {}
    lines = [f"{'file':<24} {'rows':>9} {'labels':>7} {'patients':>9} {'tokens':>7} {'cut':>6}"]
    for name, said in content["files"].items():
        table = tables[name] = check_file(folder / name, budget)
        if said["rows"] != table.num_rows or said["hadm_ids_sha256"] != manifest.ids_hash(infos(table, "hadm_id")):
            raise UserError(f"{folder / name} is not the file of manifest.json; prepare the data again")
        tokens = [count for count in infos(table, "prompt_tokens") if count is not None]
        lines.append(
            f"{name:<24} {table.num_rows:>9,} {len(set(golds(table))):>7,} "
            f"{len(set(infos(table, 'subject_id'))):>9,} {max(tokens) if tokens else '-':>7} "
            f"{sum(infos(table, 'note_truncated')):>6,}"
        )
    lines += check_overlaps(folder, tables, content["split"]["kind"])
    ours = prompts.hashes()
    changed = [name for name, value in content["prompts"].items() if ours.get(name) != value]
    lines.append(f"prompts: {'not those of this repository: ' + ', '.join(changed) if changed else 'as here'}")
    return lines


def check_overlaps(folder: Path, tables: dict[str, pa.Table], kind: str) -> list[str]:
    """No case is in both train and test, nor in both parts of an SFT:RL split; with `patient`, no patient is."""
    test = tables["test.parquet"]
    lines = []
    for name, table in tables.items():
        if name in ("test.parquet", "test_small.parquet"):
            continue
        other = name.replace("rl/", "sft/")
        pairs = [("test.parquet", test)]
        if other != name and other.rpartition("_")[2][:-8].isdigit():
            pairs.append((other, tables[other]))
        for other_name, other_table in pairs:
            both = set(infos(table, "index")) & set(infos(other_table, "index"))
            if both:
                raise UserError(f"{folder}: {len(both)} cases are in both {name} and {other_name}; prepare again")
    train = [name for name in tables if name.startswith(("rl/", "sft/"))]
    for what in ("hadm_id", "subject_id"):
        both = {i for name in train for i in infos(tables[name], what)} & set(infos(test, what))
        if both and kind == "patient":
            raise UserError(f"{folder}: {len(both)} values of {what} are in both train and test; prepare again")
        lines.append(f"{what} in both train and test: {len(both):,}")
    return lines


def read_manifest(folder: Path) -> dict[str, Any]:
    """manifest.json of a prepared folder."""
    path = existing(
        folder / "manifest.json", "the manifest", "give a folder that data_prep.drg wrote, for instance data/drg"
    )
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is no JSON ({error}); prepare the data again") from error


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__, "python -m data_prep.validate data/drg")
    arguments.add_argument("folder", type=Path, help="a folder with manifest.json, such as data/drg")
    options = arguments.parse_args(argv)
    print("\n".join(check_folder(options.folder)))
    print(f"{options.folder}: all checks passed")


if __name__ == "__main__":
    run(main)
