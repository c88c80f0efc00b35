"""data_prep.drg divides its cohort without overlap, says what it kept and why, and cuts only the note."""

import contextlib
import csv
import gzip
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from data_prep import drg, parquet, prompts
from data_prep.cohort import drg_cohort, splits
from data_prep.writing import manifest as manifests
from data_prep.writing.manifest import ids_hash
from tests.conftest import ROOT, World, run_command
from tests.support.drg_folders import FILES, SHARES, contents, copied, ids, manifest, prepare, read, synthetic


@pytest.fixture(scope="module")
def stable(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(world.mimic, tmp_path_factory.mktemp("data"))


def test_every_file_has_the_schema(stable: Path) -> None:
    for name in FILES:
        table = parquet.read(stable / f"{name}.parquet")
        assert table.schema.equals(parquet.RL), name
        assert set(table["data_source"].to_pylist()) == {"mimic_drg"}
    assert sorted(path.relative_to(stable).as_posix() for path in stable.rglob("*.parquet")) == sorted(
        f"{name}.parquet" for name in FILES
    )


def test_parts_are_disjoint_and_add_up(stable: Path) -> None:
    whole = set(ids(stable, "rl/full_50")) | set(ids(stable, "sft/full_50"))
    test = set(ids(stable, "test"))
    assert not whole & test
    assert whole | test == set(range(len(whole) + len(test)))
    for size, all_of in (("full", whole), ("small", set(ids(stable, "rl/small")))):
        for share in SHARES:
            rl, sft = (ids(stable, f"{kind}/{size}_{share}") for kind in ("rl", "sft"))
            assert sorted(rl + sft) == sorted(all_of)
            assert len(sft) / len(all_of) == pytest.approx(share / 100, abs=1.5 / len(all_of))
    assert not set(ids(stable, "rl/cold")) & set(ids(stable, "rl/small"))
    assert ids(stable, "rl/cold") == ids(stable, "sft/cold")
    eligible = next(step["after"] for step in manifest(stable)["filters"] if step["name"] == "sub-samples")
    assert len(ids(stable, "rl/small")) == pytest.approx(0.2 * eligible, abs=2)
    assert set(ids(stable, "test_small")) <= test
    assert {row["extra_info"]["split"] for row in read(stable, "test")} == {"test"}
    assert {row["extra_info"]["split"] for row in read(stable, "rl/full_50")} == {"train"}


def test_rare_titles_are_left_out_of_the_sub_samples(stable: Path) -> None:
    counts = Counter(row["reward_model"]["ground_truth"] for kind in ("rl", "sft") for row in
                     read(stable, f"{kind}/full_50"))  # fmt: skip
    assert min(counts.values()) < 5
    for name in ("cold", "small"):
        assert all(counts[row["reward_model"]["ground_truth"]] >= 5 for row in read(stable, f"rl/{name}"))


def test_the_manifest_says_what_was_kept_and_why(stable: Path) -> None:
    said = manifest(stable)
    for step in said["filters"]:
        assert step["before"] >= step["after"] and step["reason"]
    assert said["releases"] == {"hosp": "unknown or synthetic", "note": "unknown or synthetic"}
    assert said["prompts"] == prompts.hashes()
    assert "python -m data_prep.drg --hosp" in said["command"]
    assert sum(said["labels"]["test"].values()) == said["files"]["test.parquet"]["rows"]
    for name in FILES:
        hadm_ids = ids(stable, name, "hadm_id")
        assert said["files"][f"{name}.parquet"] == {"rows": len(hadm_ids), "hadm_ids_sha256": ids_hash(hadm_ids)}


def test_the_same_command_gives_the_same_bytes(world: World, stable: Path) -> None:
    before = contents(stable)
    prepare(world.mimic, stable.parent, PYTHONHASHSEED="1")  # whatever the order of a set
    assert contents(stable) == before


@pytest.mark.slow
def test_killed_at_any_moment_nothing_half_written_is_left_and_the_next_run_succeeds(tmp_path: Path) -> None:
    mimic = synthetic(tmp_path, 3_000, 0)
    started = time.monotonic()
    whole = contents(prepare(mimic, tmp_path / "data"))
    took = time.monotonic() - started
    call = [sys.executable, "-m", "data_prep.drg", "--hosp", str(mimic / "hosp"), "--note", str(mimic / "note")]
    moment = random.Random(0)
    killed = 0
    for attempt in range(12):
        out = tmp_path / ("data" if attempt % 2 else f"fresh{attempt}")  # over an earlier result, and where none is
        run = subprocess.Popen(
            [*call, "--out", str(out)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(took * moment.uniform(0.3, 1.0))
        run.kill()
        killed += run.wait() != 0
        left = contents(out / "drg") if (out / "drg").exists() else {}
        assert not left or sorted(path.name for path in left) == sorted(path.name for path in whole)
        if attempt % 2:
            assert {p: b for p, b in left.items() if p.suffix == ".parquet"} == {
                p: b for p, b in whole.items() if p.suffix == ".parquet"
            }
    assert killed >= 6
    again = contents(prepare(mimic, tmp_path / "data"))
    assert again == whole


def test_patient_split_keeps_patients_apart_and_stable_does_not(world: World, stable: Path) -> None:
    for folder, apart in ((world.data / "drg", True), (stable, False)):
        train = set(ids(folder, "rl/full_50", "subject_id") + ids(folder, "sft/full_50", "subject_id"))
        both = train & set(ids(folder, "test", "subject_id"))
        assert (not both) == apart
        rows = manifest(folder)["files"]
        total = sum(rows[f"{name}.parquet"]["rows"] for name in ("test", "rl/full_50", "sft/full_50"))
        assert rows["test.parquet"]["rows"] / total == pytest.approx(0.1, abs=0.01)


def test_over_long_notes_are_cut_from_their_end_and_nothing_else_is(world: World, stable: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(world.model)
    short = prepare(world.mimic, tmp_path / "s", "--tokenizer", world.model, "--max-prompt-tokens", 150)
    frame = prompts.load("drg")
    before, after = frame.user.split("{note}")
    for one, other in zip(read(short, "test"), read(stable, "test"), strict=True):
        ids_of = tokenizer.apply_chat_template(one["prompt"], add_generation_prompt=True, return_dict=False)
        assert len(ids_of) == one["extra_info"]["prompt_tokens"] <= 150
        assert one["prompt"][0] == {"role": "system", "content": frame.system}
        text, uncut = (row["prompt"][-1]["content"] for row in (one, other))
        assert text.startswith(before) and text.endswith(after)
        assert uncut.startswith(text.removesuffix(after))
        assert one["extra_info"]["note_truncated"] == (text != uncut)
        assert other["extra_info"]["prompt_tokens"] is None
        if text != uncut:
            assert len(ids_of) > 140  # no more is cut than must be
    cut = [row["extra_info"]["note_truncated"] for row in read(short, "test")]
    assert any(cut) and not all(cut)


def test_sizes_are_those_of_the_papers_for_a_cohort_like_theirs() -> None:
    random_state = np.random.RandomState(0)
    weights = 1 / (np.arange(738) + 2)
    labels = random_state.choice(720, 236_192 - 42, p=weights[:720] / weights[:720].sum())
    labels = np.concatenate([labels, np.repeat(np.arange(720, 734), 3)])  # 42 rows of titles with fewer than 5
    assert np.bincount(labels[:-42]).min() >= 5
    kept = manifests.Manifest("drg")
    files = drg.samples(labels, np.arange(len(labels)), np.arange(26_244), [20, 50], kept)
    sizes = {name: len(rows) for name, rows in files.items()}
    assert (sizes["rl/cold"], sizes["rl/small"]) == (2_362, 46_758) == (drg.PAPER["cold"], drg.PAPER["small"])
    steps = {share: sizes[f"rl/full_{share}"] // 64 for share in SHARES}
    assert steps == {50: 1845, 75: 922, 90: 369, 95: 184} and sizes["rl/small"] // 64 == 730
    assert (sizes["sft/small_20"], sizes["rl/small_20"]) == (9_352, 37_406)
    every = random_state.choice(738, 262_436, p=weights / weights.sum())
    parts = splits.published(every, every, tuple(drg.SHARES.values())).parts
    assert [len(part) for part in parts] == [drg.PAPER["train"], drg.PAPER["test"]]


def test_drg_small_is_divided_in_the_shares_asked_for(world: World, stable: Path, tmp_path: Path) -> None:
    folder = prepare(world.mimic, tmp_path, "--small-shares", 25, 60)
    small = set(ids(stable, "rl/small"))
    names = {path.stem for path in (folder / "rl").iterdir()}
    assert names == {"cold", "small", "small_25", "small_60", *(f"full_{share}" for share in SHARES)}
    for share in (25, 60):
        sft, rl = (set(ids(folder, f"{kind}/small_{share}")) for kind in ("sft", "rl"))
        assert sft | rl == small and not sft & rl
        assert len(sft) == pytest.approx(share / 100 * len(small), abs=1)


def test_lenient_sections_find_more_courses_and_change_none(world: World, stable: Path, tmp_path: Path) -> None:
    found = {}
    for name, folder in (("fixed", stable), ("lenient", prepare(world.mimic, tmp_path, "--sections", "lenient"))):
        found[name] = {row["extra_info"]["hadm_id"]: row["prompt"] for file in ("test", "rl/full_50", "sft/full_50")
                       for row in read(folder, file)}  # fmt: skip
    assert found["lenient"].items() > found["fixed"].items()


def test_by_default_a_course_ends_at_the_first_heading_and_published_at_the_last(
    world: World, stable: Path, tmp_path: Path
) -> None:
    published = prepare(world.mimic, tmp_path, "--sections", "published")
    assert (manifest(stable)["sections"], manifest(published)["sections"]) == ("fixed", "published")
    reach = [sum("Discharge Instructions" in row["prompt"][-1]["content"] for row in read(folder, "rl/full_50"))
             for folder in (stable, published)]  # fmt: skip
    assert reach[0] == 0 < reach[1]


@pytest.mark.parametrize(("rules", "kept"), [("fixed", 1), ("published", 2)])
def test_courses_that_differ_in_inner_blank_lines_are_duplicates_unless_published(rules: str, kept: int) -> None:
    words = "word " * 41
    notes = [f"Brief Hospital Course:\n{lead}\n{words}{gap}more\nMedications on Admission:\n" for lead, gap in
             (("", "\n"), ("\n\n", "\n"), ("", "\n \n"))]  # fmt: skip
    batch = pa.record_batch([[1, 2, 3], [1, 2, 3], notes], ["hadm_id", "subject_id", "text"])
    assert len(drg_cohort.courses([batch], rules, manifests.Manifest("drg", {"releases": {}}))[0]) == kept


def test_an_admission_with_two_drgs_stays_twice_and_is_reported(world: World, tmp_path: Path) -> None:
    mimic = copied(world, tmp_path)
    with gzip.open(mimic / "hosp/drgcodes.csv.gz", "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    kept = {row["extra_info"]["hadm_id"] for row in read(world.data / "drg", "test")}
    first = next(row for row in rows if int(row["hadm_id"]) in kept and row["drg_type"].strip() == "HCFA")
    rows += [first | {"description": "CHEST PAIN", "drg_code": "313"}]
    with gzip.open(mimic / "hosp/drgcodes.csv.gz", "wt", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    folder = prepare(mimic, tmp_path / "data")
    assert any("1 further MS-DRG rows of an admission, 1 of them with another" in s for s in manifest(folder)["notes"])
    both = [row["reward_model"]["ground_truth"] for name in ("test", "rl/full_50", "sft/full_50") for row in
            read(folder, name) if row["extra_info"]["hadm_id"] == int(first["hadm_id"])]  # fmt: skip
    assert len(both) == 2 and "CHEST PAIN" in both


def test_forty_notes_are_enough_and_what_could_not_be_done_is_said(tmp_path: Path) -> None:
    assert run_command("data_prep.synthesize", "--out", tmp_path / "m", "--notes", 40).returncode == 0
    folder = prepare(tmp_path / "m", tmp_path / "data")
    assert any("not stratified" in note for note in manifest(folder)["notes"])
    assert any("too few rows" in note for note in manifest(folder)["notes"])
    assert all(read(folder, name) for name in ("test", "rl/full_50", "sft/full_50", "rl/cold"))
