"""Bad input of data_prep.drg is a sentence that names file, row and remedy, and leaves nothing behind."""

import gzip
import shutil
from pathlib import Path

import pytest

from common.commands import UserError
from data_prep import prompts
from data_prep.cohort import mimic
from data_prep.writing import budget
from tests.conftest import World, assert_refused, run_command
from tests.support.drg_folders import copied

COLUMNS = b"note_id,subject_id,hadm_id,note_type,text\n"
GOOD = b'x,1,2,DS,"One\nline ""more"""\n'
DRGS = b"subject_id,hadm_id,drg_type,drg_code,description\n"
MANY = b"1,2,HCFA,313,CHEST PAIN\n" * 100_000


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
        ("hosp/drgcodes.csv.gz", b"hadm_id,hadm_id,drg_type,drg_code,description\n", ["line 1", "hadm_id", "twice"]),
        ("hosp/drgcodes.csv.gz", DRGS + MANY[:24] + b'1,2,HCFA,313,"secret\n' + MANY, ["line 3", "quote"]),
        ("hosp/drgcodes.csv.gz", DRGS + b'1,2,HCFA,313,"secret\n' + MANY + b'1,2,HCFA,313,"x"\n' + MANY,
         ["line 2", "quote"]),
        ("hosp/drgcodes.csv.gz", DRGS.replace(b"description", b"description,last") +
         (b'1,2,HCFA,313,"x, y",z\n' * 3 + b'1,2,HCFA,313,x,"secret\n') + MANY, ["line 5", "quote"]),
        ("note/discharge.csv.gz", COLUMNS + b'x,1,2,DS,"secret\n' + GOOD * 9, ["line 2", "quote"]),
        ("note/discharge.csv.gz", COLUMNS + GOOD * 2 + b'x,1,2,DS,"secret\n' + b"more\n" * 2_000_000,
         ["line 6", "quote"]),
        ("note/discharge.csv.gz", COLUMNS + GOOD, ["no case is left", "discharge"]),
        ("note/discharge.csv.gz", COLUMNS, ["no case is left"]),
    ],
)  # fmt: skip
def test_a_faulty_file_is_named_with_row_and_remedy_and_without_its_text(
    world: World, tmp_path: Path, file: str, content: bytes | None, said: list[str]
) -> None:
    place = copied(world, tmp_path)
    (place / file).unlink()
    if content is not None:
        (place / file).write_bytes(gzip.compress(content))
    done = run_command("data_prep.drg", "--hosp", place / "hosp", "--note", place / "note", "--out", tmp_path / "out")
    assert_refused(done, *(said[:-1] if said[-1] == "discharge" else said))
    assert "secret" not in done.stdout + done.stderr
    assert not (tmp_path / "out").exists()


def test_a_quote_in_the_middle_of_a_value_is_a_letter(world: World, tmp_path: Path) -> None:
    hosp = copied(world, tmp_path) / "hosp/drgcodes.csv.gz"
    lines = gzip.decompress(hosp.read_bytes()).splitlines(keepends=True)
    columns = lines[0].decode().strip().split(",")
    values = [{"drg_type": "APR", "description": 'NAIL OF 5" OR MORE'}.get(name, "1") for name in columns]
    hosp.write_bytes(gzip.compress(b"".join([*lines, ",".join(values).encode(), b"\n"])))
    whole = mimic.table(hosp.parent, "drgcodes", ("hadm_id", "description"))
    assert whole.num_rows == len(lines) and whole["description"][-1].as_py() == 'NAIL OF 5" OR MORE'


@pytest.mark.parametrize("lost", [1, 8, 5000])
def test_a_gzip_file_that_was_cut_short_is_refused(world: World, tmp_path: Path, lost: int) -> None:
    mimic = copied(world, tmp_path)
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
