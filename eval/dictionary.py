"""A baseline without a model: every code whose title or inclusion term in the tabular list stands in the text.

    python -m eval.dictionary --data data/codiesp/test.parquet --out runs/codiesp/eval/dictionary

A term is found where its words, but for those that say nothing of the finding, stand beside one another in any order;
the longest terms come first and words count once. A term of a category stands for its unspecified code. Writes a folder
as eval.generate does, a case with one completion, for eval.score.
"""

import hashlib
import re
from collections.abc import Generator, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from common.commands import UserError, parser, run
from common.files import sha256
from common.record import command_line
from data_prep import parquet
from eval.generation import filling
from eval.generation.engines import answered
from eval.generation.sources import Source
from reward_fns.icd import icd10, tabular
from reward_fns.icd_set.codes import JOINT
from reward_fns.task import TASKS

LONGEST = 6  # words of a term
UNSPECIFIED = ("unspecified", "without complication", "uncomplicated")
_ASIDE = re.compile(r"\([^)]*\)|\[[^\]]*\]")
_WORD = re.compile(r"[a-z0-9]+")
_REST = re.compile(r"\bother\b|elsewhere", re.IGNORECASE)  # a title of what has no name of its own
_EMPTY = frozenset(
    _WORD.findall(
        "a an and at by due for from in nos of on or specified the to "
        "unspecified with without complication complications"
    )
)

Terms = dict[tuple[str, ...], str]


def words(text: str) -> list[str]:
    """The words that count, without the s of a plural."""
    found = (word for word in _WORD.findall(text.lower()) if word not in _EMPTY)
    return [word.removesuffix("s") if len(word) > 3 and not word.endswith("ss") else word for word in found]


@lru_cache(maxsize=1)
def terms() -> Terms:
    """The sorted words of every term, and the code that it stands for."""
    found: Terms = {}
    for code in icd10.table().ordered:
        for term in (term for term in tabular.terms(code) if not _REST.search(term)):
            key = tuple(sorted(words(_ASIDE.sub(" ", term))))
            if 0 < len(key) <= LONGEST:
                found.setdefault(key, code)
    return {key: _usual(code) for key, code in found.items()}


def _usual(code: str) -> str:
    """The code itself, or the one below it that says no more: of those with such a title the shortest."""
    titles = {tabular.title(child): child for child in tabular.below(code)}
    usual = [title for title in titles if any(word in title.lower() for word in UNSPECIFIED)]
    return _usual(titles[min(usual, key=len)]) if usual else code


def codes(text: str, known: Terms) -> list[str]:
    """The codes whose terms stand in a text, in its order."""
    said, found = words(text), {}
    used = [False] * len(said)
    for length in range(LONGEST, 0, -1):
        for at in range(len(said) - length + 1):
            code = known.get(tuple(sorted(said[at : at + length])))
            if code and not any(used[at : at + length]):
                used[at : at + length] = [True] * length
                found[at] = code
    return list(dict.fromkeys(found[at] for at in sorted(found)))


class Dictionary(Source):
    """Gives every case the codes of its terms."""

    dtype = "none"

    def __init__(self) -> None:
        self.terms = terms()
        mark = repr(sorted(self.terms.items())).encode()
        self.model = {"name": "dictionary of the tabular list", "fingerprint": hashlib.sha256(mark).hexdigest()}

    def complete(self, cases: pa.Table, settings: dict[str, Any]) -> Generator[pa.Table, None, None]:
        yield answered(cases, [[(text, 0, "stop")] for text in self._said(cases)])

    def _said(self, cases: pa.Table) -> Iterator[str]:
        for source, chat in zip(cases["data_source"].to_pylist(), cases["prompt"].to_pylist(), strict=True):
            said = codes(chat[-1]["content"], self.terms)
            yield TASKS.of_source(source).completion("The terms stand in the text.", JOINT.join(said))


def main(argv: list[str] | None = None) -> None:
    p = parser(__doc__)
    p.add_argument("--data", required=True, help="RL parquet of sets of codes")
    p.add_argument("--out", type=Path, required=True, help="folder to write to")
    options = p.parse_args(argv)
    table = parquet.read(options.data)
    for source in table["data_source"].unique().to_pylist():
        if not TASKS.of_source(source, options.data).sets:
            raise UserError(f"{options.data} holds {source}; the dictionary finds sets of codes")
    source, about = Dictionary(), {"name": options.data, "sha256": sha256(options.data), "limit": None}
    made = filling.settings(source, about, {"n": 1, "temperature": 0.0, "top_p": 1.0, "max_tokens": 0}, seed=0)
    cases = filling.cases(table, options.data)
    filling.fill(options.out, cases, made, source, command_line("eval.dictionary", argv))
    print(f"{options.out}: {cases.num_rows} cases, {len(source.terms):,} terms")


if __name__ == "__main__":
    run(main)
