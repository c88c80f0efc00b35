"""eval.score --weights: figures by hand from a table in the layout of CMS's, and tables that are refused."""

from pathlib import Path

import pytest

from eval.page.runs import read_evaluation
from eval.page.value import figures
from reward_fns.drg import ms_drg, weights
from tests.conftest import assert_refused
from tests.support.eval_folders import CHEST, folder, say, scores_of, settings
from tests.support.icd_folders import icd_folder

# An invented table: number, title as CMS shortens it, weight.
LINES = [
    ("247", "PERC CARDIOVASC PROC W DRUG-ELUTING STENT W/O MCC", "2.0500"),
    ("291", "HEART FAILURE & SHOCK W MCC", "1.5000"),
    ("292", "HEART FAILURE & SHOCK W CC", "1.0000"),
    ("293", "HEART FAILURE & SHOCK W/O CC/MCC", "0.7000"),
    ("304", "HYPERTENSION W MCC", "1.1000"),
    ("313", "CHEST PAIN", "0.6000"),
    ("795", "NORMAL NEWBORN", "0.0000"),
    ("998", "PRINCIPAL DIAGNOSIS INVALID AS DISCHARGE DIAGNOSIS", "."),
    ("999", "UNGROUPABLE", "."),
]
TITLE = '"TABLE 5.\u2014LIST OF MS-DRGS, RELATIVE WEIGHTING FACTORS\r\nAND MEAN LENGTH OF STAY\u2014FY {} FINAL RULE"'
HEAD = ["MS-DRG ", "FY {} Final Post-Acute DRG", "FY {} Final Special Pay DRG", "MDC", "TYPE", "MS-DRG Title"]
LOS = ["Geometric mean LOS", "Arithmetic mean LOS"]


def table(out: Path, lines=LINES, year: str = "2017", columns: tuple[str, ...] = ("Weights",)) -> Path:
    """In CMS's layout: tab-separated, cp1252, a title over two lines, blank rows at the end."""
    head = [cell.format(year) for cell in [*HEAD, *columns, *LOS]]
    rows = [
        [number, "No", "No", "05", "MED", f'"{title}"', *(weight for _ in columns), "3.1", "4.2"]
        for number, title, weight in lines
    ]
    text = "\r\n".join([TITLE.format(year), *("\t".join(row) for row in [head, *rows]), "\t" * 8, ""])
    out.write_bytes(text.encode("cp1252"))
    return out


def scored(command, out: Path, file: Path, *words: object) -> dict:
    done = command("eval.score", "--generations", out, "--weights", file, *words)
    assert done.returncode == 0, done.stderr
    assert "case-mix" in scores_of(out)["value"]["metrics"]["cmi_gold"]["definition"] and "cmi_gold" in done.stdout
    return scores_of(out)["value"]


def test_every_figure_equals_the_one_computed_by_hand(tmp_path, command):
    value = scored(command, folder(tmp_path / "g"), table(tmp_path / "table5.txt"))
    assert value["weights"] | {"sha256": ""} == {"file": "table5.txt", "sha256": "", "year": 2017}
    by_hand = {
        # voted MCC | HYPERTENSION, said first of two | MCC | none; gold MCC | CHEST | CC | CHEST
        "error": (0 + (1.1 - 0.6) + (1.5 - 1.0) + (0 - 0.6)) / 4,
        "absolute_error": (0 + 0.5 + 0.5 + 0.6) / 4,
        "over_coding": (0.5 + 0.5) / 4,
        "under_coding": 0.6 / 4,
        "over_coded": 2 / 4,
        "under_coded": 1 / 4,
        "cmi_gold": (1.5 + 0.6 + 1.0 + 0.6) / 4,
        "cmi_predicted": (1.5 + 1.1 + 1.5 + 0) / 4,
        "no_answer": 1 / 4,
    }
    assert {name: row["value"] for name, row in value["metrics"].items()} == pytest.approx(by_hand)
    for row in [*value["metrics"].values(), *value["review"]["curve"]]:
        assert row["interval"][0] - 1e-12 <= row["value"] <= row["interval"][1] + 1e-12
    # shares of votes 2/4, 1/4, 2/4, 0: first the case without an answer, then the tie, then half of each of the others
    caught = {round(row["reviewed"], 2): row["value"] for row in value["review"]["curve"]}
    assert [caught[part] for part in (0.25, 0.5, 0.75, 1.0)] == pytest.approx([0.6 / 1.6, 1.1 / 1.6, 1.35 / 1.6, 1])


def test_right_answers_have_no_error_and_the_report_has_a_figure(tmp_path, command):
    out = folder(tmp_path / "g", [(i, CHEST, [say(CHEST)] * 4) for i in range(4)])
    value = scored(command, out, table(tmp_path / "t.txt"))
    assert value["metrics"]["error"]["value"] == value["metrics"]["absolute_error"]["value"] == 0
    assert value["metrics"]["cmi_predicted"]["value"] == pytest.approx(0.6)
    assert value["review"]["curve"] == []  # there is nothing to catch
    (figure,) = figures([read_evaluation("mine", out)])
    assert "mine, weights of FY 2017: case-mix index 0.600" in figure.caption and "<svg" in figure.svg()
    assert "0.0 [0.0, 0.0] percent have no paid answer" in figure.caption and "no curve" in figure.caption


def test_the_report_says_of_every_run_of_which_year_its_weights_are(tmp_path, command):
    runs = []
    for year in (2017, 2018):
        out = folder(tmp_path / f"{year}")
        scored(command, out, table(tmp_path / f"{year}.txt", year=str(year)), "--weights-year", year)
        runs.append(read_evaluation(f"of {year}", out))
    (figure,) = figures(runs)
    assert all(f"of {year}, weights of FY {year}: case-mix" in figure.caption for year in (2017, 2018))
    assert "25.0 [" in figure.caption and "no curve" not in figure.caption


