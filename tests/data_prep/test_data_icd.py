"""data_prep.icd keeps the cases that the rules give, in three splits, with their labels beside them."""

import csv
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset

from data_prep import icd, parquet, prompts
from data_prep.cohort import admission, helpers
from data_prep.cohort import mimic as mimic_files
from data_prep.writing.manifest import ids_hash
from reward_fns.icd import icd10
from tests.conftest import ROOT, World, assert_refused, run_command, run_process
from tests.support.published import notes as published_notes

SPLITS = ("train", "test", "val")


def call(mimic: Path, out: Path, *options: object) -> tuple[object, ...]:
    return "data_prep.icd", "--hosp", mimic / "hosp", "--note", mimic / "note", "--out", out, *options


def prepare(mimic: Path, out: Path, *options: object) -> Path:
    done = run_command(*call(mimic, out, *options))
    assert done.returncode == 0, done.stderr
    return out / "icd"


@pytest.fixture(scope="module")
def prepared(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(world.mimic, tmp_path_factory.mktemp("data"))


def read(folder: Path, name: str) -> list[dict]:
    return parquet.read(folder / f"{name}.parquet").to_pylist()


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, table: list[dict[str, str]]) -> None:
    with gzip.open(path, "wt", newline="") as file:
        writer = csv.DictWriter(file, table[0])
        writer.writeheader()
        writer.writerows(table)


def cohort_by_the_letter(mimic: Path, mode: str) -> list[tuple[int, str, str]]:
    """The rules once more, slow and plain: hadm_id, code, note."""
    first: dict[str, str] = {}
    for row in rows(mimic / "hosp/diagnoses_icd.csv.gz"):
        if row["seq_num"] == "1" and row["icd_version"] == "10" and row["hadm_id"] not in first:
            first[row["hadm_id"]] = row["icd_code"]
    found = []
    for row in rows(mimic / "note/discharge.csv.gz"):
        sections = admission.find(row["text"], "fixed")
        blocks = [f"{name.upper()}: {said}".strip() for name, said in zip(admission.SECTIONS, sections, strict=True)]
        fixed = "\n\n".join(blocks) if any(sections[:3]) else None
        note = fixed if mode == "fixed" else published_notes.note(row["text"])
        if row["hadm_id"] in first and note is not None:
            found.append((int(row["hadm_id"]), first[row["hadm_id"]], note))
    return found


@pytest.mark.parametrize("mode", admission.MODES)
def test_cases_notes_and_codes_are_those_of_the_rules(world: World, prepared: Path, tmp_path: Path, mode: str) -> None:
    folder = prepared if mode == "fixed" else prepare(world.mimic, tmp_path, "--sections", mode)
    ours = sorted((row for name in SPLITS for row in read(folder, name)), key=lambda row: row["extra_info"]["index"])
    wanted = cohort_by_the_letter(world.mimic, mode)
    assert len(wanted) > 400
    assert [row["extra_info"]["hadm_id"] for row in ours] == [row[0] for row in wanted]
    assert [row["reward_model"]["ground_truth"] for row in ours] == [row[1] for row in wanted]
    assert [row["extra_info"]["note"] for row in ours] == [row[2] for row in wanted]
    frame = prompts.load("icd")
    for row in ours:
        user = {"role": "user", "content": frame.user.replace("{note}", row["extra_info"]["note"])}
        assert row["prompt"] == [{"role": "system", "content": frame.system}, user]


def test_every_file_has_the_schema_and_loads_with_datasets(prepared: Path) -> None:
    for name in SPLITS:
        table = parquet.read(prepared / f"{name}.parquet")
        assert table.schema.equals(parquet.ICD), name
        assert set(table["data_source"].to_pylist()) == {"mimic_icd"}
        assert set(parquet.infos(table, "split")) == {name}
        loaded = load_dataset("parquet", data_files=str(prepared / f"{name}.parquet"), split="train")
        assert loaded[0]["prompt"][-1]["role"] == "user" and loaded[0]["extra_info"]["note"]
    assert {path.name for path in prepared.iterdir()} == {
        *(f"{name}.parquet" for name in SPLITS), "codes.txt", "labels.json", "manifest.json",
    }  # fmt: skip


