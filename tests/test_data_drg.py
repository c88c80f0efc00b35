"""data_prep.drg keeps the cohort that the rules give, divides it without overlap, and cuts only the note."""

import contextlib
import csv
import gzip
import json
import random
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from commands import UserError
from data_prep import budget, drg, drg_titles, prompts, schema, sections, splits
from data_prep import manifest as manifests
from data_prep.manifest import ids_hash
from reward_fns import ms_drg
from tests.conftest import ROOT, World, assert_refused, run_command
from tests.test_splits import SCALAR, numpy_argsort

SHARES = (50, 75, 90, 95)
TRAINING = [f"{kind}/{name}" for kind in ("rl", "sft") for name in
            ("cold", "small", *(f"{size}_{share}" for size in ("small", "full") for share in SHARES))]  # fmt: skip
FILES = ["test", "test_small", *TRAINING]


def prepare(mimic: Path, out: Path, *options: object, **environment: str) -> Path:
    call = ("data_prep.drg", "--hosp", mimic / "hosp", "--note", mimic / "note", "--out", out, *options)
    done = run_command(*call, **environment)
    assert done.returncode == 0, done.stderr
    return out / "drg"


@pytest.fixture(scope="module")
def stable(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(world.mimic, tmp_path_factory.mktemp("data"))


def read(folder: Path, name: str) -> list[dict]:
    return schema.read(folder / f"{name}.parquet").to_pylist()


def ids(folder: Path, name: str, what: str = "index") -> list[int]:
    return [row["extra_info"][what] for row in read(folder, name)]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def cohort_by_the_letter(mimic: Path, own: dict[str, str]) -> list[tuple[int, str, int]]:
    """The published rules once more, slow and plain, for a map: hadm_id, course as one line, DRG number."""
    with gzip.open(mimic / "hosp/drgcodes.csv.gz", "rt", newline="") as file:
        hcfa: dict[str, list[str]] = {}
        for row in csv.DictReader(file):
            if row["drg_type"] in ("HCFA", "HCFA "):
                hcfa.setdefault(row["hadm_id"], []).append(row["description"])
    with gzip.open(mimic / "note/discharge.csv.gz", "rt", newline="") as file:
        notes = list(csv.DictReader(file))
    with open(ROOT / "reward_fns/data/ms_drg_v34.csv", newline="") as file:
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


def synthetic(place: Path, notes: int, seed: int) -> Path:
    done = run_command("data_prep.synthesize", "--out", place / "mimic", "--notes", notes, "--seed", seed)
    assert done.returncode == 0, done.stderr
    return place / "mimic"


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


def test_the_matcher_adds_what_the_exact_titles_miss(world: World, stable: Path) -> None:
    wanted = cohort_by_the_letter(world.mimic, {})
    ours = {row["extra_info"]["hadm_id"]: row["reward_model"]["ground_truth"] for name in
            ("test", "rl/full_50", "sft/full_50") for row in read(stable, name)}  # fmt: skip
    assert len(ours) > len(wanted) > 300
    assert all(int(ms_drg.BY_TITLE[ours[hadm_id]].number) == number for hadm_id, _, number in wanted)
    by = manifest(stable)["titles_found_by"]
    assert by["exact title"] > by["matcher"] > 0
    with open(stable / "descriptions.csv", newline="") as file:
        listed = list(csv.DictReader(file))
    assert sum(int(row["rows"]) for row in listed if not row["DRG_34_description"]) == by["nothing"]
    assert all(row["candidate_1"] for row in listed if not row["DRG_34_description"])


def test_every_file_has_the_schema(stable: Path) -> None:
    for name in FILES:
        table = schema.read(stable / f"{name}.parquet")
        assert table.schema.equals(schema.RL), name
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
    prepare(world.mimic, stable.parent)
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
    assert (sizes["sft/small_20"], sizes["rl/small_20"]) == (9_351, 37_407)
    every = random_state.choice(738, 262_436, p=weights / weights.sum())
    parts = splits.published(every, every, drg.PARTS).parts
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
    for name, folder in (("published", stable), ("lenient", prepare(world.mimic, tmp_path, "--sections", "lenient"))):
        found[name] = {row["extra_info"]["hadm_id"]: row["prompt"] for file in ("test", "rl/full_50", "sft/full_50")
                       for row in read(folder, file)}  # fmt: skip
    assert found["lenient"].items() > found["published"].items()


@pytest.mark.parametrize(
    ("text", "published", "lenient"),
    [
        ("BRIEF HOSPITAL COURSE:\nA b.\n \nMedications on Admission:\nx", None, "A b.\n \n"),
        ("rief Hospital Course:\nA b.\n \nDischarge Disposition:\nHome", None, "A b.\n \n"),
        ("Brief Hospital Course:\nA b.\n \n___ Disposition:\nHome", None, "A b.\n \n"),
        ("the hospital course: long\nA b.\nFacility:\n", None, None),
        ("Brief Hospital Course: x\nA b.\nDischarge Medications:\n", "\nA b.\n", "\nA b.\n"),
        ("Brief Hospital Course:\nA ___ on Admission b ___  on Admission", "\nA ", "\nA "),
        ("Brief Hospital Course:\nA Discharge Medications x Medications on Admission", "\nA Discharge Medications x ",
         "\nA Discharge Medications x "),
        ("Gap-___ A b. Medications on Admission", " A b. ", " A b. "),
        ("Gap-___ A b. Discharge Medications", None, None),
        ("Brief Hospital Course: Medications on Admission", None, None),
    ],
)  # fmt: skip
def test_courses_begin_and_end_where_the_rules_say(text: str, published: str | None, lenient: str | None) -> None:
    assert sections.hospital_course(text) == published
    assert sections.hospital_course(text, "lenient") == lenient


@pytest.mark.parametrize("text", ["", " ", "a\x1cb \t\nc", " a\u00a0\u2003b\n", "a\x00 b", "\x85a  b"])
def test_unwrapped_is_what_split_and_join_give(text: str) -> None:
    assert sections.unwrapped(text) == " ".join(text.split())


def test_an_admission_with_two_drgs_stays_twice_and_is_reported(world: World, tmp_path: Path) -> None:
    mimic = copy(world, tmp_path)
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


def copy(world: World, place: Path) -> Path:
    return Path(shutil.copytree(world.mimic, place / "mimic"))


COLUMNS = b"note_id,subject_id,hadm_id,note_type,text\n"
GOOD = b'x,1,2,DS,"One\nline ""more"""\n'


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("hosp/drgcodes.csv.gz", None, ["drgcodes.csv.gz", "does not exist"]),
        ("hosp/drgcodes.csv.gz", b"subject_id,hadm_id,drg_type,drg_code\n1,2,HCFA,1\n", ["line 1", "description"]),
        ("hosp/drgcodes.csv.gz", b"SUBJECT_ID,HADM_ID,DRG_TYPE,DRG_CODE,DESCRIPTION\n", ["line 1", "MIMIC-III"]),
        ("hosp/drgcodes.csv.gz", b"hadm_id,drg_type,drg_code,description\n1,HCFA,1,x\n2.5,HCFA,1,x\n",
         ["row 2", "hadm_id", "whole number"]),
        ("note/discharge.csv.gz", b"", ["discharge.csv.gz, line 1", "missing among none"]),
        ("note/discharge.csv.gz", b"ROW_ID,SUBJECT_ID,HADM_ID,CATEGORY,TEXT\n", ["hadm_id", "MIMIC-III"]),
        ("note/discharge.csv.gz", COLUMNS + GOOD + b"x,1,3,RR,secret\n", ["row 2", "note_type", "MIMIC-IV-Note 2.2"]),
        ("note/discharge.csv.gz", COLUMNS + GOOD * 3 + b"x,1,3,DS,secret \xff\xfe\n", ["row 4", "text", "UTF-8"]),
        ("note/discharge.csv.gz", COLUMNS + GOOD + b"x,1,secret,DS,y\n", ["row 2", "hadm_id", "whole number"]),
        ("note/discharge.csv.gz", COLUMNS + GOOD + b"x,1,secret\n", ["row 2", "3 values for 5 columns"]),
        ("note/discharge.csv.gz", COLUMNS + GOOD, ["no case is left", "discharge"]),
        ("note/discharge.csv.gz", COLUMNS, ["no case is left"]),
    ],
)  # fmt: skip
def test_a_faulty_file_is_named_with_row_and_remedy_and_without_its_text(
    world: World, tmp_path: Path, file: str, content: bytes | None, said: list[str]
) -> None:
    mimic = copy(world, tmp_path)
    (mimic / file).unlink()
    if content is not None:
        (mimic / file).write_bytes(gzip.compress(content))
    done = run_command("data_prep.drg", "--hosp", mimic / "hosp", "--note", mimic / "note", "--out", tmp_path / "out")
    assert_refused(done, *(said[:-1] if said[-1] == "discharge" else said))
    assert "secret" not in done.stdout + done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("lost", [1, 8, 5000])
