"""The table of MS-DRG v34 and the look-up of a title."""

from collections import Counter, defaultdict

import pytest

from reward_fns.drg import ms_drg
from reward_fns.drg.ms_drg import DRGS, find

FAMILIES = defaultdict(list)
for _drg in DRGS:
    FAMILIES[_drg.base].append(_drg)
BY_NUMBER = {drg.number: drg for drg in DRGS}
CMS_MISSPELLINGS = {
    "218": ("PROEDURESC", "PROCEDURES"),
    "226": ("CATHETERATION", "CATHETERIZATION"),
    "286": ("CATETERIZATION", "CATHETERIZATION"),
    "287": ("CATETERIZATION", "CATHETERIZATION"),
    "392": ("GASTROENTERISTIS", "GASTROENTERITIS"),
    "410": ("PROC EXCEPT ONLY CHOLECYST ", "PROCEDURE EXCEPT ONLY CHOLECYSTECTOMY "),
    "495": ("FIXATIOM", "FIXATION"),
    "497": ("REMOVAL INTERNAL", "REMOVAL OF INTERNAL"),
    "630": ("PROCEDURSE", "PROCEDURES"),
    "640": ("METABOLISM  FLUIDS", "METABOLISM FLUIDS"),
    "641": ("METABOLISM  FLUIDS", "METABOLISM FLUIDS"),
    "718": ("PROC ", "PROCEDURES "),
    "838": ("CHEMOTHERPY", "CHEMOTHERAPY"),
    "934": ("GRFT", "GRAFT"),
    "956": ("PROC ", "PROCEDURES "),
    "987": ("PROC ", "PROCEDURE "),
    "988": ("PROC ", "PROCEDURES "),
}


def test_there_are_757_drgs_with_different_numbers_and_titles():
    assert len(DRGS) == len({drg.number for drg in DRGS}) == len({drg.title for drg in DRGS}) == 757
    assert Counter(drg.type for drg in DRGS) == {"surgical": 383, "medical": 372, "": 2}
    assert {drg.mdc for drg in DRGS} == {"", *(f"{mdc:02}" for mdc in range(1, 26))}


def test_there_are_340_bases_and_a_base_and_a_status_make_one_drg():
    assert len(FAMILIES) == 340
    assert len({(drg.base, drg.status) for drg in DRGS}) == 757
    assert sum(len(family) * (len(family) - 1) for family in FAMILIES.values()) == 1142


def test_the_five_status_classes_have_the_sizes_of_drg_llama():
    assert [Counter(drg.status for drg in DRGS)[status] for status in range(5)] == [197, 197, 220, 66, 77]
    assert [Counter(drg.status_word for drg in DRGS)[word] for word in ms_drg.STATUS_WORDS] == [197, 197, 220, 66, 77]


def test_families_have_one_of_four_shapes_and_neighbouring_numbers():
    shapes = Counter(tuple(drg.status for drg in family) for family in FAMILIES.values())
    assert shapes == {(2, 1, 0): 154, (2, 3): 66, (1, 0): 43, (4,): 77}
    for family in FAMILIES.values():
        first = int(family[0].number)
        assert [int(drg.number) for drg in family] == list(range(first, first + len(family)))


@pytest.mark.parametrize(
    ("number", "base", "status"),
    [
        ("291", "HEART FAILURE AND SHOCK", 2),
        ("052", "SPINAL DISORDERS AND INJURIES", 1),
        ("885", "PSYCHOSES", 4),
        ("005", "LIVER TRANSPLANT", 2),  # WITH MCC OR INTESTINAL TRANSPLANT
        ("065", "INTRACRANIAL HEMORRHAGE OR CEREBRAL INFARCTION", 1),  # WITH CC OR TPA IN 24 HOURS
        ("269", "AORTIC AND HEART ASSIST PROCEDURES EXCEPT PULSATION BALLOON", 3),  # W/O MCC
        ("004", BY_NUMBER["004"].title, 4),  # WITHOUT MAJOR O.R. PROCEDURE is no status
        ("870", "SEPTICEMIA OR SEVERE SEPSIS WITH MV >96 HOURS", 4),
        ("872", "SEPTICEMIA OR SEVERE SEPSIS WITHOUT MV >96 HOURS", 3),
        ("067", "NONSPECIFIC CVA AND PRECEREBRAL OCCLUSION WITHOUT INFARCTION", 2),
        ("977", "HIV WITH OR WITHOUT OTHER RELATED CONDITION", 4),
        ("837", BY_NUMBER["839"].base, 2),
        ("410", BY_NUMBER["408"].base, 0),
    ],
)
def test_base_and_status_of_titles_that_are_easy_to_split_wrongly(number, base, status):
    assert (BY_NUMBER[number].base, BY_NUMBER[number].status) == (base, status)