def test_splits_are_70_20_10_and_patient_keeps_patients_apart(world: World, prepared: Path) -> None:
    for folder, apart in ((prepared, False), (world.data / "icd", True)):
        parts = [read(folder, name) for name in SPLITS]
        total = sum(map(len, parts))
        for part, share in zip(parts, (0.7, 0.2, 0.1), strict=True):
            assert abs(len(part) - share * total) <= 2
        assert len({row["extra_info"]["hadm_id"] for part in parts for row in part}) == total
        people = [{row["extra_info"]["subject_id"] for row in part} for part in parts]
        assert (sum(map(len, people)) == len(set.union(*people))) == apart


def test_the_label_set_has_three_levels_with_nil_and_codes_has_mimics_dictionary(world: World, prepared: Path) -> None:
    labels = json.loads((prepared / "labels.json").read_text())
    golds = {row["reward_model"]["ground_truth"] for name in SPLITS for row in read(prepared, name)}
    assert labels["code"] == [*sorted(golds), "NIL"]
    assert labels["category"] == [*sorted({gold[:3] for gold in golds}), "NIL"]
    assert set(labels["chapter"]) == {icd10.chapter(gold) for gold in golds}
    dictionary = {
        row["icd_code"] for row in rows(world.mimic / "hosp/d_icd_diagnoses.csv.gz") if row["icd_version"] == "10"
    }
    assert icd10.read_codes(str(prepared / "codes.txt")) == dictionary | golds
    assert len(dictionary - golds) > 10


def test_the_manifest_says_what_was_kept_and_why(prepared: Path) -> None:
    said = manifest(prepared)
    assert all(step["before"] >= step["after"] and step["reason"] for step in said["filters"])
    assert said["releases"] == {"hosp": "unknown or synthetic", "note": "unknown or synthetic"}
    assert said["prompts"] == prompts.hashes() and said["sections"] == "fixed"
    assert said["counts"]["test"]["paper"] == 18_654
    for name in SPLITS:
        table = read(prepared, name)
        golds = Counter(row["reward_model"]["ground_truth"] for row in table)
        assert said["labels"][name] == golds
        hadm_ids = [row["extra_info"]["hadm_id"] for row in table]
        assert said["files"][f"{name}.parquet"] == {"rows": len(table), "hadm_ids_sha256": ids_hash(hadm_ids)}
    assert said["counts"]["cases"]["ours"] == sum(said["files"][f"{name}.parquet"]["rows"] for name in SPLITS)


def test_the_same_command_gives_the_same_bytes(world: World, prepared: Path) -> None:
    before = {path: path.read_bytes() for path in prepared.rglob("*") if path.is_file()}
    again = run_process(*call(world.mimic, prepared.parent), PYTHONHASHSEED="1")  # whatever the order of a set
    assert again.returncode == 0, again.stderr
    assert {path: path.read_bytes() for path in prepared.rglob("*") if path.is_file()} == before


def test_notes_are_cut_from_their_end_and_the_judge_sees_what_the_model_saw(world: World, prepared: Path) -> None:
    whole = {row["extra_info"]["hadm_id"]: row["extra_info"]["note"] for name in SPLITS for row in read(prepared, name)}
    frame = prompts.load("icd")
    cut = 0
    for name in SPLITS:
        for row in read(world.data / "icd", name):
            info, note = row["extra_info"], row["extra_info"]["note"]
            assert whole[info["hadm_id"]].startswith(note)
            assert info["note_truncated"] == (note != whole[info["hadm_id"]])
            assert info["prompt_tokens"] <= 384
            assert row["prompt"] == prompts.fill(frame, note)
            cut += info["note_truncated"]
    assert cut > 10


