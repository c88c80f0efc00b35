"""The guideline PDF, by a synthetic one with the official one's headings, contents and running heads."""

import json
import random
import re
import textwrap
import zlib
from pathlib import Path

import pytest

from reward_fns.icd import guidance, icd10
from reward_fns.judge.prompt import chat, read_prompt
from tests.conftest import assert_refused, run_command

NONE = {3, 8, 11, 22}
LINES_A_PAGE = 40


def write_pdf(path: Path, lines: list[str], packed: bool = True) -> Path:
    """A PDF of one column of text, as plain as the format allows."""
    pages = [lines[at : at + LINES_A_PAGE] for at in range(0, len(lines), LINES_A_PAGE)]
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for i, page in enumerate(pages):
        shown = [line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)") for line in page]
        stream = "BT /F1 10 Tf 14 TL 50 760 Td " + " ".join(f"({line}) Tj T*" for line in shown) + " ET"
        data = stream.encode("cp1252")
        data = zlib.compress(data) if packed else data
        kind = "/Filter /FlateDecode " if packed else ""
        frame = "/Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >>"
        objects.append(f"<< /Type /Page {frame} /Contents {5 + 2 * i} 0 R >>".encode())
        objects.append(f"<< {kind}/Length {len(data)} >>\nstream\n".encode() + data + b"\nendstream")
    out, places = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    tail = f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{tail}".encode()
    path.write_bytes(out)
    return path


def heading(number: int) -> list[str]:
    """A chapter's heading; one of them takes two lines."""
    if number == 12:
        return ["12. Chapter 12: Diseases of the Skin and Subcutaneous Tissue (L00-", "L99)"]
    return [f"{number}. Chapter {number}: Diseases of Kind {number} (A{number:02}-B{number:02})"]


def guideline(year: int = 2025) -> list[str]:
    """The order of the official guideline, filled with words of our own."""
    head = "ICD-10-CM Official Guidelines for Coding and Reporting"
    lines = [head, f"FY {year} -- UPDATED October 1, {year - 1}", f"(October 1, {year - 1} - September 30, {year})"]
    lines += [f"Changed since the April {year - 1}, FY {year - 1} version", "Table of Contents"]
    lines += ["Section I. Conventions, general and chapter specific guidelines ............. 7"]
    lines += ["C. Chapter-Specific Coding Guidelines .......................... 17"]
    for number in range(1, 23):
        *first, last = heading(number)
        lines += [*first, f"{last} {'.' * 30} {16 + number}"]
    lines += ["Section II. Selection of Principal Diagnosis .................... 107"]
    lines += [
        "Section I. Conventions",
        "B. General Coding Guidelines",
        "1. Locating a code",
        "See Chapter 2: neoplasms.",
    ]
    lines += ["C. Chapter-Specific Coding Guidelines", "These rules are for single chapters."]
    for number in range(1, 23):
        lines += heading(number)
        if number == 22:
            lines += ["U07.0 A disorder (see Section I.C.10.e)"]
        elif number in NONE:
            lines += ["Reserved for future guideline expansion"]
        else:
            lines += ["a. First topic", f"1) Rule {number}A: sequence what the stay was for", "as the first code."]
            lines += [
                head,
                f"FY {year} -- UPDATED October 1, {year - 1}",
                f"Page {16 + number} of 120",
            ]  # a page ends in the middle of a chapter
            lines += ["Chapter 19 holds injuries; see there.", "b. Second topic", f"Rule {number}B."]
    lines += ["Section II. Selection of Principal Diagnosis", "The reason for the stay, after study."]
    return [*lines, "Section III. Reporting Additional Diagnoses", "1. Chapters", "Appendix I"]


def parse(tmp_path: Path, pdf: Path, *words: object):
    return run_command("data_prep.guidelines", pdf, "--out", tmp_path / "guidelines.json", *words)


@pytest.mark.parametrize("packed", [True, False])
def test_every_chapter_gets_what_stands_below_its_heading_and_nothing_else(tmp_path, packed):
    done = parse(tmp_path, write_pdf(tmp_path / "guideline.pdf", guideline(), packed))
    assert done.returncode == 0, done.stderr
    made = json.loads((tmp_path / "guidelines.json").read_text())
    assert (
        made["year"] == 2025 and len(made["sha256"]) == 64 and list(made["chapters"]) == [str(i) for i in range(1, 23)]
    )
    for number in range(1, 23):
        chapter = made["chapters"][str(number)]
        if number in NONE:
            assert chapter["text"] == ""
        else:
            assert chapter["text"].splitlines() == [
                "a. First topic",
                f"1) Rule {number}A: sequence what the stay was for",
                "as the first code.",
                "Chapter 19 holds injuries; see there.",
                "b. Second topic",
                f"Rule {number}B.",
            ]
    assert made["chapters"]["12"]["title"] == "Diseases of the Skin and Subcutaneous Tissue (L00- L99)"
    assert "Diseases of Kind 9" in done.stdout


