"""Rows for a model that writes notes: prompts with the gold note as ground truth, and pairs for its fine-tuning.

    writing.write(folder, golds, kept)     # FOLDER/rl/NAME.parquet for every set, FOLDER/sft/train.parquet

The prompt is data_prep/prompts/clinical_note_*.txt with the dialogue; extra_info has the dialogue, which the reward
(reward_fns.clinical_note) reads, and of the synthetic clinic its facts (data_prep.synthetic.facts).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from common.files import sha256
from data_prep import parquet, prompts
from data_prep.clinical.graded import Graded
from data_prep.prompts import control_tokens
from data_prep.synthetic import facts
from data_prep.writing import budget, manifest, rows
from reward_fns.clinical_note.reward import SOURCE
from reward_fns.clinical_note.written import strict
from reward_fns.clinical_note.written import write as as_text

TRAIN, TASK = "train", "clinical_note"
NAMES = {"a_validate": "valid"}  # sets that recipes read by another name
FACTS = pa.list_(pa.string())
SCHEMA = parquet.rl(case=pa.string(), dialogue=pa.string(), facts=FACTS)


def write(folder: Path, golds: Mapping[str, Sequence[Graded]], kept: manifest.Manifest) -> None:
    """The files of every set; a gold note that the written form cannot hold is left out and counted."""
    every = [(name, one, as_text(one.note)) for name, ones in golds.items() for one in ones]
    notes = [row for row in every if _is_strict(row[2])]
    kept.say(
        "" if len(notes) == len(every) else f"{len(every) - len(notes)} gold notes have no written form: no prompt"
    )
    prompt = prompts.load(TASK, prompts.HERE)
    texts, count = control_tokens.broken(pa.array([one.dialogue for _, one, _ in notes], pa.large_string()))
    ids, at = np.array([manifest.number(one.case) for _, one, _ in notes], dtype=np.int64), np.arange(len(notes))
    cohort = rows.Cohort(ids, ids, np.array([text for _, _, text in notes], dtype=object), at, texts, str)
    more = {
        "case": pa.array([one.case for _, one, _ in notes], pa.string()),
        "dialogue": pa.array([one.dialogue for _, one, _ in notes], pa.string()),
        "facts": pa.array([facts.gold(one.note) or [] for _, one, _ in notes], FACTS),
    }
    builder = rows.Builder(SOURCE, prompt, cohort, budget.fitted(texts, prompt, None), SCHEMA, more)
    kept.facts |= {"control_tokens": count, "prompts": _hashes()}
    (folder / "rl").mkdir()
    (folder / "sft").mkdir()
    for name in golds:
        chosen = np.array([place for place, (of, _, _) in enumerate(notes) if of == name], dtype=np.int64)
        table = builder.table(TRAIN if name == TRAIN else "test", chosen)
        file = f"rl/{NAMES.get(name, name)}.parquet"
        parquet.write(table, folder / file, SCHEMA)
        kept.files[file] = manifest.rows_of(ids[chosen].tolist())
        if name == TRAIN:
            answers = [[{"role": "assistant", "content": text}] for text in parquet.golds(table)]
            taught = pa.table([table["prompt"], pa.array(answers, parquet.MESSAGES)], schema=parquet.SFT)
            parquet.write(taught, folder / "sft/train.parquet", parquet.SFT)


def _is_strict(text: str) -> bool:
    try:
        return bool(strict(text))
    except ValueError:
        return False


def _hashes() -> dict[str, str]:
    return {file.name: sha256(file) for file in sorted(prompts.HERE.glob(f"{TASK}_*.txt"))}
