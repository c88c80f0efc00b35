"""What data_prep.drg and data_prep.icd share: flags, what they load before the notes, how they divide, count, write."""

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from common.commands import UserError, parser
from common.files import replaceable, whole_folder
from common.record import command_line
from data_prep import parquet, prompts
from data_prep.cohort import splits
from data_prep.cohort.own import AS_GIVEN
from data_prep.prompts import control_tokens
from data_prep.writing import budget, manifest, rows


class Loaded(NamedTuple):
    """What a preparation has before it reads a note; a mistake in it costs no time."""

    prompt: prompts.Prompt
    fit: budget.Fit | None
    kept: manifest.Manifest


def flags(doc: str, task: str, most_tokens: int) -> argparse.ArgumentParser:
    """A parser with the flags of both."""
    p = parser(doc)
    p.add_argument("--hosp", type=Path, help="MIMIC-IV's hosp folder")
    p.add_argument("--note", type=Path, help="MIMIC-IV-Note's note folder")
    p.add_argument("--texts", type=Path, metavar="CSV", help="instead of MIMIC-IV: hadm_id, text[, subject_id]")
    p.add_argument("--labels", type=Path, metavar="CSV", help="and hadm_id, label")
    shared(p, task, most_tokens)
    return p


def shared(p: argparse.ArgumentParser, task: str, most_tokens: int) -> None:
    """The flags that do not depend on where notes come from."""
    p.add_argument("--out", type=Path, required=True, help=f"DATA_DIR; files go to OUT/{task}")
    p.add_argument("--prompt-dir", type=Path, help="folder with prompt files of your own")
    p.add_argument("--tokenizer", help="a model whose tokenizer counts the prompt and cuts the note to fit")
    p.add_argument("--max-prompt-tokens", type=int, help=f"of --tokenizer that fit (default {most_tokens})")
    p.set_defaults(most_tokens=most_tokens)


def load(task: str, options: argparse.Namespace, argv: list[str] | None, command: str | None = None) -> Loaded:
    """Prompt, tokenizer, and a manifest that says how it was called; the command has the task's name or its own."""
    given = [name for name in ("hosp", "note", "texts", "labels") if getattr(options, name)]
    if given not in (["hosp", "note"], ["texts", "labels"]):
        said = ", ".join(f"--{name}" for name in given) or "neither"
        raise UserError(f"say --hosp and --note (MIMIC-IV), or --texts and --labels (your own); you said {said}")
    replaceable(options.out / task, manifest.NAME)
    loaded = started(task, command or task, options, argv)
    loaded.kept.facts["sections"] = AS_GIVEN if options.texts else options.sections
    return loaded


def started(task: str, command: str, options: argparse.Namespace, argv: list[str] | None) -> Loaded:
    """The same without a question where the notes come from."""
    prompt = prompts.load(task, options.prompt_dir)
    most = options.most_tokens if options.max_prompt_tokens is None else options.max_prompt_tokens
    if options.max_prompt_tokens is not None and not options.tokenizer:
        raise UserError("--max-prompt-tokens counts the tokens of a tokenizer; say --tokenizer MODEL, too")
    fit = budget.load(options.tokenizer, most)
    facts: dict[str, Any] = {
        "command": command_line(f"data_prep.{command}", argv),
        "releases": {},
        "prompts": prompts.hashes(options.prompt_dir),
        "max_prompt_tokens": most if fit else None,
    }
    return Loaded(prompt, fit, manifest.Manifest(task, facts))


def divided(
    split: splits.Split, cases: rows.Cohort, shares: dict[str, int], note: Path, kept: manifest.Manifest
) -> dict[str, np.ndarray]:
    """Row numbers of every split; the manifest has the labels of each."""
    parts, said = split(cases.label, cases.subject_id, tuple(shares.values()))
    for sentence in said:
        kept.say(f"{(', ' if len(shares) > 2 else ' and ').join(shares)}: {sentence}")
    named = dict(zip(shares, parts, strict=True))
    if empty := [name for name, part in named.items() if not len(part)]:
        raise UserError(
            f"{len(cases.label)} cases of {note} are too few: the {empty[0]} split is empty; give more notes"
        )
    kept.facts["labels"] = {name: cases.counts(part) for name, part in named.items()}
    return named


def compare(ours: dict[str, float], paper: dict[str, float], kept: manifest.Manifest, whose: str = "the paper") -> None:
    """Print and record our counts, beside the paper's where the data are those that it counts."""
    theirs = {} if AS_GIVEN in kept.facts["releases"].values() else paper
    for name, count in ours.items():
        print(f"{name:<28} {count:>9,}" + (f"  {whose}: {theirs[name]:,}" if name in theirs else ""))
    found = {name: {"ours": count, "paper": theirs.get(name)} for name, count in ours.items()}
    kept.facts["counts"] = {**kept.facts.get("counts", {}), **found}


@contextmanager
def written(
    out: Path,
    source: str,
    cases: rows.Cohort,
    files: Mapping[str, np.ndarray],
    loaded: Loaded,
    want: pa.Schema = parquet.RL,
    more: Mapping[str, pa.Array] | None = None,
) -> Iterator[Path]:
    """OUT with the parquet files; what else belongs into it is written in the block, and the manifest comes last."""
    prompt, fit, kept = loaded
    texts, count = control_tokens.broken(cases.texts, fit and fit.tokenizer)
    cases, kept.facts["control_tokens"] = cases._replace(texts=texts), count
    kept.say(f"{count} control tokens of chat templates in the notes are broken up by a blank" if count else "")
    builder = rows.Builder(source, prompt, cases, budget.fitted(texts, prompt, fit), want, more)
    with whole_folder(out) as folder:
        rows.write_files(folder, builder, files)
        for name, chosen in files.items():
            kept.files[f"{name}.parquet"] = manifest.rows_of(cases.hadm_id[chosen].tolist())
        yield folder
        kept.write(folder)


def say_where(out: Path, rows: dict[str, int], kept: manifest.Manifest) -> None:
    """The last two lines: what is where, made of which releases."""
    print(f"{', '.join(f'{count:,} {name}' for name, count in rows.items())} rows in {out}")
    print(f"releases: hosp {kept.facts['releases']['hosp']}, note {kept.facts['releases']['note']}")