def test_the_judge_reads_what_was_written(tmp_path):
    assert parse(tmp_path, write_pdf(tmp_path / "guideline.pdf", guideline())).returncode == 0
    path = str(tmp_path / "guidelines.json")
    assert len(guidance.read_guidelines(path)) == 22
    user = chat(read_prompt(), "A note.", "Because.", "I214", guidelines=path)[1]["content"]
    assert "Rule 9A" in user and "Rule 4A" not in user
    assert "guideline" not in chat(read_prompt(), "A.", "B.", "K3580", guidelines=path)[1]["content"]


def test_another_year_is_refused_by_its_number_and_taken_on_request(tmp_path):
    pdf = write_pdf(tmp_path / "guideline.pdf", guideline(2024))
    assert_refused(parse(tmp_path, pdf), "guideline.pdf", "FY 2024, not FY 2025", "--year 2024")
    assert not (tmp_path / "guidelines.json").exists()
    assert parse(tmp_path, pdf, "--year", 2024).returncode == 0


LAYOUTS = {
    "no section": (lambda line: not line.startswith("C. Chapter-Specific"), "C. Chapter-Specific Coding Guidelines"),
    "no chapter 9": (lambda line: not line.startswith("9. Chapter 9"), '"9. Chapter 9: …"'),
    "no chapter 22": (lambda line: not line.startswith("22. Chapter 22"), '"22. Chapter 22: …"'),
    "no section II": (lambda line: not line.startswith("Section II."), "Section II."),
    "no year": (lambda line: "FY" not in line, "no fiscal year"),
}


@pytest.mark.parametrize(("keep", "said"), LAYOUTS.values(), ids=LAYOUTS)
def test_another_layout_is_one_sentence_that_names_the_heading(tmp_path, keep, said):
    pdf = write_pdf(tmp_path / "other.pdf", [line for line in guideline() if keep(line)])
    assert_refused(parse(tmp_path, pdf), "other.pdf", said)
    assert not (tmp_path / "guidelines.json").exists()


def test_chapters_in_another_order_are_refused(tmp_path):
    lines = guideline()
    at = max(i for i, line in enumerate(lines) if line.startswith("5. Chapter 5"))
    lines.insert(max(i for i, line in enumerate(lines) if line.startswith("7. Chapter 7")), lines.pop(at))
    assert_refused(parse(tmp_path, write_pdf(tmp_path / "other.pdf", lines)), "another order")


