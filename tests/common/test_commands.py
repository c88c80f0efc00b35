"""Whole files or none, and one sentence for bad input: what all commands rely on."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.commands import UserError, run
from common.files import own_folder, replaceable, whole_file, whole_folder
from tests.conftest import ROOT, World, assert_refused


def outcome(error: BaseException | None, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    def main() -> None:
        if error:
            raise error

    with pytest.raises(SystemExit) as ended:
        run(main)
    return int(ended.value.code or 0), capsys.readouterr().err


def test_bad_input_is_one_sentence_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(None, capsys) == (0, "")
    assert outcome(UserError("row 3 of x has no text; add one"), capsys) == (
        2,
        "error: row 3 of x has no text; add one\n",
    )
    for number in (errno.ENOSPC, errno.EEXIST, errno.EISDIR, errno.ENOTDIR):
        status, said = outcome(OSError(number, os.strerror(number), "out.parquet"), capsys)
        assert status == 2 and "out.parquet" in said and os.strerror(number) in said
    assert outcome(KeyboardInterrupt(), capsys) == (130, "stopped\n")


def test_a_programming_error_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run(lambda: print(1 // 0))


def test_a_block_that_fails_leaves_what_stood_there(tmp_path: Path) -> None:
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_text("before")
    folder.mkdir()
    (folder / "part").write_text("before")
    with pytest.raises(RuntimeError), whole_file(file) as made:
        made.write_text("half")
        raise RuntimeError
    with pytest.raises(RuntimeError), whole_folder(folder) as made:
        (made / "part").write_text("half")
        raise RuntimeError
    with pytest.raises(FileNotFoundError), whole_folder(folder) as made:
        made.rmdir()  # so that it cannot take the place of what is there
    assert file.read_text() == "before" and (folder / "part").read_text() == "before"
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_a_block_that_ends_well_replaces_it(tmp_path: Path) -> None:
    for _ in range(2):
        with whole_file(tmp_path / "deep" / "file") as made:
            made.write_text("after")
        with whole_folder(tmp_path / "folder") as made:
            (made / "part").write_text("after")
    assert (tmp_path / "deep" / "file").read_text() == "after" and os.listdir(tmp_path / "folder") == ["part"]
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "deep" / "file").stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_users_folder_is_replaced_only_where_all_in_it_was_written_here(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "empty").mkdir(parents=True)
    for text in ("first", "second"):
        with own_folder(out) as made:
            (made / "deep").mkdir()
            (made / "deep" / "part").write_text(text)
    assert (out / "deep" / "part").read_text() == "second" and not (out / "empty").exists()
    mine = out / "deep" / "thesis"
    mine.write_text("mine")
    with pytest.raises(UserError, match=r"deep/thesis was not written by this command.*another --out"), own_folder(out):
        pass
    mine.rename(tmp_path / "file")
    (tmp_path / "alike").mkdir()
    (tmp_path / "alike" / "part").write_text("mine")  # of the name that the command writes, but not by it
    with pytest.raises(UserError, match="alike/part was not written"), own_folder(tmp_path / "alike"):
        pass
    for there in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="file is no folder; move it away"), own_folder(there):
            pass
    assert (tmp_path / "file").read_text() == (tmp_path / "alike" / "part").read_text() == "mine"
    with pytest.raises(UserError, match="part was not written"):
        replaceable(tmp_path / "alike", "manifest.json")
    (tmp_path / "alike" / "manifest.json").touch()
    replaceable(tmp_path / "alike", "manifest.json")


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_files_and_folders_have_the_rights_that_the_umask_leaves(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with whole_folder(tmp_path / "folder") as made:
            (made / "part").write_text("after")
        with whole_file(tmp_path / "file") as made:
            made.write_text("after")
    finally:
        os.umask(before)
    rights = {name: (tmp_path / name).stat().st_mode & 0o777 for name in ("folder", "folder/part", "file")}
    assert rights == {"folder": 0o777 & ~umask, "folder/part": 0o666 & ~umask, "file": 0o666 & ~umask}


def test_a_full_disk_is_a_sentence_and_leaves_no_file(tmp_path: Path) -> None:
    code = (
        "import sys; from common.commands import run; from common.files import whole_file\n"
        "def main():\n"
        "    with whole_file(sys.argv[1]) as made, open('/dev/full', 'w') as full:\n"
        "        made.write_text('half'); full.write('x' * 100000)\n"
        "run(main)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], capture_output=True, text=True)
    assert_refused(done, f"{tmp_path / 'out'} cannot be written", "No space left on device")
    assert not os.listdir(tmp_path)


def test_a_file_for_which_there_is_no_room_is_named_and_nothing_is_left(world: World, tmp_path: Path) -> None:
    source = ["--hosp", world.mimic / "hosp", "--note", world.mimic / "note", "--out", tmp_path / "data"]
    words = ["-m", "data_prep.drg", *map(str, source)]
    room = "import resource, os, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
    code = f"{room}os.execv(sys.executable, [sys.executable, *{words!r}])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert_refused(done, f"error: {tmp_path / 'data' / 'drg'}/", ".parquet cannot be written", "File too large")
    assert not list((tmp_path / "data").iterdir())
