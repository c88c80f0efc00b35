"""eval.score refuses a folder of generations that is not whole, and writes nothing."""

from pathlib import Path

import pytest

from common import record
from eval.generation import parts
from tests.conftest import assert_refused
from tests.support.eval_folders import CASES, CHEST, add, folder, say, settings


def break_no_folder(out: Path) -> str:
    for path in out.iterdir():
        path.unlink()
    return "run.json does not exist"


def break_unfinished(out: Path) -> str:
    record.write(out, finished=False)
    return "is not finished"


def break_missing_part(out: Path) -> str:
    (out / "part-00001.parquet").unlink()
    return "has 3 of 4 cases"


def break_damaged_part(out: Path) -> str:
    path = out / "part-00000.parquet"
    path.write_bytes(path.read_bytes()[:200])
    return "part-00000.parquet is damaged"


def break_other_settings(out: Path) -> str:
    (out / "part-00001.parquet").unlink()
    add(out, CASES[3:], 3, settings(seed=1))
    return "part-00001.parquet was made with other settings"


def break_copy(out: Path) -> str:
    (out / "part-00000 (copy).parquet").write_bytes((out / "part-00000.parquet").read_bytes())
    return "part-00000 (copy).parquet is no part that eval.generate wrote"


def break_null(out: Path) -> str:
    (out / "part-00001.parquet").unlink()
    add(out, [(3, CHEST, [say(CHEST), None, say(CHEST), say(CHEST)])], 3, settings())
    return "part-00001.parquet has empty places in completions"


def break_other_task(out: Path) -> str:
    for start in (0, 3):
        (out / f"part-{start // 3:05d}.parquet").unlink()
        add(out, CASES[start : start + 3], start, settings(), source="mimic_notes")
    return "the data_source 'mimic_notes' is unknown; known: mimic_drg, mimic_icd"


def break_twice(out: Path) -> str:
    add(out, CASES[3:], 3, settings())
    return "case 3 stands twice"


def break_samples(out: Path) -> str:
    (out / "part-00001.parquet").unlink()
    add(out, [(3, CHEST, [say(CHEST)] * 3)], 3, settings())
    return "case 3 does not have 4 samples"


def break_task(out: Path) -> str:
    (out / "part-00001.parquet").unlink()
    add(out, CASES[3:], 3, settings(), source="mimic_icd")
    return "part-00001.parquet mixes cases of mimic_drg and mimic_icd"


def break_gold(out: Path) -> str:
    (out / "part-00001.parquet").unlink()
    add(out, [(3, "CHEST PANE", [say(CHEST)] * 4)], 3, settings())
    return "the gold 'CHEST PANE' is no MS-DRG v34 title"


def break_run_json(out: Path) -> str:
    (out / "run.json").write_text("{}")
    return "does not describe generations"


@pytest.mark.parametrize("damage", [value for name, value in list(globals().items()) if name.startswith("break_")])
def test_a_folder_that_is_not_whole_is_refused_and_nothing_is_written(tmp_path, command, damage):
    out = folder(tmp_path / "g")
    said = damage(out)
    assert_refused(command("eval.score", "--generations", out), said)
    assert not list(out.glob("*.json.*")) and not (out / "scores.json").exists()
    assert not (out / "per_sample.parquet").exists()


def test_a_folder_that_is_being_written_is_refused(tmp_path, command):
    out = folder(tmp_path / "g")
    with parts.writing(out):
        assert_refused(command("eval.score", "--generations", out), "g is still being written; wait")
