"""The published cohort and split, beside a slow restatement of the rules that the papers and their code give."""

import csv
import gzip
from pathlib import Path

import pytest

from data_prep import prompts
from data_prep.cohort import drg_titles
from reward_fns.drg import ms_drg
from tests.conftest import World
from tests.support.drg_folders import SHARES, contents, ids, manifest, prepare, read, synthetic
from tests.support.numpy_sorts import SCALAR
from tests.support.published import cohort as published_cohort


def own_map(mimic: Path, place: Path) -> dict[str, str]:
    """A map for what is no exact title, as the authors' is: some rows have no title, some NaN, some are not listed."""
    with gzip.open(mimic / "hosp/drgcodes.csv.gz", "rt", newline="") as file:
        raw = {row["description"] for row in csv.DictReader(file) if row["drg_type"].strip() == "HCFA"}
    lost = sorted({drg_titles.normalise(text) for text in raw} - ms_drg.BY_TITLE.keys())
    titles = sorted(ms_drg.BY_TITLE)
    own = {text: titles[i * 37 % 700] if i % 7 else ("", "NaN")[i % 2] for i, text in enumerate(lost) if i % 11}
    with open(place, "w", newline="") as file:
        csv.writer(file).writerows([("raw_description", "DRG_34_description"), *own.items()])
    return own


def assert_published(mimic: Path, place: Path, large: bool) -> Path:
    """data_prep.drg keeps the admissions, texts and labels of the published rules; its files have the rows in order."""
    wanted = published_cohort.cohort(mimic, own_map(mimic, place / "map.csv"))
    folder = prepare(mimic, place, "--split", "published", "--drg-map", place / "map.csv")
    train, test = published_cohort.divided(wanted)
    parts = published_cohort.shares_of(train, SHARES if large else SHARES[:2])
    parts |= published_cohort.samples(train) if large else {}  # scikit-learn refuses those of few rows
    assert ids(folder, "test") == test.index.tolist()
    for name, rows in parts.items():
        assert ids(folder, name) == rows.index.tolist(), name
    frame = prompts.load("drg").user
    ours = {row["extra_info"]["index"]: row for name in ("test", "rl/full_50", "sft/full_50") for row in
            read(folder, name)}  # fmt: skip
    assert len(ours) > 0.99 * len(wanted)  # but for titles with one training row
    for index, row in ours.items():
        case = wanted.loc[index]
        assert row["extra_info"]["hadm_id"] == case["hadm_id"]
        assert row["prompt"][-1]["content"] == frame.replace("{note}", " ".join(case["course"].split()))
        assert row["reward_model"]["ground_truth"] == case["title"]
    return folder


def test_the_published_cohort_is_that_of_the_rules(tmp_path: Path) -> None:
    folder = assert_published(synthetic(tmp_path, 2_000, 1), tmp_path, large=False)
    said = manifest(folder)
    assert said["sections"] == "published"
    assert any("rows have the drg_type HCFA with blanks around it; they are dropped" in note for note in said["notes"])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_published_cohort_of_20000_notes_is_that_of_the_rules(tmp_path: Path, seed: int) -> None:
    assert_published(synthetic(tmp_path, 20_000, seed), tmp_path, large=True)


def test_without_vector_instructions_the_published_files_are_the_same(world: World, tmp_path: Path) -> None:
    folder = prepare(world.mimic, tmp_path, "--split", "published")
    before = contents(folder)
    prepare(world.mimic, tmp_path, "--split", "published", **SCALAR)
    assert contents(folder) == before


def test_the_matcher_adds_what_the_exact_titles_miss(world: World, tmp_path: Path) -> None:
    folder = prepare(world.mimic, tmp_path, "--sections", "published")
    wanted = published_cohort.cohort(world.mimic, {})
    ours = {row["extra_info"]["hadm_id"]: row["reward_model"]["ground_truth"] for name in
            ("test", "rl/full_50", "sft/full_50") for row in read(folder, name)}  # fmt: skip
    assert len(ours) > len(wanted) > 250
    assert all(ours[case.hadm_id] == case.title for case in wanted.itertuples())
    by = manifest(folder)["titles_found_by"]
    assert by["exact title"] > by["matcher"] > 0
    with open(folder / "descriptions.csv", newline="") as file:
        listed = list(csv.DictReader(file))
    assert sum(int(row["rows"]) for row in listed if not row["DRG_34_description"]) == by["nothing"]
    assert all(row["candidate_1"] for row in listed if not row["DRG_34_description"])