def test_what_is_no_guideline_is_one_sentence(tmp_path):
    assert_refused(parse(tmp_path, tmp_path / "none.pdf"), "none.pdf does not exist", "cms.gov")
    assert_refused(parse(tmp_path, tmp_path), "is a folder")
    text = tmp_path / "text.pdf"
    text.write_text("FY 2025")
    assert_refused(parse(tmp_path, text), "text.pdf cannot be read as a PDF")
    whole = write_pdf(tmp_path / "whole.pdf", guideline()).read_bytes()
    text.write_bytes(whole[: len(whole) // 3])
    assert parse(tmp_path, text).returncode == 2
    text.write_bytes(b"")
    assert_refused(parse(tmp_path, text), "text.pdf")
    assert_refused(parse(tmp_path, write_pdf(tmp_path / "scan.pdf", [""] * 50)), "no text", "scan")
    letter = write_pdf(tmp_path / "letter.pdf", ["Dear colleague,", "in FY 2025 we met."])
    assert_refused(parse(tmp_path, letter), "C. Chapter-Specific Coding Guidelines")


# The official layout: headings over two and three lines, chapters that are empty, one without letters, two very long.
TITLES = {
    1: ["Certain Infectious and Parasitic Diseases (A00-B99), U07.1,", "U09.9"],
    2: ["Neoplasms (C00-D49)"],
    3: [
        "Disease of the blood and blood-forming organs and certain",
        "disorders involving the immune mechanism (D50-D89)",
    ],
    4: ["Endocrine, Nutritional, and Metabolic Diseases (E00-E89)"],
    5: ["Mental, Behavioral and Neurodevelopmental disorders (F01 \u2013", "F99)"],
    6: ["Diseases of the Nervous System (G00-G99)"],
    7: ["Diseases of the Eye and Adnexa (H00-H59)"],
    8: ["Diseases of the Ear and Mastoid Process (H60-H95)"],
    9: ["Diseases of the Circulatory System (I00-I99)"],
    10: ["Diseases of the Respiratory System (J00-J99), U07.0"],
    11: ["Diseases of the Digestive System (K00-K95)"],
    12: ["Diseases of the Skin and Subcutaneous Tissue (L00-", "L99)"],
    13: ["Diseases of the Musculoskeletal System and Connective", "Tissue (M00-M99)"],
    14: ["Diseases of Genitourinary System (N00-N99)"],
    15: ["Pregnancy, Childbirth, and the Puerperium (O00-", "O9A)"],
    16: ["Certain Conditions Originating in the Perinatal", "Period (P00-P96)"],
    17: ["Congenital malformations, deformations, and chromosomal", "abnormalities (Q00-", "Q99)"],
    18: ["Symptoms, signs, and abnormal clinical and", "laboratory findings, not elsewhere classified (R00-R99)"],
    19: ["Injury, poisoning, and certain other", "consequences of external causes (S00-T88)"],
    20: ["External Causes of Morbidity (V00-Y99)"],
    21: ["Factors influencing health status and", "contact with health services (Z00-Z99)"],
    22: ["Codes for Special Purposes (U00-U85)"],
}
ABOUT = "Assign U07.1 first when the infection is confirmed."
TABLE = ["Site Code Laterality", "Left 1 yes", "Right 2 no"]


def official() -> tuple[list[str], dict[int, list[str]], set[str]]:
    """The lines of a guideline of the real one's size, the text of every chapter as lines, all whole sentences."""
    chance, sentences, written = random.Random(0), {ABOUT}, {}

    def said(chapter: int, codes: list[str], many: int) -> list[str]:
        made = [
            f"Rule {chapter}-{len(sentences)}-{i} says that {code[:3]}.{code[3:]} is not the first code in such a stay."
            for i, code in enumerate(chance.choices(codes, k=many))
        ]
        sentences.update(made)
        return textwrap.wrap(" ".join(made), 90)

    for number in TITLES:
        codes = [code for code in icd10.table().ordered if len(code) > 4 and icd10.chapter(code) == str(number)]
        if number in (3, 8, 11):
            written[number] = ["Reserved for future guideline expansion"]
        elif number == 22:
            written[number] = ["U07.0 Vaping-related disorder (see Section I.C.10.e., Vaping)",
                               "U07.1 COVID-19 (see Section I.C.1.g.1., infection (SARS-CoV-2))"]  # fmt: skip
        elif number == 17:
            written[number] = said(number, codes, 8)
        else:
            lines = []
            for letter in "abcdefg" if number in (1, 21) else "abc":
                lines.append(f"{letter}. Topic {number}{letter}")
                for part in range(1, 9 if number in (1, 21) else 4):
                    lines += [f"{part}) Part {part}", *said(number, codes, chance.randint(2, 60 if part == 2 else 8))]
                lines += TABLE if letter == "b" else []
            written[number] = lines
    at = written[1].index("g. Topic 1g") + 2
    written[1][at:at] = [ABOUT]
    head = "ICD-10-CM Official Guidelines for Coding and Reporting"
    lines = [head, "FY 2025 -- UPDATED October 1, 2024", "C. Chapter-Specific Coding Guidelines ........ 17"]
    for number, (*first, last) in TITLES.items():
        lines += [f"{number}. Chapter {number}: {' '.join(first)}", f"{last} ........ {16 + number}"]
    lines += ["C. Chapter-Specific Coding Guidelines"]
    for number, (first, *more) in TITLES.items():
        running = [head, "FY 2025", f"Page {number} of 120"]
        body = [*more, *written[number]]
        place = chance.randrange(len(body))  # a page may end within a heading, too
        lines += [f"{number}. Chapter {number}: {first}", *body[:place], *running, *body[place:]]
    return [*lines, "Section II. Selection of Principal Diagnosis", "The reason."], written, sentences


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("official")
    done = parse(place, write_pdf(place / "official.pdf", official()[0]))
    assert done.returncode == 0, done.stderr
    return place / "guidelines.json"


def test_no_chapter_of_the_official_layout_loses_a_line(parsed: Path) -> None:
    written, made = official()[1], json.loads(parsed.read_text())["chapters"]
    for number, title in TITLES.items():
        chapter = made[str(number)]
        assert chapter["title"] == " ".join(title)
        assert chapter["text"].splitlines() == ([] if number in NONE else written[number]), number
    assert min(len(made[number]["text"]) for number in ("1", "21")) > 20_000 and "Rule 17-" in made["17"]["text"]


def test_what_a_prompt_is_given_is_whole_sentences_about_its_code(parsed: Path) -> None:
    sentences, chance = official()[2], random.Random(1)
    of_chapter = {number: [] for number in range(1, 23)}
    for code in icd10.table().ordered:
        of_chapter[int(icd10.chapter(code))].append(code)
    codes = [code for known in of_chapter.values() for code in chance.sample(known, min(14, len(known)))]
    assert len(codes) >= 290
    named = 0
    for code in codes:
        text = guidance.guideline(code, str(parsed))
        assert len(text) <= guidance.MOST
        asked = chat(read_prompt(), "A note.", "Because.", code, guidelines=str(parsed))[1]["content"]
        assert text in asked and "[…]" not in asked
        left = " ".join(text.split())
        for sentence in re.findall(r"Rule \S+ says .*?stay\.", left):
            assert sentence in sentences, sentence
            named += f"{code[:3]}." in sentence
            left = left.replace(sentence, "")
        headings = r"Topic \d+\w|Part \d|Section I\.C\.\d+|\b\w{1,2}[.)]|" + "|".join(TABLE)
        assert not re.sub(headings, "", left.replace(ABOUT, "")).split(), (code, left)
        number = int(icd10.chapter(code))
        assert bool(text) == (number not in NONE) or number == 22
    assert named > 100
    assert ABOUT in guidance.guideline("U07.1", str(parsed)) and "Topic 1g" in guidance.guideline("U071", str(parsed))