def test_every_title_is_found_in_every_tolerated_spelling():
    for drg in DRGS:
        title = drg.title
        spellings = [
            title,
            title.lower(),
            title.title(),
            f" \n{title}\t",
            title.replace(" ", "   "),
            title.replace(" ", "\n"),
            " ".join(title.split()),
            f"{title}.",
            f"{title} .",
            title.replace(" ", ", ", 1),
            title.replace(" AND ", " & "),
            title.replace("&", " and "),
            title.replace(" WITHOUT ", " W/O ").replace(" WITH ", " w "),
            title.replace(" W/O ", " WITHOUT ").replace(" W ", " WITH "),
            f"{drg.number} {title}",
            f"{int(drg.number)} {title}",
            f"{drg.number}: {title}",
            f"{drg.number} - {title}.",
            f"DRG {drg.number} {title}",
            f"MS-DRG {drg.number}: {title.lower()}",
        ]
        assert all(find(spelling) is drg for spelling in spellings), title


@pytest.mark.parametrize("number", CMS_MISSPELLINGS)
def test_a_title_that_cms_misspelt_is_found_in_either_spelling(number):
    drg = BY_NUMBER[number]
    wrong, right = CMS_MISSPELLINGS[number]
    assert wrong in drg.title
    assert find(drg.title) is drg
    assert find(drg.title.replace(wrong, right)) is drg
    assert find(drg.title.replace(wrong, right).lower() + ".") is drg


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ".", ",", "470", "DRG 470", "MS-DRG 470:", "470.", "\u0664\u0667\u0660"),
        "292 HEART FAILURE AND SHOCK WITH MCC",
        "DRG 292: HEART FAILURE AND SHOCK WITH MCC",
        "2911 HEART FAILURE AND SHOCK WITH MCC",
        "291 292 HEART FAILURE AND SHOCK WITH MCC",
        "HEART FAILURE AND SHOCK WITH MCC 291",
        "HEART FAILURE AND SHOCK",
        "HEART FAILURE AND SHOCK WITH",
        "HEART FAILURE AND SHOCK MCC",
        "HEART FAILURE AND SHOCK WITH MCC OR CC",
        "THE HEART FAILURE AND SHOCK WITH MCC",
        "HEART FAILURE AND SHOCK WITH MCC..",
        "HEART FAILURE AND SHOCK WITH MCC HEART FAILURE AND SHOCK WITH CC",
        "LIVER TRANSPLANT WITH MCC",  # the tail belongs to the title
        "\u017fEIZURES WITH MCC",  # a long s, which upper() turns into S
        "FEVER\u200b",
        "\uff26\uff25\uff36\uff25\uff32",
        "F\u0395VER",  # a Greek Epsilon
        " ".join(drg.title for drg in DRGS),
        "FEVER " * 10_000,
    ],
)
def test_what_is_no_title_is_not_found(text):
    assert find(text) is None


def test_no_two_drgs_share_a_spelling():
    assert len({drg.number for drg in ms_drg.BY_KEY.values()}) == 757
    assert all(find(spelling) is drg for spelling, drg in ms_drg.BY_KEY.items())


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("heart failur with cc", "HEART FAILURE AND SHOCK WITH CC"),
        ("470", BY_NUMBER["470"].title),
        ("KIDNEY TRANSPLANT WITH CC", "KIDNEY TRANSPLANT"),
        ("HEART", "HEART FAILURE AND SHOCK WITH CC"),
    ],
)
def test_the_nearest_title_is_a_sensible_one(text, title):
    assert ms_drg.nearest(text)[0] == title


def test_nothing_is_near_to_nothing():
    assert ms_drg.nearest("") == []
