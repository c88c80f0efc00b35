"""The published cohort and split, beside a slow restatement of the rules that the papers and their code give."""

import csv
import gzip
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from data_prep import prompts
from data_prep.cohort import drg_titles
from reward_fns.drg import ms_drg
from tests.conftest import ROOT, World
from tests.support.drg_folders import contents, ids, manifest, prepare, read, synthetic
from tests.support.numpy_sorts import SCALAR, numpy_argsort


def cohort_by_the_letter(mimic: Path, own: dict[str, str]) -> list[tuple[int, str, int]]:
    """The published rules once more, slow and plain, for a map: hadm_id, course as one line, DRG number."""
    with gzip.open(mimic / "hosp/drgcodes.csv.gz", "rt", newline="") as file:
        hcfa: dict[str, list[str]] = {}
        for row in csv.DictReader(file):
            if row["drg_type"] in ("HCFA", "HCFA "):
                hcfa.setdefault(row["hadm_id"], []).append(row["description"])
    with gzip.open(mimic / "note/discharge.csv.gz", "rt", newline="") as file:
        notes = list(csv.DictReader(file))
    with open(ROOT / "reward_fns/drg/ms_drg_v34.csv", newline="") as file:
        numbers = {row["title"]: int(row["number"]) for row in csv.DictReader(file)}
    on_admission = r"Brief Hospital Course[^\n]*\n(.*?)(?:Medications on Admission|___  on Admission|___ on Admission)"
    at_discharge = r"Brief Hospital Course[^\n]*\n(.*?)Discharge Medications"
    stub = r"(?:Mg-1\.|Mg-2\.|LACTATE-1\.|LACTATE-2\.|Epi-|Gap-|COUNT-|TRF-)___(.*?)Medications on Admission"
    seen, rows = set(), []
    for note in notes:
        found = next(
            (m for rule in (on_admission, at_discharge, stub) if (m := re.search(rule, note["text"], re.S))), 0
        )
        if not found or len(found[1].split()) <= 40 or found[1] in seen:
            continue
        seen.add(found[1])
        for description in hcfa.get(note["hadm_id"], ()):
            title = description.replace("W/O", "WITHOUT").replace(" W ", " WITH ").replace("&", "AND")
            title = title.replace(",", "").replace(" CATH ", " CATHETERIZATION ").replace(" PROC ", " PROCEDURES ")
            title = title if title in numbers else own.get(title, "")
            if title:
                rows.append((int(note["hadm_id"]), " ".join(found[1].split()), numbers[title]))
    counts = Counter(number for _, _, number in rows)
    return [row for row in rows if counts[row[2]] >= 2]


def split_by_the_letter(numbers: list[int]) -> tuple[list[int], list[int]]:
    """Train and test rows as scikit-learn gives them for numpy's own scalar argsort."""
    order = numpy_argsort([np.array(numbers)], **SCALAR)[0]
    rank = np.unique(np.array(numbers)[order], return_inverse=True)[1]
    train, test = train_test_split(order, test_size=0.1, random_state=42, stratify=rank)
    return train.tolist(), test.tolist()


def own_map(mimic: Path, place: Path) -> dict[str, str]:
    """A map for what is no exact title: one description in seven is dropped, one in eleven is not listed."""
    with gzip.open(mimic / "hosp/drgcodes.csv.gz", "rt", newline="") as file:
        raw = {row["description"] for row in csv.DictReader(file) if row["drg_type"].strip() == "HCFA"}
    lost = sorted({drg_titles.normalise(text) for text in raw} - ms_drg.BY_TITLE.keys())
    titles = sorted(ms_drg.BY_TITLE)
    own = {text: titles[i * 37 % 700] if i % 7 else "" for i, text in enumerate(lost) if i % 11}
    with open(place, "w", newline="") as file:
        csv.writer(file).writerows([("raw_description", "DRG_34_description"), *own.items()])
    return own


def assert_published(mimic: Path, place: Path) -> None:
    """data_prep.drg keeps the admissions, texts, labels and sides that the published rules give."""
    wanted = cohort_by_the_letter(mimic, own_map(mimic, place / "map.csv"))
    folder = prepare(mimic, place, "--split", "published", "--drg-map", place / "map.csv")
    ours = {row["extra_info"]["index"]: row for name in ("test", "rl/full_50", "sft/full_50") for row in
            read(folder, name)}  # fmt: skip
    frame = prompts.load("drg").user
    assert sorted(ours) == list(range(len(wanted)))
    for index, (hadm_id, course, number) in enumerate(wanted):
        assert ours[index]["extra_info"]["hadm_id"] == hadm_id
        assert ours[index]["prompt"][-1]["content"] == frame.replace("{note}", course)
        assert int(ms_drg.BY_TITLE[ours[index]["reward_model"]["ground_truth"]].number) == number
    train, test = split_by_the_letter([row[2] for row in wanted])
    assert ids(folder, "test") == test
    assert {index for name in ("rl/full_50", "sft/full_50") for index in ids(folder, name)} == set(train)


def test_the_published_cohort_is_that_of_the_rules(tmp_path: Path) -> None:
    assert_published(synthetic(tmp_path, 2_000, 1), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_published_cohort_of_20000_notes_is_that_of_the_rules(tmp_path: Path, seed: int) -> None:
    assert_published(synthetic(tmp_path, 20_000, seed), tmp_path)


def test_without_vector_instructions_the_published_files_are_the_same(world: World, tmp_path: Path) -> None:
    folder = prepare(world.mimic, tmp_path, "--split", "published")
    before = contents(folder)
    prepare(world.mimic, tmp_path, "--split", "published", **SCALAR)
    assert contents(folder) == before


def test_the_matcher_adds_what_the_exact_titles_miss(world: World, tmp_path: Path) -> None:
    folder = prepare(world.mimic, tmp_path)
    wanted = cohort_by_the_letter(world.mimic, {})
    ours = {row["extra_info"]["hadm_id"]: row["reward_model"]["ground_truth"] for name in
            ("test", "rl/full_50", "sft/full_50") for row in read(folder, name)}  # fmt: skip
    assert len(ours) > len(wanted) > 300
    assert all(int(ms_drg.BY_TITLE[ours[hadm_id]].number) == number for hadm_id, _, number in wanted)
    by = manifest(folder)["titles_found_by"]
    assert by["exact title"] > by["matcher"] > 0
    with open(folder / "descriptions.csv", newline="") as file:
        listed = list(csv.DictReader(file))
    assert sum(int(row["rows"]) for row in listed if not row["DRG_34_description"]) == by["nothing"]
    assert all(row["candidate_1"] for row in listed if not row["DRG_34_description"])
