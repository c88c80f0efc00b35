"""MIMIC's DRG descriptions become v34 titles: never one of another CC/MCC status, and rather none than a wrong one."""

import csv
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from common.commands import UserError
from data_prep.cohort import drg_matcher, drg_titles
from reward_fns.drg import ms_drg

PREPOSITIONS = {"OF", "THE", "FOR", "TO", "IN", "BY", "AS"}
STATUSES = {"MCC", "CC", "CC/MCC"}


def shortened(rng: random.Random, word: str, least: int) -> str:
    """A word without its end, without its vowels, or without both."""
    bare = word[0] + "".join(letter for letter in word[1:] if letter not in "AEIOU")
    return rng.choice((word[: rng.randint(least, len(word) - 1)], bare, bare[: rng.randint(least, 6)]))


def shorthand(
    rng: random.Random, title: str, share: float, least: int = 3, join: float = 0.1, drop: float = 0.0
) -> str:
    """A title as a billing system with 75 characters may print it; `drop` is for the WITH and EXCEPT inside a title."""
    words = title.split()
    status = max((place for place, word in enumerate(words) if word in STATUSES), default=-1)
    out: list[str] = []
    for place, word in enumerate(words):
        of_status = place in (status - 1, status)
        glue = " "
        if word in ("WITH", "WITHOUT", "W", "W/O"):
            if not of_status and rng.random() < drop:
                continue
            word = rng.choice(("W", "WITH")) if word in ("W", "WITH") else rng.choice(("W/O", "WITHOUT"))
        elif rng.random() < (drop if word == "EXCEPT" else 0.4 * (word in PREPOSITIONS)):
            continue
        elif word in ("AND", "OR"):
            word = rng.choice((word, "&" if word == "AND" else "OR", "/", ""))
            if not word:
                continue
        elif word.isalpha() and not of_status and len(word) > 4 and rng.random() < share:
            word = shortened(rng, word, least)
        if word == "/" or (out and out[-1] == "/"):
            glue = ""
        elif out and out[-1].isalpha() and len(out[-1]) > 2 and word.isalpha() and len(word) > 2 and not of_status:
            glue = "" if rng.random() < join and out[-1] not in ("WITH", "WITHOUT") else " "
        out += [glue, word] if out else [word]
    return "".join(out)[:75]


STYLES: dict[str, dict[str, float]] = {
    "cut at 75 only": {"share": 0.0, "join": 0.0},
    "some words": {"share": 0.3},
    "most words": {"share": 0.7},
    "all words, short": {"share": 1.0, "least": 2},
    "joined": {"share": 0.6, "join": 0.4},
    "without WITH": {"share": 0.6, "drop": 0.5},
}


def outcomes(style: str, seed: int, drgs: Sequence[ms_drg.Drg]) -> Counter[str]:
    rng = random.Random(f"{style}/{seed}")
    counts: Counter[str] = Counter()
    for drg in drgs:
        found = drg_titles.Titles().find(shorthand(rng, drg.title, **STYLES[style]))
        counts["all"] += 1
        counts["mapped"] += found is not None
        counts["wrong base"] += found is not None and found.base != drg.base
        counts["wrong status"] += found is not None and found.status != drg.status
    return counts


def assert_safe(counts: Counter[str]) -> None:
    assert counts["wrong status"] == 0
    assert counts["wrong base"] <= 0.005 * counts["all"]
    assert counts["mapped"] >= 0.90 * counts["all"]


@pytest.mark.parametrize("style", STYLES)
def test_shorthand_of_a_third_of_the_titles_is_read_rightly_or_left_for_review(style: str) -> None:
    assert_safe(outcomes(style, 0, ms_drg.DRGS[::3]))


@pytest.mark.slow
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("seed", range(1, 6))
def test_shorthand_of_every_title_ten_times_over(style: str, seed: int) -> None:
    assert_safe(outcomes(style, seed, ms_drg.DRGS * 10))


def test_the_generator_makes_shorthand_that_the_look_up_does_not_know() -> None:
    rng = random.Random(0)
    made = [shorthand(rng, drg.title, 0.7) for drg in ms_drg.DRGS]
    assert sum(ms_drg.find(text) is None for text in made) > 0.8 * len(made)
    assert max(map(len, made)) == 75


