"""Where an evaluated model comes from, as far as the run.json files on the way say so.

    found = lineage("table1/strict", run)   # the name given to an evaluation, and its run.json
    found.row, found.sft_cases, found.reason

A number may stand beside the paper's only when it is of MIMIC-IV, of the whole test set and of a model of full size;
`reason` says why another may not.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from common import record
from common.papers import Printed, find, paper_tables
from data_prep.cohort.own import AS_GIVEN

Run = Mapping[str, Any]

# Releases, as data preparation recognises them, whose numbers are no reproduction.
UNFIT = {
    "unknown or synthetic": "synthetic data",
    "demo": "MIMIC-IV's demo of 100 patients",
    AS_GIVEN: "data of one's own",
}


@dataclass(frozen=True)
class Lineage:
    """What is known of the model and the data of an evaluation."""

    row: Printed | None  # of a paper
    reason: str | None  # why its numbers do not stand beside the paper's
    stage: str  # GRPO, SFT or as downloaded
    sft_cases: int | None
    trained: Run  # run.json of the GRPO or SFT run, or nothing


def lineage(name: str, run: Run) -> Lineage:
    """The row of a paper by the name that the user gave or by the recipe that trained the model."""
    settings = run["settings"]
    model = Path(settings["model"]["name"])
    rows = {row.id.replace("/", "-"): row for table in paper_tables() for row in table.rows}
    row = rows.get(name.replace("/", "-"))
    trained, stage = record.read(model.parent), "GRPO"
    if "recipe" in trained:
        source = record.read(Path(trained.get("model") or model))
        row = row or find(trained["recipe"], trained.get("overrides", []))
    else:
        source = record.read(model)
        trained, stage = (source, "SFT") if "source" in source else ({}, "as downloaded")
    return Lineage(row, _reason(settings, trained), stage, _cases(source), trained)


def unfit(data: Path) -> str | None:
    """Why numbers on this data file stand beside nobody's, by the manifest of its folder."""
    releases = _manifest(data).get("releases", {})
    return next((UNFIT[name] for name in releases.values() if name in UNFIT), None) if releases else "unknown data"


def _reason(settings: Run, trained: Run) -> str | None:
    if reason := unfit(Path(settings["data"]["name"])):
        return reason
    if "hardware=cpu" in trained.get("overrides", []):
        return "model and steps scaled down"
    return f"{settings['data']['limit']:,} cases only" if settings["data"]["limit"] else None


def _cases(source: Run) -> int | None:
    """Rows of the file that SFT read its cases from."""
    name = (source.get("source") or {}).get("cases")
    if not name:
        return None
    try:
        return pq.read_metadata(name).num_rows
    except (OSError, pa.ArrowException):
        return None


def _manifest(data: Path) -> Run:
    """The manifest of the folder that a data file is in, or of one above."""
    for folder in list(data.parents)[:3]:
        with suppress(OSError, ValueError):
            found = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            if isinstance(found, dict):
                return found
    return {}