def test_own_prompts_are_used_and_hashed(world: World, tmp_path: Path) -> None:
    (tmp_path / "icd_user.txt").write_text("Note: {note} Code?")
    folder = prepare(world.mimic, tmp_path / "out", "--prompt-dir", tmp_path)
    assert read(folder, "val")[0]["prompt"][-1]["content"].endswith(" Code?")
    ours, own = prompts.hashes(), manifest(folder)["prompts"]
    assert {name for name in own if own[name] != ours[name]} == {"icd_user.txt"}


def test_the_first_of_several_first_diagnoses_counts_and_is_reported(world: World, tmp_path: Path) -> None:
    mimic = Path(shutil.copytree(world.mimic, tmp_path / "mimic"))
    path = mimic / "hosp/diagnoses_icd.csv.gz"
    table = rows(path)
    chosen = [row for row in table if row["seq_num"] == "1" and row["icd_version"] == "10"][:3]
    more = [{**chosen[0], "icd_code": "I214"}, chosen[1], {**chosen[2], "icd_version": "9", "icd_code": "4280"}]
    write_rows(path, [*table, *more])
    done = run_command(*call(mimic, tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert "1 admissions have rows with different first diagnoses; the first row in the file counts" in done.stdout
    golds = {
        row["extra_info"]["hadm_id"]: row["reward_model"]["ground_truth"]
        for name in SPLITS for row in read(tmp_path / "out/icd", name)
    }  # fmt: skip
    assert golds[int(chosen[0]["hadm_id"])] == chosen[0]["icd_code"] != "I214"


def test_codes_that_left_the_code_set_stay_labels_and_odd_ones_are_dropped(world: World, tmp_path: Path) -> None:
    mimic = Path(shutil.copytree(world.mimic, tmp_path / "mimic"))
    path = mimic / "hosp/diagnoses_icd.csv.gz"
    table = rows(path)
    chosen = [row for row in table if row["seq_num"] == "1" and row["icd_version"] == "10"]
    chosen[0]["icd_code"], chosen[1]["icd_code"] = "I2199", "NoDx"
    assert not icd10.exists("I2199")
    write_rows(path, table)
    folder = prepare(mimic, tmp_path / "out")
    assert "I2199" in (folder / "codes.txt").read_text().split()
    assert any(step["name"] == "code" and step["before"] - step["after"] == 1 for step in manifest(folder)["filters"])
    assert any("not in d_icd_diagnoses" in note for note in manifest(folder)["notes"])
    done = run_command("data_prep.validate", tmp_path / "out")
    assert done.returncode == 0, done.stderr


def test_a_helping_process_changes_nothing(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mimic_files, "BLOCK", 100_000)  # so that there are many batches to share
    place = ["--hosp", str(world.mimic / "hosp"), "--note", str(world.mimic / "note"), "--out", str(tmp_path / "out")]
    written = []
    for processes in (0, 1, 3):
        monkeypatch.setattr(helpers, "wanted", lambda _, processes=processes: processes)
        icd.main(place)
        written.append({path.name: path.read_bytes() for path in (tmp_path / "out/icd").iterdir()})
    assert len(written[0]) == 6 and written[0] == written[1] == written[2]


def test_labels_with_one_case_and_splits_that_stay_empty(tmp_path: Path) -> None:
    assert run_command("data_prep.synthesize", "--out", tmp_path / "m", "--notes", 40).returncode == 0
    folder = prepare(tmp_path / "m", tmp_path / "data")
    assert any("not stratified" in note for note in manifest(folder)["notes"])
    assert all(read(folder, name) for name in SPLITS)
    path = tmp_path / "m/note/discharge.csv.gz"
    write_rows(path, rows(path)[:2])
    for split in ("stratified", "patient"):
        assert_refused(run_command(*call(tmp_path / "m", tmp_path / "out", "--split", split)), "give more notes")
    assert not (tmp_path / "out").exists()


def test_bad_input_is_a_sentence_and_leaves_nothing(world: World, tmp_path: Path) -> None:
    mimic = Path(shutil.copytree(world.mimic, tmp_path / "mimic"))
    command = call(mimic, tmp_path / "out")
    codes, notes = mimic / "hosp/diagnoses_icd.csv.gz", mimic / "note/discharge.csv.gz"
    good = codes.read_bytes(), notes.read_bytes()
    codes.write_bytes(gzip.compress(b"subject_id,hadm_id,seq_num,icd9_code\n1,2,1,4280\n"))
    assert_refused(run_command(*command), "diagnoses_icd.csv.gz", "icd_code")
    codes.write_bytes(gzip.compress(b"subject_id,hadm_id,seq_num,icd_code,icd_version\n1,2,1,4280,9\n"))
    assert_refused(run_command(*command), "no case is left")
    codes.write_bytes(good[0])
    notes.write_bytes(good[1][: len(good[1]) // 2])
    assert_refused(run_command(*command), "discharge.csv.gz", "damaged or cut short")
    head = b"note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text\n"
    notes.write_bytes(gzip.compress(head + b"a,1,2,DS,1,,,Chief Complaint: \xff\xfe\n"))
    assert_refused(run_command(*command), "discharge.csv.gz", "row 1")
    notes.write_bytes(good[1])
    (mimic / "hosp/d_icd_diagnoses.csv.gz").unlink()
    assert_refused(run_command(*command), "d_icd_diagnoses.csv.gz does not exist")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.0, 0.4, 0.8])
def test_a_killed_run_leaves_nothing_and_the_next_one_succeeds(world: World, tmp_path: Path, after: float) -> None:
    command = [str(word) for word in call(world.mimic, tmp_path / "out")]
    process = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stderr is not None
    while b"diagnoses_icd" not in os.read(process.stderr.fileno(), 1 << 16):
        pass  # until it is at work
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    if (tmp_path / "out/icd").exists():  # it was faster: then it is whole
        assert run_command("data_prep.validate", tmp_path / "out").returncode == 0
    prepare(world.mimic, tmp_path / "out")
    assert run_command("data_prep.validate", tmp_path / "out").returncode == 0


@pytest.mark.slow
def test_stratification_keeps_every_share_within_one_percent_for_50_cases(tmp_path: Path) -> None:
    done = run_command("data_prep.synthesize", "--out", tmp_path / "m", "--notes", 3000, "--words", 50)
    assert done.returncode == 0, done.stderr
    for split in ("stratified", "patient"):
        labels = manifest(prepare(tmp_path / "m", tmp_path / split, "--split", split))["labels"]
        totals = sum((Counter(labels[name]) for name in SPLITS), Counter())
        frequent = {code: n for code, n in totals.items() if n >= 50}
        assert len(frequent) >= 10
        for code, total in frequent.items():
            for name, share in zip(SPLITS, (0.7, 0.2, 0.1), strict=True):
                assert abs(labels[name].get(code, 0) - share * total) <= max(1, 0.01 * total), (split, code, name)


def test_a_template_that_opens_the_reasoning_is_counted(world: World) -> None:
    from data_prep.writing import budget

    fit = budget.load(str(world.model), 384)
    assert fit is not None
    chat = prompts.messages("icd", "CHIEF COMPLAINT: pain")
    plain = fit.count([chat])[0]
    end = "{{ '<|im_start|>assistant\n' }}"
    assert end in fit.tokenizer.chat_template
    fit.tokenizer.chat_template = fit.tokenizer.chat_template.replace(end, "{{ '<|im_start|>assistant\n<think>\n' }}")
    assert fit.count([chat])[0] - plain == len(fit.tokenizer("<think>\n")["input_ids"])
    note = " ".join(["chest pain"] * 500)
    fitted = fit.notes(prompts.load("icd"), [note])[0]
    assert np.isclose(fitted.tokens, 384, atol=2) and fitted.tokens <= 384 and note.startswith(fitted.note)
