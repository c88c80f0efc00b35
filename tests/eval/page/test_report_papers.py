"""The papers' numbers in the report: beside the row that was run, and never mixed with other data."""

import json
from pathlib import Path

from eval.page.lineage import lineage
from tests.support.eval_folders import folder, scored, settings
from tests.support.report_pages import Page


def test_numbers_of_other_data_never_stand_in_the_column_of_a_reproduction(tmp_path, command):
    run = scored(command, folder(tmp_path / "run"))
    command("eval.report", "--runs", f"table1/strict={run}", "--out", tmp_path / "report")
    rows = Page(tmp_path / "report" / "index.html").rows
    heads = next(row for row in rows if row[0].startswith("row, command"))
    strict = next(row for row in rows if row[0].startswith("strict reward"))
    assert [head.strip() for head in heads[1:4]] == ["paper", "ours, MIMIC-IV", "ours, other"]
    assert [cell.split()[0] for cell in strict[1:4]] == ["40.1", "not", "18.8"]
    assert "unknown data" in strict[0] and "bash recipes/drg_sapphire/reproduce.sh table1/strict" in strict[0]
    other = next(row for row in rows if row[0].startswith("vanilla GRPO + dense"))
    assert [cell.strip() for cell in other[1:4]] == ["38.5", "not run", "-"]


def made(place: Path, release: str, overrides: list[str]) -> dict:
    """run.json of an evaluation whose model a recipe trained, on data of a release."""
    (place / "data").mkdir(parents=True)
    (place / "data" / "manifest.json").write_text(json.dumps({"releases": {"hosp": release}}))
    (place / "run").mkdir()
    recipe = {"recipe": "drg_sapphire/best", "overrides": overrides, "model": str(place / "sft")}
    (place / "run" / "run.json").write_text(json.dumps(recipe))
    changed = {"name": str(place / "data" / "test.parquet"), "sha256": "0", "limit": None}
    return {"settings": settings(model={"name": str(place / "run" / "hf_model"), "fingerprint": "f"}, data=changed)}


def test_an_evaluation_is_the_row_that_its_models_recipe_trains(tmp_path):
    real = lineage("x", made(tmp_path / "real", "3.1", ["sft_share=90"]))
    assert (real.row.id, real.stage, real.reason) == ("table2/90/best", "GRPO", None)
    assert (
        lineage("table2-75-sft", made(tmp_path / "named", "3.1", [])).row.id == "table2/75/sft"
    )  # reproduce.sh's name
    small = lineage("x", made(tmp_path / "small", "2.2", ["hardware=cpu", "sft_share=90"]))
    assert small.reason == "model and steps scaled down"
    assert lineage("x", made(tmp_path / "made", "unknown or synthetic", [])).reason == "synthetic data"
    assert lineage("x", made(tmp_path / "own", "as given", [])).reason == "data of one's own"
    assert lineage("x", {"settings": settings()}).reason == "unknown data"


def test_a_reproduction_with_fewer_samples_leaves_the_columns_free_that_need_more(tmp_path, command):
    made_with = made(tmp_path / "real", "3.1", ["sft_share=90"])["settings"]
    run = scored(command, folder(tmp_path / "run", made_with=made_with))
    done = command("eval.report", "--runs", f"mine={run}", "--out", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    best = next(row for row in Page(tmp_path / "report" / "index.html").rows if "reproduce.sh table2/90/best" in row[0])
    cells = [cell.split()[0] for cell in best[1:]]
    assert "18.8" in cells and "-" in cells and "not" not in cells  # Pass@1 of four completions, no Pass@8
