"""ICD-10-CM codes: spelling, validity, category, chapter, and the compact table that is kept."""

import os
import subprocess
import sys
import warnings
from importlib.metadata import version

import pytest

from reward_fns.icd import icd10


@pytest.fixture(scope="module")
def package():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import simple_icd_10_cm
    return simple_icd_10_cm


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("I21.4", "I214"),
        ("I214", "I214"),
        (" i21.4\n", "I214"),
        ("I 21. 4", "I214"),
        ("I21.4.", "I214"),
        ("\u00a0c7a.010\t", "C7A010"),
        ("z3a.01", "Z3A01"),
        ("", ""),
        ("\u013121.4", "\u0131214"),  # a dotless i, which upper() turns into I
    ],
)
def test_a_code_is_normalised(text, code):
    assert icd10.normalise(text) == code


@pytest.mark.parametrize(
    "code", ["I10", "I21", "I214", "i21.4", "S72.001", "S72.001A", "C7A", "M1A", "Z3A.01", "QA0.0"]
)
def test_categories_and_everything_below_them_exist(code):
    assert icd10.exists(code)


@pytest.mark.parametrize(
    "code",
    [
        "",
        "I",
        "I2",
        "9",
        "I00-I99",
        "I20-I25",
        "I214X",
        "I1012",
        "X214",
        "\u013121.4",
        "\uff29214",
        "pneumonia",
        "I214I10",
    ],
)
def test_chapters_blocks_and_invented_codes_do_not_exist(code):
    assert not icd10.exists(code)
    assert icd10.chapter(code) is None


@pytest.mark.parametrize("text", ["pneumonia", "NIL", "I", "I2", "21.4", "I21.45678", "", "I21,4", "THE"])
def test_what_cannot_be_a_code_does_not_look_like_one(text):
    assert not icd10.looks_like_code(icd10.normalise(text))


@pytest.mark.parametrize(
    ("code", "category", "chapter"),
    [
        ("i21.4", "I21", "9"),
        ("C7A.010", "C7A", "2"),
        ("D50", "D50", "3"),
        ("D49.9", "D49", "2"),
        ("H60.00", "H60", "8"),
        ("H59.89", "H59", "7"),
        ("U07.1", "U07", "22"),
        ("Z3A.01", "Z3A", "21"),
    ],
)
def test_category_and_chapter(code, category, chapter):
    assert (icd10.category(code), icd10.chapter(code)) == (category, chapter)


def test_every_code_of_the_package_exists_looks_like_one_and_has_the_package_s_chapter(package):
    items = {item for item in package.get_all_codes() if package.is_category(item) or package.is_subcategory(item)}
    assert icd10.table().codes == {item.replace(".", "") for item in items}
    for item in items:
        assert icd10.looks_like_code(icd10.normalise(item)), item
    for item in (item for item in items if len(item) == 3):
        chapter = next(above for above in package.get_ancestors(item) if package.is_chapter(above))
        assert icd10.chapter(item) == chapter, item


def test_added_codes_exist_and_take_the_chapter_of_their_place(tmp_path):
    file = tmp_path / "codes.txt"
    file.write_text("I21.45\nt8249,a title\n\nO00X\n")
    extra = icd10.read_codes(str(file))
    assert extra == {"I2145", "T8249", "O00X"}
    assert icd10.exists("i21.45", extra) and not icd10.exists("i21.45")
    assert [icd10.chapter(code, extra) for code in ("I21.45", "T8249", "O00X", "I2146")] == ["9", "19", "15", None]


def test_a_list_with_something_else_is_refused_by_name(tmp_path):
    file = tmp_path / "codes.txt"
    file.write_text("I21.4\npneumonia\n")
    with pytest.raises(ValueError, match="'PNEUMONIA'"):
        icd10.read_codes(str(file))


@pytest.mark.parametrize(
    ("one", "other", "length"), [("I214", "I214", 4), ("I21", "I214", 3), ("I50", "I214", 1), ("", "I", 0)]
)
def test_overlap_is_the_common_prefix(one, other, length):
    assert icd10.overlap(one, other) == icd10.overlap(other, one) == length


def test_the_nearest_code_shares_the_longest_prefix():
    assert icd10.nearest("I21.49")[0] == "I214"
    assert icd10.nearest("I99.X")[0] == "I99"
    assert icd10.nearest("") == icd10.nearest("\u4e00") == []


def in_a_new_process(folder: object) -> str:
    """Chapter and number of codes as a new process sees them, its cache below this folder."""
    program = "from reward_fns.icd import icd10; print(icd10.chapter('I214'), len(icd10.table().codes))"
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder)}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert run.returncode == 0 and run.stderr == "", run.stderr
    return run.stdout.strip()


def test_the_table_is_kept_and_a_damaged_one_is_made_again(tmp_path):
    folder = tmp_path / "medcode-rl"
    folder.mkdir()
    path = folder / f"icd10cm-{version('simple-icd-10-cm')}.json"
    path.write_text('[["A00", "A000"')
    assert in_a_new_process(tmp_path) == f"9 {len(icd10.table().codes)}"
    (kept,) = folder.iterdir()
    assert kept == path
    kept.write_text(kept.read_text().replace('"I00": "9"', '"I00": "3"'))
    assert in_a_new_process(tmp_path).startswith("3 ")  # it is the kept table that is read


def test_a_cache_folder_that_cannot_be_written_changes_nothing(tmp_path):
    (tmp_path / "medcode-rl").write_text("a file stands where the folder should be")
    assert in_a_new_process(tmp_path) == f"9 {len(icd10.table().codes)}"