def test_an_answer_that_is_not_paid_for_weighs_nothing(tmp_path, command):
    cases = [(i, CHEST, [say(CHEST)] * 4) for i in range(3)] + [(3, CHEST, [say("UNGROUPABLE")] * 4)]
    value = scored(command, folder(tmp_path / "g", cases), table(tmp_path / "t.txt"))
    found = {name: row["value"] for name, row in value["metrics"].items()}
    assert found["error"] == pytest.approx(-0.6 / 4) and found["no_answer"] == 1 / 4


def test_one_sample_a_case_ranks_nothing_and_has_no_curve(tmp_path, command):
    cases = [(0, CHEST, [say(CHEST)]), (1, CHEST, [say("HYPERTENSION WITH MCC")]), (2, CHEST, ["no idea"])]
    sampling = settings()["sampling"] | {"n": 1}
    out = folder(tmp_path / "g", cases, made_with=settings(sampling=sampling))
    done = command("eval.score", "--generations", out, "--weights", table(tmp_path / "t.txt"))
    assert done.returncode == 0 and "absolute_error" in done.stdout and "caught in" not in done.stdout, done.stderr
    assert scores_of(out)["value"]["review"]["curve"] == []


def test_a_csv_is_read_and_of_two_weights_the_capped_one_counts(tmp_path):
    path = table(tmp_path / "t.txt", columns=("Weights - Before Cap", "Weights - 10% Cap Applied "))
    text = path.read_bytes().decode("cp1252").replace("\t0.6000\t0.6000", "\t0.6000\t0.5400")
    path.write_text(text.replace(",", "").replace("\t", ","), encoding="utf-8-sig")
    found = weights.read(path, 2017, [CHEST])
    assert found[CHEST] == 0.54 and found["NORMAL NEWBORN"] == 0 and len(found) == 7


# title in the table, number, whether it is that DRG of version 34
ALIKE = [
    ("ECMO OR TRACH W MV >96 HRS OR PDX EXC FACE, MOUTH & NECK W MAJ O.R.", "003", True),
    ("PERC CARDIOVASC PROC W DRUG-ELUTING STENT W/O MCC", "247", True),
    ("PERC CARDIOVASC PROC W DRUG-ELUTING STENT W MCC", "247", False),
    ("HEART FAILURE & SHOCK W MCC", "291", True),
    ("HEART FAILURE & SHOCK W CC", "291", False),
    ("CHEST TUBE", "313", False),
    ("COMBINED ANTERIOR/POSTERIOR SPINAL FUSION W CC", "454", True),
    ("", "313", False),
]


@pytest.mark.parametrize(("title", "number", "same"), ALIKE)
def test_a_shortened_title_is_told_from_another_drgs(title, number, same, tmp_path):
    drg = next(drg for drg in ms_drg.DRGS if drg.number == number)
    path = table(tmp_path / "t.txt", [(number, title, "1.0")])
    if same:
        assert weights.read(path, 2017, [drg.title]) == {drg.title: 1.0}
    else:
        with pytest.raises(ValueError, match=f"calls DRG {number}"):
            weights.read(path, 2017, [drg.title])


def changed(number: str, *, title: str | None = None, weight: str | None = None) -> list[tuple[str, str, str]]:
    return [(n, title or t, weight or w) if n == number else (n, t, w) for n, t, w in LINES]


REFUSED = [
    ({"year": "2026"}, (), "is of FY 2026 and not of FY 2017"),
    ({}, ("--weights-year", 2018), "is of FY 2017 and not of FY 2018"),
    ({"lines": [line for line in LINES if line[0] != "313"]}, (), "has no DRG 313 (CHEST PAIN), a gold or an answer"),
    ({"lines": changed("313", title="ANGINA PECTORIS")}, (), "calls DRG 313 'ANGINA PECTORIS'"),
    ({"lines": changed("292", weight="n/a")}, (), "the weight of DRG 292 is 'n/a', which is no number"),
    ({"lines": changed("795", weight="-1")}, (), "the weight of DRG 795 is '-1', which is no number"),
    ({"lines": [*LINES, LINES[1]]}, (), "has DRG 291 twice"),
    ({"columns": ()}, (), "has no header with MS-DRG"),
]


@pytest.mark.parametrize(("made", "words", "said"), REFUSED, ids=lambda value: str(value)[-30:])
def test_a_table_that_does_not_fit_is_a_sentence_and_nothing_is_written(tmp_path, command, made, words, said):
    out, file = folder(tmp_path / "g"), table(tmp_path / "t.txt", **made)
    assert_refused(command("eval.score", "--generations", out, "--weights", file, *words), "t.txt", said)
    assert not (out / "scores.json").exists() and not (out / "per_sample.parquet").exists()


def test_other_files_and_tasks_are_refused(tmp_path, command):
    out, book = folder(tmp_path / "g"), tmp_path / "t.xlsx"
    book.write_bytes(b"PK\x03\x04rest")
    for file, said in ((book, "is a workbook; take the text file"), (tmp_path, "is a folder"), ("no.txt", "not exist")):
        assert_refused(command("eval.score", "--generations", out, "--weights", file), said)
    other = icd_folder(tmp_path / "icd")
    words = ("--generations", other, "--weights", table(tmp_path / "t.txt"))
    assert_refused(command("eval.score", *words), "--weights is for DRGs")