def test_a_gzip_file_that_was_cut_short_is_refused(world: World, tmp_path: Path, lost: int) -> None:
    mimic = copy(world, tmp_path)
    notes = mimic / "note/discharge.csv.gz"
    notes.write_bytes(notes.read_bytes()[:-lost])
    done = run_command("data_prep.drg", "--hosp", mimic / "hosp", "--note", mimic / "note", "--out", tmp_path / "out")
    assert_refused(done, "discharge.csv.gz", "damaged or cut short after row", "download it again")
    assert not (tmp_path / "out").exists()


def test_bad_options_are_a_sentence_and_leave_nothing(world: World, tmp_path: Path) -> None:
    call = ("data_prep.drg", "--hosp", world.mimic / "hosp", "--note", world.mimic / "note", "--out", tmp_path / "out")
    assert_refused(run_command(*call, "--split", "published", "--sections", "lenient"), "--sections published")
    assert_refused(run_command(*call, "--small-shares", 50, 100), "--small-shares 100")
    (tmp_path / "map.csv").write_text("a,b\n1,2\n")
    assert_refused(run_command(*call, "--drg-map", tmp_path / "map.csv"), "raw_description")
    (tmp_path / "drg_user.txt").write_text("Which DRG is it?")
    assert_refused(run_command(*call, "--prompt-dir", tmp_path), "drg_user.txt", "{note}")
    bare = Path(shutil.copytree(world.model, tmp_path / "bare"))
    (bare / "chat_template.jinja").unlink()
    assert_refused(run_command(*call, "--tokenizer", bare), "chat template")
    assert not (tmp_path / "out").exists()


