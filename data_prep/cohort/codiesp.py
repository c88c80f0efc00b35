"""CodiEsp as it is published, read split by split, and reasonings made of a case's own sentences.

    for case in codiesp.cases(corpus, "train"): case.id, case.text, case.codes, case.evidence
    codiesp.reasoning(case.text, case.codes)

A split is a folder with text_files_en/ID.txt, …D.tsv (ID, code) and …X.tsv (ID, kind, code, evidence, its place), where
evidence and places are those of the Spanish text.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from common.commands import UserError, existing
from reward_fns.icd import icd10, tabular

SPLITS = ("train", "dev", "test")
TEXTS, DIAGNOSIS = "text_files_en", "DIAGNOSTICO"
LAYOUT = "give the folder that holds train, dev and test, as Zenodo record 3837305 has it"
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_WORD = re.compile(r"[a-z]{3,}")
# Words of titles that say nothing of the finding.
_EMPTY = frozenset(
    _WORD.findall(
        "and with without the for from due not elsewhere classified unspecified other specified disease disorder "
        "syndrome encounter initial site type part"
    )
)


class Case(NamedTuple):
    """One clinical case: its English text, its codes in the order of the file, and the Spanish evidence of each row."""

    id: str
    text: str
    codes: tuple[str, ...]
    evidence: list[dict[str, str]]  # code, text, place


def cases(corpus: Path, split: str) -> Iterator[Case]:
    """The cases of a split, by their ids."""
    folder = corpus / split
    codes: dict[str, list[str]] = {}
    for where, case, code in _rows(folder / f"{split}D.tsv", 2):
        codes.setdefault(case, []).append(_code(code, where))
    evidence: dict[str, list[dict[str, str]]] = {}
    for where, case, kind, code, text, place in _rows(folder / f"{split}X.tsv", 5):
        if kind == DIAGNOSIS:
            evidence.setdefault(case, []).append({"code": _code(code, where), "text": text, "place": place})
    texts = {path.stem: path for path in existing(folder / TEXTS, "the folder", LAYOUT).glob("*.txt")}
    for case in sorted(codes.keys() | texts.keys()):
        if case not in codes:
            raise UserError(f"{texts[case]} has no code in {split}D.tsv; take the text out or add its codes")
        if case not in texts:
            raise UserError(f"{folder / TEXTS} lacks {case}.txt, which {split}D.tsv has codes for; restore it")
        if not (text := _read(texts[case]).strip()):
            raise UserError(f"{texts[case]} is empty; restore it")
        yield Case(case, text, tuple(dict.fromkeys(codes[case])), evidence.get(case, []))


def _rows(path: Path, width: int) -> Iterator[tuple[str, ...]]:
    """The rows of a table, each after its file and line."""
    for number, line in enumerate(_read(existing(path, "the table", LAYOUT)).splitlines(), 1):
        if not line.strip():
            continue
        fields = line.split("\t")
        if len(fields) != width:
            raise UserError(f"{path}, line {number} has {len(fields)} columns instead of {width}; {LAYOUT}")
        yield f"{path}, line {number}", *(field.strip() for field in fields)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text; save it as UTF-8") from error


def _code(text: str, where: str) -> str:
    code = icd10.normalise(text)
    if not icd10.looks_like_code(code):
        raise UserError(f"{where}: {text[:40]!r} is no ICD-10-CM code; mend that line")
    return code


def reasoning(text: str, codes: Sequence[str]) -> str:
    """A line for each code: its title, and the sentence that shares most words with it, where one does."""
    sentences = [sentence.strip() for sentence in _SENTENCE.split(text) if sentence.strip()]
    words = [_words(sentence) for sentence in sentences]
    lines = []
    for code in codes:
        title = tabular.title(code)
        shared = [len(_words(title) & mine) for mine in words]
        best = max(range(len(sentences)), key=shared.__getitem__)
        lines.append(f"{title}: {sentences[best]}" if shared[best] else title)
    return "\n".join(lines)


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower())) - _EMPTY
