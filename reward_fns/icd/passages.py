"""What of a long guideline is about a code: its passages that name the code, in whole sentences.

    passages.about("U071", "22", read_guidelines(path), most=6000)

A guideline is read as passages: the lettered topics of a chapter (a., b., …) and the numbered ones within them (1), 2),
…), long ones in parts. One counts by how much of the code it names: the code itself, its category, a range around it.
Passages of other chapters count when they name the code, as chapter 1 names U07.1 of chapter 22.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

LONG = 2000  # characters of a passage that is taken in parts
RANGE, NONE, OTHERS = 1, 0, -1  # a range of codes, no code, other codes
NEXT = (0, 1)  # a heading may be missing that the PDF's reader has put into another line
_LETTER, _NUMBER = re.compile(r"([a-z])\s?[.)]\s"), re.compile(r"(\d{1,2})\s?\)\s")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z(•])")  # a line break alone ends none: texts are hard-wrapped
_CODE = r"([A-Z]\d[\dA-Z])(?:\.([\dA-Z]{1,4}))?"
_MENTION = re.compile(rf"\b{_CODE}(?:\s?[-\u2013]\s?{_CODE})?")


class Passage(NamedTuple):
    """A part of a chapter, the heading of the topic that it is under, and the codes or ranges that it names."""

    chapter: str
    topic: str
    text: str
    names: tuple[tuple[str, str], ...]


def about(code: str, chapter: str | None, chapters: Mapping[str, str], most: int) -> str:
    """What the chapters say of a normalised code, at most so many characters of it; a short chapter is whole."""
    found = _all(tuple(chapters.items()))
    worth = {i: _worth(code, passage, passage.chapter == chapter) for i, passage in enumerate(found)}
    whole = len(chapters.get(chapter or "", "")) <= most
    chosen, left = [], most
    for i in sorted(worth, key=lambda i: (-worth[i], found[i].chapter != chapter, i)):
        own = found[i].chapter == chapter
        wanted = worth[i] >= (OTHERS if whole else NONE) if own else worth[i] >= min(len(code), 4)
        size = len(found[i].text) + len(found[i].topic) + len("\n\nSection I.C.22\n")
        if wanted and size <= left:
            chosen.append(i)
            left -= size
    chosen.sort(key=lambda i: (found[i].chapter != chapter, i))
    return _written([found[i] for i in chosen])


def _written(passages: list[Passage]) -> str:
    several = len({passage.chapter for passage in passages}) > 1
    lines, before = [], ("", "")
    for chapter, topic, text, _ in passages:
        if several and chapter != before[0]:
            lines.append(f"Section I.C.{chapter}")
        if topic and (chapter, topic) != before and not text.startswith(topic):
            lines.append(topic)
        lines.append(text)
        before = chapter, topic
    return "\n".join(lines)


def _worth(code: str, passage: Passage, own: bool) -> int:
    """How many characters of the code a passage names, or RANGE, NONE, OTHERS."""
    best = OTHERS if passage.names else NONE
    for first, last in passage.names:
        if not last and (code.startswith(first) or first.startswith(code)):
            best = max(best, min(len(first), len(code)))
        elif last and own and first[:3] <= code[:3] <= last[:3]:
            best = max(best, RANGE)
    return best


@lru_cache(maxsize=4)
def _all(chapters: tuple[tuple[str, str], ...]) -> list[Passage]:
    return [
        Passage(chapter, topic, part, tuple({_named(mention) for mention in _MENTION.finditer(part)}))
        for chapter, text in chapters
        for topic, passage in _split(text)
        for part in _parts(passage)
    ]


def _named(mention: re.Match[str]) -> tuple[str, str]:
    first, more, last, further = (group or "" for group in mention.groups())
    return first + more, last + further


def _split(text: str) -> Iterator[tuple[str, str]]:
    """The heading of the lettered topic and the text of every passage: letters and numbers count up from the first."""
    topic, lines, letter, number, before = "", [], "a", 1, ""
    for line in text.split("\n"):
        lettered, numbered = _LETTER.match(line), _NUMBER.match(line)
        if lettered and ord(lettered[1]) - ord(letter) in NEXT:
            opens, topic, letter, number = True, line, chr(ord(lettered[1]) + 1), 1
        elif opens := bool(numbered) and int(numbered[1]) - number in NEXT:
            number = int(numbered[1]) + 1
        if opens and lines:
            yield before, "\n".join(lines)
            lines = []
        before = topic
        lines.append(line)
    if any(lines):
        yield topic, "\n".join(lines)


def _parts(text: str) -> Iterator[str]:
    """A long passage as parts of whole sentences."""
    start = end = 0
    borders = [match.start() for match in _SENTENCE.finditer(text)] if len(text) > LONG else []
    for border in [*borders, len(text)]:
        if border - start > LONG and end > start:
            yield text[start:end].strip()
            start = end
        end = border
    yield text[start:].strip()