@pytest.mark.parametrize(
    ("raw", "title"),
    [
        ("DISORDERS OF LIVER EXCEPT MALIGCIRRALC HEPA WITH CC",
         "DISORDERS OF LIVER EXCEPT MALIGNANCY CIRRHOSIS OR ALCOHOLIC HEPATITIS WITH CC"),
        ("DISORDERS OF LIVER EXCEPT MALIG,CIRR,ALC HEPA W CC",
         "DISORDERS OF LIVER EXCEPT MALIGNANCY CIRRHOSIS OR ALCOHOLIC HEPATITIS WITH CC"),
        ("PERC CARDIOVASC PROCEDURES WITH DRUG-ELUTING STENT WITHOUT MCC",
         "PERCUTANEOUS CARDIOVASCULAR PROCEDURES WITH DRUG-ELUTING STENT WITHOUT MCC"),
        ("AMPUTATION FOR CIRC SYS DISORDERS EXC UPPER LIMB AND TOE WITHOUT CC/MCC",
         "AMPUTATION FOR CIRCULATORY SYSTEM DISORDERS EXCEPT UPPER LIMB AND TOE WITHOUT CC/MCC"),
        ("MAJOR HEMATOL/IMMUN DIAG EXC SICKLE CELL CRISIS AND COAGUL WITH CC",
         "MAJOR HEMATOLOGICAL AND IMMUNOLOGICAL DIAGNOSES EXCEPT SICKLE CELL CRISIS AND COAGULATION DISORDERS WITH CC"),
        ("SPINAL FUS EXC CERV WITH SPINAL CURV/MALIG/INFEC OR 9+ FUS WITH MCC",
         "SPINAL FUSION EXCEPT CERVICAL WITH SPINAL CURVATURE OR MALIGNANCY OR INFECTION OR EXTENSIVE FUSIONS "
         "WITH MCC"),
        ("RESPIRATORY SYSTEM DIAGNOSIS WITH VENTILATOR SUPPORT <96 HOURS",
         "RESPIRATORY SYSTEM DIAGNOSIS W VENTILATOR SUPPORT <=96 HOURS"),
        ("CESAREAN SECTION WITH STERILIZATION WITH MCC", "CESAREAN SECTION WITH CC/MCC"),
        ("NASAL TRAUMA AND DEFORMITY WITH CC", None),
        ("HEART FAILURE & SHOCK W/O CC/MCC", "HEART FAILURE AND SHOCK WITHOUT CC/MCC"),
        ("CORONARY BYPASS W CARDIAC CATH W MCC", "CORONARY BYPASS WITH CARDIAC CATHETERIZATION WITH MCC"),
        ("CELLULITIS WMCC", "CELLULITIS WITH MCC"),
        ("SEPTICEMIA OR SEVERE SEPSIS W MV 96+ HOURS", "SEPTICEMIA OR SEVERE SEPSIS WITH MV >96 HOURS"),
        ("", None),
        ("9", None),
        ("W/O", None),
    ],
)  # fmt: skip
def test_descriptions_become_titles(raw: str, title: str | None) -> None:
    for text in (raw, drg_titles.normalise(raw)):
        found = drg_titles.Titles().find(text)
        assert (found and found.title) == title


@pytest.mark.parametrize(
    "raw",
    [
        "HEART FAILURE AND SHOCK",  # three titles, no status
        "MALIGNANT BREAST DISORDERS W CC/MCC",  # the family has MCC, CC and neither
        "SEIZURES W CC",  # MCC or not
        "KIDNEY & URINARY TRACT INFECTIONS W/O CC/MCC",
        "HEART FAIL & SHOCK MCC",  # with or without?
        "KNEE PROC PDX OF INFECTION W/O CC/MCC",  # with or without?
        "TRAUMATIC STUPOR & COMA, COMA W CC",  # more or less than an hour?
        "UTERINE & ADNEXA PROC FOR MALIGNANCY W CC",  # ovarian or not?
        "PERC CARDIOVASC PROC W STENT W/O MCC",  # drug-eluting or not?
        "SIMPLE PNEUMONIA & PLEURISY & SOMETHING W MCC",
        "CRAN",
    ],
)
def test_what_can_be_two_titles_or_none_is_left_for_review(raw: str) -> None:
    assert drg_titles.Titles().find(raw) is None


def test_the_number_decides_between_equals_but_never_on_a_status() -> None:
    raw = "KNEE PROC PDX OF INFECTION W/O CC/MCC"
    for number, word in (("487", "WITH"), ("489", "WITHOUT")):
        title = f"KNEE PROCEDURES {word} PDX OF INFECTION WITHOUT CC/MCC"
        assert drg_titles.Titles().find(raw, number) == ms_drg.BY_TITLE[title]
    assert drg_titles.Titles().find(raw, "486") is None
    assert drg_titles.Titles().find("HEART FAILURE AND SHOCK", "291") is None
    assert drg_titles.Titles().find("HEART FAIL & SHOCK W CC", "291") == ms_drg.find("HEART FAILURE AND SHOCK WITH CC")
    cut = "DISORDERS OF LIVER EXCEPT MALIGNANCY CIRRHOSIS OR ALCOHOLIC HEPATITIS WITH "
    assert len(cut) == 75 and drg_titles.Titles().find(cut, "441") is None


def test_the_map_goes_before_the_matcher_and_after_exact_titles(tmp_path: Path) -> None:
    (tmp_path / "map.csv").write_text(
        "raw_description,DRG_34_description\n"
        "HEART FAIL & SHOCK W MCC,CHEST PAIN\n"
        "SIMPLE PNEUM & PLEURISY W MCC,\n"
        "CHEST PAIN,SYNCOPE AND COLLAPSE\n"
    )
    titles = drg_titles.Titles(drg_titles.read_map(tmp_path / "map.csv"))
    assert titles.find("HEART FAIL & SHOCK W MCC") == ms_drg.BY_TITLE["CHEST PAIN"]
    assert titles.find("SIMPLE PNEUM & PLEURISY W MCC") is None
    assert titles.find("CHEST PAIN") == ms_drg.BY_TITLE["CHEST PAIN"]
    assert titles.find("HEART FAIL & SHOCK W CC") == ms_drg.BY_TITLE["HEART FAILURE AND SHOCK WITH CC"]
    alone = drg_titles.Titles(titles.own, matcher=False)
    assert alone.find("HEART FAIL & SHOCK W CC") is None
    assert alone.find("HEART FAIL & SHOCK W MCC") == ms_drg.BY_TITLE["CHEST PAIN"]


