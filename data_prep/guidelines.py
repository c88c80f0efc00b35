"""The official ICD-10-CM guideline (PDF) as one text a chapter, for the judge and for reasoning traces.

    python -m data_prep.guidelines icd10cm-guidelines-FY2025.pdf --out data/guidelines.json

CMS and CDC publish the PDF; it is not part of this repository. OUT is JSON: year, sha256 of the PDF, and chapters, 1 to
22, each with title and text: what stands in Section I.C below "N. Chapter N: …". A chapter without a guideline of its
own (reserved, or references to other sections alone) has an empty text. Give OUT as the option `guidelines` of a judge
recipe.
"""

import json
import logging
import re
from itertools import pairwise
from pathlib import Path

from tqdm import tqdm

from common.commands import UserError, existing, parser, run
from common.files import sha256, whole_file

YEAR = 2025  # the paper's
CHAPTERS = 22
OTHER_LAYOUT = "it is no official ICD-10-CM guideline, or of a layout that is not known here"

_FISCAL = re.compile(r"\bFY\s*(20\d\d)\b")
_RUNNING = re.compile(  # each part alone, too
    r"(?:ICD-10-CM Official Guidelines for Coding and Reporting)?\s*"
    r"(?:FY\s*20\d\d(?:\s*-+\s*UPDATED.*)?)?\s*(?:Page \d+ of \d+)?"
)
_CONTENTS = re.compile(r"(?:\.\s?){4,}\s*\d+$")  # a line of the table of contents
_SECTION = re.compile(r"C\.\s*Chapter-\s?Specific Coding Guidelines", re.IGNORECASE)
_CHAPTER = re.compile(r"(\d{1,2})\s?\.\s*Chapter\s+(\d{1,2})\s*:\s*(.*)", re.IGNORECASE)
_END = re.compile(r"Section II\s*[.:]", re.IGNORECASE)
_CODES = re.compile(r"\([A-Z]\w\w\s*[-\u2013]\s*[A-Z]\w\w\)")  # what a heading ends with, in its second or third line
_LINES = 3
_NOTHING = re.compile(
    r"Reserved for future guideline expansion\.?"
    r"|(?:[A-Z]\d\w(?:\.\w+)?\b[^()]*\(see\s+Section[^()]*(?:\([^()]*\)[^()]*)*\)\.?\s*)+",
    re.IGNORECASE,
)


def read(pdf: Path) -> list[str]:
    """The lines of a PDF in reading order, without its running heads."""
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    logging.getLogger("pypdf").setLevel(logging.ERROR)  # it grumbles about details of fonts
    try:
        reader = PdfReader(pdf)
        pages = [page.extract_text() for page in tqdm(reader.pages, desc="pages", unit="page", leave=False)]
    except (PyPdfError, ValueError, KeyError, TypeError) as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        raise UserError(f"{pdf} cannot be read as a PDF ({reason}); download it again") from error
    lines = [" ".join(line.split()) for page in pages for line in page.split("\n")]
    if not any(lines):
        raise UserError(f"{pdf} holds no text, only pictures; give the PDF that CMS publishes, not a scan")
    return [line for line in lines if line]


def fiscal_year(lines: list[str], pdf: Path) -> int:
    """The year that the guideline says it is for."""
    found = next((match for line in lines[:400] if (match := _FISCAL.search(line))), None)
    if found is None:
        raise UserError(f"{pdf} names no fiscal year (FY {YEAR}); is it the official ICD-10-CM guideline?")
    return int(found[1])


def chapters(lines: list[str], pdf: Path) -> dict[int, dict[str, str]]:
    """Every chapter's title and guideline, or a UserError that names the heading that is not where it should be."""
    body = [line for line in lines if not _RUNNING.fullmatch(line) and not _CONTENTS.search(line)]
    # the last occurrence: a heading of the contents that takes two lines ends without a page number
    section = max((at for at, line in enumerate(body) if _SECTION.match(line)), default=None)
    if section is None:
        raise UserError(f'{pdf} has no heading "C. Chapter-Specific Coding Guidelines"; {OTHER_LAYOUT}')
    headings = ((at, _CHAPTER.match(line)) for at, line in enumerate(body[section:], section))
    starts = {int(found[1]): at for at, found in headings if found and found[1] == found[2]}
    missing = next((number for number in range(1, CHAPTERS + 1) if number not in starts), None)
    if missing is not None:
        raise UserError(f'{pdf} has no heading "{missing}. Chapter {missing}: …" in Section I.C; {OTHER_LAYOUT}')
    end = next((at for at in range(starts[CHAPTERS], len(body)) if _END.match(body[at])), None)
    places = [*(starts[number] for number in range(1, CHAPTERS + 1)), end]
    if end is None or any(one >= other for one, other in pairwise(places)):
        what = 'has no heading "Section II." after chapter 22' if end is None else "has its chapters in another order"
        raise UserError(f"{pdf} {what}; {OTHER_LAYOUT}")
    return {number: _chapter(body[places[number - 1] : places[number]]) for number in range(1, CHAPTERS + 1)}


def _chapter(lines: list[str]) -> dict[str, str]:
    title, used = lines[0].partition(":")[2], 1
    for end in range(1, _LINES + 1):
        whole = " ".join([title, *lines[1:end]])
        if _CODES.search(whole) and not whole.endswith(","):
            title, used = whole, end
            break
    text = "\n".join(lines[used:])
    return {"title": title.strip(), "text": "" if _NOTHING.fullmatch(text.strip()) else text}


def main(argv: list[str] | None = None) -> None:
    p = parser(__doc__)
    p.add_argument("pdf", help="the official guideline as a PDF")
    p.add_argument("--out", required=True, help="the JSON file to write")
    p.add_argument("--year", type=int, default=YEAR, help="the fiscal year wanted (default %(default)s)")
    given = p.parse_args(argv)
    pdf = existing(given.pdf, "the guideline", "download the PDF from cms.gov (ICD-10-CM, Coding Guidelines)")
    if pdf.is_dir():
        raise UserError(f"{pdf} is a folder; give the PDF itself")
    lines = read(pdf)
    year = fiscal_year(lines, pdf)
    if year != given.year:
        raise UserError(
            f"{pdf} is the guideline of FY {year}, not FY {given.year}; --year {year} takes it all the same"
        )
    found = chapters(lines, pdf)
    content = {"year": year, "source": pdf.name, "sha256": sha256(pdf), "chapters": found}
    with whole_file(given.out) as made:
        made.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for number, chapter in found.items():
        print(f"{number:>2}  {len(chapter['text']):>7,} characters  {chapter['title']}")
    print(given.out)


if __name__ == "__main__":
    run(main)
