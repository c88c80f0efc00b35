"""data_prep.drg keeps the cohort that the rules give, divides it without overlap, and cuts only the note."""

import csv
import gzip
import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from datasets import load_dataset

from commands import UserError
from data_prep import budget, drg_titles, prompts, schema
from data_prep.manifest import ids_hash
from reward_fns import ms_drg
from tests.conftest import World, assert_refused, run_command

SHARES = (50, 75, 90, 95)
TRAINING = [f"{kind}/{name}" for kind in ("rl", "sft") for name in
            ("cold", "small", *(f"{size}_{share}" for size in ("small", "full") for share in SHARES))]  # fmt: skip
FILES = ["test", "test_small", *TRAINING]


def prepare(mimic: Path, out: Path, *options: object) -> Path:
    done = run_command("data_prep.drg", "--hosp", mimic / "hosp", "--note", mimic / "note", "--out", out, *options)
    assert done.returncode == 0, done.stderr
    return out / "drg"


@pytest.fixture(scope="module")
def stable(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(world.mimic, tmp_path_factory.mktemp("data"))


def read(folder: Path, name: str) -> list[dict]:
    return schema.read(folder / f"{name}.parquet").to_pylist()


def ids(folder: Path, name: str, what: str = "index") -> list[int]:
    return [row["extra_info"][what] for row in read(folder, name)]


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def cohort_by_the_letter(mimic: Path) -> list[tuple[int, str, str]]:
    """The rules once more, slow and plain: hadm_id, course as one line, title."""
    with gzip.open(mimic / "hosp/drgcodes.csv.gz", "rt", newline="") as file:
        hcfa = [row for row in csv.DictReader(file) if row["drg_type"] in ("HCFA", "HCFA ")]
    with gzip.open(mimic / "note/discharge.csv.gz", "rt", newline="") as file:
        notes = list(csv.DictReader(file))
    on_admission = r"Brief Hospital Course[^\n]*\n(.*?)(?:Medications on Admission|___  on Admission|___ on Admission)"
    at_discharge = r"Brief Hospital Course[^\n]*\n(.*?)Discharge Medications"
    stub = r"(?:Mg-1\.|Mg-2\.|LACTATE-1\.|LACTATE-2\.|Epi-|Gap-|COUNT-|TRF-)___(.*?)Medications on Admission"
    seen, rows = set(), []
    for note in notes:
        found = next(
            (m for rule in (on_admission, at_discharge, stub) if (m := re.search(rule, note["text"], re.S))), 0
        )
        if not found or len(found[1].split()) <= 40 or found[1].strip() in seen:
            continue
        seen.add(found[1].strip())
        for row in hcfa:
            if row["hadm_id"] == note["hadm_id"]:
                title = row["description"].replace("W/O", "WITHOUT").replace(" W ", " WITH ").replace("&", "AND")
                title = title.replace(",", "")
                near = [t for t in ms_drg.BY_TITLE if t.replace("  ", " ") == title.replace("  ", " ")]
                rows += [(int(row["hadm_id"]), " ".join(found[1].split()), near[0])] if near else []
    counts = Counter(row[2] for row in rows)
    return [row for row in rows if counts[row[2]] >= 2]


def test_admissions_texts_and_labels_are_those_of_the_rules(world: World, stable: Path) -> None:
    ours = sorted(
        [row for name in ("test", "rl/full_50", "sft/full_50") for row in read(stable, name)],
        key=lambda row: row["extra_info"]["index"],
    )
    wanted = cohort_by_the_letter(world.mimic)
    assert len(wanted) > 300
    frame = prompts.load("drg").user
    assert [row["extra_info"]["hadm_id"] for row in ours] == [row[0] for row in wanted]
    assert [row["prompt"][-1]["content"] for row in ours] == [frame.replace("{note}", row[1]) for row in wanted]
    assert [row["reward_model"]["ground_truth"] for row in ours] == [row[2] for row in wanted]


def test_every_file_has_the_schema_and_loads_with_datasets(stable: Path) -> None:
    for name in FILES:
        table = schema.read(stable / f"{name}.parquet")
        assert table.schema.equals(schema.RL), name
        assert set(table["data_source"].to_pylist()) == {"mimic_drg"}
    loaded = load_dataset("parquet", data_files=str(stable / "rl/small.parquet"), split="train")
    assert loaded[0]["prompt"][-1]["role"] == "user"
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
    before = {path: path.read_bytes() for path in stable.rglob("*") if path.is_file()}
    prepare(world.mimic, stable.parent)
    assert {path: path.read_bytes() for path in stable.rglob("*") if path.is_file()} == before


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


def test_a_map_of_ones_own_adds_titles_and_an_empty_target_drops(world: World, stable: Path, tmp_path: Path) -> None:
    with gzip.open(world.mimic / "hosp/drgcodes.csv.gz", "rt", newline="") as file:
        raw = {row["description"] for row in csv.DictReader(file) if row["drg_type"].strip() == "HCFA"}
    lost = sorted(text for text in raw if drg_titles.match(text) is None)
    (tmp_path / "map.csv").write_text(
        "raw_description,DRG_34_description\n"
        + "".join(f'"{drg_titles.normalise(text)}",{"CHEST PAIN" if i else ""}\n' for i, text in enumerate(lost))
    )
    mapped = manifest(prepare(world.mimic, tmp_path / "data", "--drg-map", tmp_path / "map.csv"))
    step, plain = (next(s for s in m["filters"] if s["name"] == "MS-DRG v34 title") for m in (mapped, manifest(stable)))
    assert plain["after"] < step["after"] < step["before"]


def test_forty_notes_are_enough_and_what_could_not_be_done_is_said(tmp_path: Path) -> None:
    assert run_command("data_prep.synthesize", "--out", tmp_path / "m", "--notes", 40).returncode == 0
    folder = prepare(tmp_path / "m", tmp_path / "data")
    assert any("not stratified" in note for note in manifest(folder)["notes"])
    assert any("no title has 5 training cases" in note for note in manifest(folder)["notes"])
    assert all(read(folder, name) for name in ("test", "rl/full_50", "sft/full_50", "rl/cold"))


@pytest.mark.parametrize(
    ("raw", "title"),
    [
        ("HEART FAILURE & SHOCK W/O CC/MCC", "HEART FAILURE AND SHOCK WITHOUT CC/MCC"),
        ("CORONARY BYPASS W CARDIAC CATH W MCC", "CORONARY BYPASS WITH CARDIAC CATHETERIZATION WITH MCC"),
        ("MALIGNANT BREAST DISORDERS W CC/MCC", None),  # the family has three titles
        ("NASAL TRAUMA & DEFORMITY W CC", None),
        ("", None),
    ],
)
def test_descriptions_become_titles_by_normalisation(raw: str, title: str | None) -> None:
    found = drg_titles.match(raw)
    assert (found and found.title) == title


def copy(world: World, place: Path) -> Path:
    return Path(shutil.copytree(world.mimic, place / "mimic"))


def test_bad_input_is_a_sentence_and_leaves_nothing(world: World, tmp_path: Path) -> None:
    mimic = copy(world, tmp_path)
    call = ("data_prep.drg", "--hosp", mimic / "hosp", "--note", mimic / "note", "--out", tmp_path / "out")
    codes, notes = mimic / "hosp/drgcodes.csv.gz", mimic / "note/discharge.csv.gz"
    good = codes.read_bytes(), notes.read_bytes()

    codes.write_bytes(gzip.compress(b"subject_id,hadm_id,drg_type,drg_code\n1,2,HCFA,1\n"))
    assert_refused(run_command(*call), "drgcodes.csv.gz", "description")
    codes.unlink()
    assert_refused(run_command(*call), "drgcodes.csv.gz", "does not exist")
    codes.write_bytes(good[0])
    notes.write_bytes(good[1][: len(good[1]) // 2])
    assert_refused(run_command(*call), "discharge.csv.gz", "damaged or cut short")
    notes.write_bytes(gzip.compress(b"note_id,subject_id,hadm_id,text\na,1,2,\xff\xfe\n"))
    assert_refused(run_command(*call), "discharge.csv.gz", "UTF8")
    notes.write_bytes(gzip.compress(b"note_id,subject_id,hadm_id,text\na,1,2,nothing\n"))
    assert_refused(run_command(*call), "no case is left")
    notes.write_bytes(good[1])

    (tmp_path / "map.csv").write_text("a,b\n1,2\n")
    assert_refused(run_command(*call, "--drg-map", tmp_path / "map.csv"), "raw_description")
    (tmp_path / "map.csv").write_text("raw_description,DRG_34_description\nX,HEART FAILURE WITH MC\n")
    assert_refused(run_command(*call, "--drg-map", tmp_path / "map.csv"), "line 2", "no MS-DRG v34 title")
    (tmp_path / "drg_user.txt").write_text("Which DRG is it?")
    assert_refused(run_command(*call, "--prompt-dir", tmp_path), "drg_user.txt", "{note}")
    bare = Path(shutil.copytree(world.model, tmp_path / "bare"))
    (bare / "chat_template.jinja").unlink()
    assert_refused(run_command(*call, "--tokenizer", bare), "chat template")
    assert not (tmp_path / "out").exists()


def test_a_budget_that_holds_no_note_and_a_folder_without_tokenizer_are_refused(world: World, tmp_path: Path) -> None:
    fit = budget.load(str(world.model), 40)
    with pytest.raises(UserError, match="raise it"):
        fit.notes(prompts.load("drg"), ["A note."])
    with pytest.raises(UserError, match="no tokenizer"):
        budget.load(str(tmp_path), 40)
