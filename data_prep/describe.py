"""Lengths, labels and truncation of prepared data: numbers only, no text of a note.

    python -m data_prep.describe data

Takes DATA_DIR or one folder of it. `describe(folder)` gives the same as a dictionary, for eval.report.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from common.commands import parser, run
from data_prep import parquet, prompts
from data_prep.validate import prepared, read_manifest
from reward_fns.task import TASKS, Scope

QUANTILES = {"min": 0.0, "p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}
FEW = 5  # cases of a label that count as few


def describe(folder: str | Path) -> dict[str, Any]:
    """A prepared folder in numbers, file by file.

    {task, split, releases, max_prompt_tokens, files: {NAME: {
        rows, patients,
        prompt_tokens: {mean, min, p5, …, max} or None without tokenizer, note_words: the same, truncated: share,
        labels, most_frequent: share of the rows, few: share of rows whose label has fewer than 5, unseen: share of
        rows whose label no training file has, label_counts: [cases of the most frequent label, of the next, …],
        chapters: {chapter: rows} (ICD only)}}}
    """
    folder = Path(folder)
    content = read_manifest(folder)
    tables = {name: parquet.read(folder / name) for name in content["files"]}
    trained = {
        gold for name, table in tables.items() if not name.startswith(parquet.HELD_OUT) for gold in parquet.golds(table)
    }
    frame = _frame_words(content)
    return {
        "task": content["task"],
        "split": content["split"]["kind"],
        "releases": content["releases"],
        "max_prompt_tokens": content["max_prompt_tokens"],
        "files": {
            name: _file(table, frame, trained, content["task"])
            for name, table in tqdm(tables.items(), unit=" files", desc="describe")
        },
    }


def _frame_words(content: dict[str, Any]) -> int:
    """Words of the user message around the note; 0 with prompts that are not this repository's."""
    name = f"{content['task']}_user.txt"
    same = content["prompts"].get(name) == prompts.hashes()[name]
    return len(prompts.load(content["task"]).user.replace(prompts.NOTE, " ").split()) if same else 0


def _file(table: pa.Table, frame: int, trained: set[str], task: str) -> dict[str, Any]:
    golds, rows = parquet.golds(table), table.num_rows
    counts = Counter(golds)
    tokens = pc.struct_field(table["extra_info"], "prompt_tokens").drop_null().to_numpy()
    found = {
        "rows": rows,
        "patients": len(set(parquet.infos(table, "subject_id"))),
        "prompt_tokens": _quantiles(tokens) if len(tokens) else None,
        "note_words": _quantiles(_words(table) - frame),
        "truncated": sum(parquet.infos(table, "note_truncated")) / rows,
        "labels": len(counts),
        "most_frequent": max(counts.values()) / rows,
        "few": sum(n for n in counts.values() if n < FEW) / rows,
        "unseen": sum(n for gold, n in counts.items() if gold not in trained) / rows,
        "label_counts": sorted(counts.values(), reverse=True),
    }
    for group in TASKS[task].groups:
        if group.of is None:  # classes of a level
            level, scope = TASKS[task].levels[TASKS[task].level(group.key)], Scope(labels=tuple(counts))
            class_of = {gold: level.gold(gold, scope) for gold in counts}
            groups = Counter(class_of[gold] for gold in golds)
            found[f"{group.key}s"] = {name: groups[name] for name in sorted(groups, key=lambda name: name.zfill(4))}
    return found


def _words(table: pa.Table) -> np.ndarray:
    """Words of the last message of every prompt."""
    lengths = pc.list_value_length(table["prompt"]).to_numpy()
    texts = pc.struct_field(pc.list_flatten(table["prompt"]), "content").take(pa.array(np.cumsum(lengths) - 1))
    return pc.count_substring_regex(texts, r"\S+").to_numpy()


def _quantiles(values: np.ndarray) -> dict[str, float]:
    return {"mean": float(values.mean())} | {
        name: float(value) for name, value in zip(QUANTILES, np.quantile(values, list(QUANTILES.values())), strict=True)
    }


def table(found: dict[str, Any]) -> str:
    """The same for a terminal."""
    lines = [
        f"{found['task']}, split {found['split']}, budget {found['max_prompt_tokens'] or 'none'}",
        f"{'file':<24} {'rows':>9} {'note words':>18} {'prompt tokens':>18} {'cut %':>6} {'labels':>7} {'top %':>6} "
        f"{'few %':>6} {'new %':>6}",
    ]
    for name, one in found["files"].items():
        lines.append(
            f"{name:<24} {one['rows']:>9,} {_three(one['note_words'])} {_three(one['prompt_tokens'])} "
            f"{100 * one['truncated']:>6.1f} {one['labels']:>7,} {100 * one['most_frequent']:>6.1f} "
            f"{100 * one['few']:>6.1f} {100 * one['unseen']:>6.1f}"
        )
    lines.append(
        "words and tokens: median, 95 % quantile, maximum; rows whose note was cut, whose label is the most frequent "
        f"(top), has fewer than {FEW} cases in the file (few), is in no training file (new)"
    )
    return "\n".join(lines)


def _three(values: dict[str, float] | None) -> str:
    return f"{'-':>18}" if values is None else "".join(f"{values[name]:>6.0f}" for name in ("median", "p95", "max"))


def main(argv: list[str] | None = None) -> None:
    p = parser(__doc__)
    p.add_argument("folder", type=Path, help="DATA_DIR, or a folder with manifest.json, such as data/icd")
    options = p.parse_args(argv)
    for folder in prepared(options.folder):
        print(table(describe(folder)))


if __name__ == "__main__":
    run(main)