def test_too_few_cases_for_a_split_are_refused(world: World, tmp_path: Path) -> None:
    """Two admissions of one patient: no split by patient."""
    mimic = tmp_path
    (mimic / "hosp").mkdir()
    (mimic / "note").mkdir()
    codes = b"hadm_id,drg_type,drg_code,description\n1,HCFA,313,CHEST PAIN\n2,HCFA,313,CHEST PAIN\n"
    (mimic / "hosp/drgcodes.csv.gz").write_bytes(gzip.compress(codes))
    course = b"Brief Hospital Course:\n" + b"word " * 41
    note = b'x,9,%d,DS,"' + course + b'%d\nMedications on Admission:"\n'
    (mimic / "note/discharge.csv.gz").write_bytes(gzip.compress(COLUMNS + note % (1, 1) + note % (2, 2)))
    call = ("data_prep.drg", "--hosp", mimic / "hosp", "--note", mimic / "note", "--out", tmp_path / "out")
    assert_refused(run_command(*call, "--split", "patient"), "2 cases", "give more notes")
    assert not (tmp_path / "out").exists()


def test_a_budget_that_holds_no_note_and_a_folder_without_tokenizer_are_refused(world: World, tmp_path: Path) -> None:
    fit = budget.load(str(world.model), 40)
    with pytest.raises(UserError, match="raise it"):
        fit.notes(prompts.load("drg"), ["A note."])
    with pytest.raises(UserError, match="no tokenizer"):
        budget.load(str(tmp_path), 40)