def test_the_review_lists_what_was_not_read_first_and_goes_back_in_as_a_map(tmp_path: Path) -> None:
    titles = drg_titles.Titles()
    for raw, rows in (("NASAL TRAUMA & DEFORMITY W CC", 3), ("HEART FAIL & SHOCK W CC", 9), ("SEIZURES W CC", 5)):
        for _ in range(rows):
            titles.find(raw, "1")
    titles.find("CHEST PAIN")
    titles.write_review(tmp_path / "review.csv")
    with open(tmp_path / "review.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["raw_description"], row["rows"]) for row in rows] == [
        ("SEIZURES W CC", "5"), ("NASAL TRAUMA & DEFORMITY W CC", "3"), ("HEART FAIL & SHOCK W CC", "9"),
        ("CHEST PAIN", "1"),
    ]  # fmt: skip
    assert [row["found_by"] for row in rows] == ["nothing", "re-cut", "matcher", "exact title"]
    assert rows[0]["candidate_1"].startswith("SEIZURES") and not rows[0]["DRG_34_description"]
    again = drg_titles.Titles(drg_titles.read_map(tmp_path / "review.csv"), matcher=False)
    assert again.find("HEART FAIL & SHOCK W CC") == titles.find("HEART FAIL & SHOCK W CC")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("a,b\n1,2\n", "raw_description"),
        (
            "raw_description,DRG_34_description\nX,HEART FAILURE WITH MC\n",
            "line 2: .*no MS-DRG v34 title; did you mean",
        ),
        ("raw_description,DRG_34_description\nX,CHEST PAIN\nX,SYNCOPE AND COLLAPSE\n", "line 3: .*further up"),
        ("raw_description,DRG_34_description\n\xff,CHEST PAIN\n", "UTF-8"),
        ("raw_description,DRG_34_description\nMALIG,CIRR W CC,CHEST PAIN\n", "line 2 has more fields.*quotes"),
        (
            "raw_description,DRG_34_description\nX,CHEST PAIN\nY,PULMONARY EMBOLISM W MCC OR ACUTE COR PULMONALE\n",
            "line 3: .*fiscal years 2020-; give 'PULMONARY EMBOLISM WITH MCC'",
        ),
        (
            "raw_description,DRG_34_description\nKNEE,KNEE PROCEDURES WITH PRINCIPAL DIAGNOSIS OF INFECTION WITH CC\n",
            "line 2: .*did you mean 'KNEE PROCEDURES WITH PDX OF INFECTION WITH CC'",
        ),
        (
            "raw_description,DRG_34_description\nSTONES,Urinary Stones with MCC\n",
            "line 2: .*fiscal years 2020-, whose cases fall in several v34 DRGs.*or leave it empty",
        ),
    ],
)
def test_a_faulty_map_is_named_by_its_line(tmp_path: Path, lines: str, said: str) -> None:
    (tmp_path / "map.csv").write_bytes(lines.encode("latin-1"))
    with pytest.raises(UserError, match=said):
        drg_titles.read_map(tmp_path / "map.csv")


def test_the_authors_map_is_read_as_they_read_it(tmp_path: Path) -> None:
    (tmp_path / "map.csv").write_text(
        "raw_description,DRG_34_description\r\nFEVER OF UNKNOWN ORIGIN,NaN\r\n"
        "ABORTION WITHOUT DANDC,ABORTION WITHOUT D&C\r\nRESP DIAG WITH VENTILATOR <96 HOURS,"
        "RESPIRATORY SYSTEM DIAGNOSIS W VENTILATOR SUPPORT <=96 HOURS\r\n"
    )
    titles = drg_titles.Titles(drg_titles.read_map(tmp_path / "map.csv"), matcher=False)
    assert titles.find("FEVER OF UNKNOWN ORIGIN", "864", 4) is None
    assert titles.find("ABORTION W/O D&C") == ms_drg.BY_TITLE["ABORTION WITHOUT D&C"]
    assert getattr(titles.find("RESP DIAG W VENTILATOR <96 HOURS"), "number", None) == "208"
    assert titles.counts() == {"map": 6}


def test_a_price_is_paid_for_what_is_missing_and_nothing_buys_a_status() -> None:
    exact, shorter = (drg_matcher.candidates(text)[0] for text in ("CHEST PAIN", "CHST PN"))
    assert exact[0].drg == shorter[0].drg and exact[1] == 0 < shorter[1] < drg_matcher.MOST
    assert {title.drg and title.drg.status for title, _ in drg_matcher.candidates("OTHER VASC PROC W CC")} == {1}
