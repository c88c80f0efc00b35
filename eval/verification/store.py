"""The folder of a verification: run.json, and p(+) by position in parts that are whole or not there.

shares = store.fill(out, path, rows, engine="transformers", model="runs/prm", command=…)
"""

from math import isfinite
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from common import record
from common.commands import UserError
from common.files import sha256, whole_file
from eval.generation import parts
from eval.generation.sources import fingerprint, model_folder
from eval.verification.grading import ENGINES
from reward_fns.clinical_note.tokens import encode, trained

PART = 64  # notes
KIND = "verification"  # in run.json
SCHEMA = pa.schema([("case", pa.string()), ("candidate", pa.int64()), ("right", pa.list_(pa.float64()))])


def fill(
    out: Path, path: str, rows: list[dict[str, Any]], engine: str, model: str, dtype: str, command: str
) -> list[list[float]]:
    """p(+) of every note; what the folder has already is kept, and other settings are refused."""
    trained(str(model_folder(model)))
    settings = {
        "notes": len(rows),
        "data": {"name": path, "sha256": sha256(path)},
        "model": {"name": model, "fingerprint": fingerprint(model_folder(model))},
        "engine": engine,
        "dtype": dtype,
    }
    out.mkdir(parents=True, exist_ok=True)
    with parts.writing(out):
        _check(out, settings)
        blocks = [(out / f"part-{at // PART:05d}.parquet", rows[at : at + PART]) for at in range(0, len(rows), PART)]
        missing = [(file, block) for file, block in blocks if not file.exists()]
        if missing:
            record.write(out, **record.made(command), kind=KIND, settings=settings, finished=False)
            _grade(missing, engine, model, dtype)
            record.write(out, finished=True, ended=record.now())
    return [shares for file, block in blocks for shares in _read(file, block)]


def made_with(out: Path) -> dict[str, Any]:
    """The settings of a finished verification."""
    run = record.read(out)
    if run.get("kind") != KIND or not run.get("finished"):
        raise UserError(f"{out} holds no finished verification; run `python -m eval.prm --out {out}` first")
    return run["settings"]


def read(out: Path, path: str, rows: list[dict[str, Any]]) -> list[list[float]]:
    """p(+) of every note from a folder that was filled for the same notes."""
    settings = made_with(out)
    if settings["data"]["sha256"] != sha256(path) or settings["notes"] != len(rows):
        about = f"{settings['notes']} notes of {settings['data']['name']}"
        raise UserError(
            f"{out} holds grades of {about}, and these are {len(rows)} of {path}; give one of the same notes"
        )
    files = sorted(out.glob("part-*.parquet"))
    return [shares for at, file in enumerate(files) for shares in _read(file, rows[at * PART : (at + 1) * PART])]


def _check(out: Path, settings: dict[str, Any]) -> None:
    before = record.read(out).get("settings")
    if before is None and any(out.iterdir()) and not {file.name for file in out.iterdir()} <= {".lock"}:
        raise UserError(f"{out} holds other things; choose another --out")
    for name, value in settings.items():
        if before is not None and _contents(before.get(name)) != _contents(value):
            raise UserError(f"{out} was made with other {name} ({before.get(name)}); choose another --out")


def _contents(value: Any) -> Any:
    """A setting without the name of its file or folder."""
    return {key: of for key, of in value.items() if key != "name"} if isinstance(value, dict) else value


def _grade(missing: list[tuple[Path, list[dict[str, Any]]]], engine: str, model: str, dtype: str) -> None:
    grade = ENGINES[engine](model, dtype)
    with tqdm(total=sum(len(block) for _, block in missing), unit=" notes", desc="grading") as bar:
        for file, block in missing:
            notes = [encode(grade.tokenizer, grade.markers, row["dialogue"], row["positions"]) for row in block]
            for row, note in zip(block, notes, strict=True):
                grade.check_length(note, f"candidate {row['candidate']} of case {row['case']}")
            columns = {name: [row[name] for row in block] for name in ("case", "candidate")}
            right = grade(notes)
            if not all(isfinite(share) for of in right for share in of):
                raise UserError(f"{model} gives probabilities that are no numbers; try --dtype float32")
            table = pa.table({**columns, "right": right}, SCHEMA)
            with whole_file(file) as made:
                pq.write_table(table, made)
            bar.update(len(block))


def _read(file: Path, block: list[dict[str, Any]]) -> list[list[float]]:
    try:
        table = pq.read_table(file, partitioning=None).cast(SCHEMA).to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{file} is damaged; delete it and run the same command again") from error
    wanted = [(row["case"], row["candidate"], len(row["positions"])) for row in block]
    if [(row["case"], row["candidate"], len(row["right"])) for row in table] != wanted:
        raise UserError(f"{file} holds other notes; delete it and run the same command again")
    return [row["right"] for row in table]
