"""Notes as tokens: every position is its text, a token for its kind, and a token for its label.

    markers = find(tokenizer)                      # of the tokenizer's reserve or added; None: it has neither yet
    encoded = encode(tokenizer, markers, dialogue, positions)
    encoded.ids, encoded.slots                     # the label of position i is read at ids[slots[i]]
    read(render(positions, PUBLISHED), PUBLISHED) == positions

In the place of a label stands a placeholder, unless labels are shown, as the published training data do. Then
every label can be read off those before it, which a note to be graded does not have.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from common.commands import UserError
from reward_fns.clinical_note.notes import KINDS, RIGHT, WRONG, Position, check

DIALOGUE = "{dialogue}"
FILE = "prm.json"  # in the folder of a process reward model


@dataclass(frozen=True)
class Markers:
    """Eight tokens: one a kind of position, the placeholder, "+" and "-"."""

    tokens: tuple[str, ...]

    def kind(self, kind: str) -> str:
        return self.tokens[KINDS.index(kind)]

    def label(self, label: str) -> str:
        """The token of a label; of "", the placeholder."""
        return self.tokens[len(KINDS) + ("", RIGHT, WRONG).index(label)]


COUNT = len(KINDS) + 3
RESERVES = ("<|reserved_special_token_{}|>", "<unused{}>")  # Llama 3 and Gemma keep rows of tokens that nothing uses
PUBLISHED = Markers(tuple(RESERVES[0].format(no) for no in range(1, COUNT + 1)))
NAMES = (*KINDS, "label", "right", "wrong")
ADDED = Markers(tuple(f"<|note_{name}|>" for name in NAMES))


class Encoded(NamedTuple):
    """Token ids; where the note begins; the places of the labels."""

    ids: list[int]
    start: int
    slots: list[int]


def reserved(tokenizer: Any) -> Markers | None:
    """The first of the tokens that a tokenizer keeps in reserve, where it has enough."""
    known = tokenizer.get_vocab()
    sets = (Markers(tuple(form.format(no) for no in range(1, COUNT + 1))) for form in RESERVES)
    return next((markers for markers in sets if all(token in known for token in markers.tokens)), None)


def find(tokenizer: Any) -> Markers | None:
    """The label tokens of a tokenizer: added ones before those of its reserve."""
    known = tokenizer.get_vocab()
    return ADDED if all(token in known for token in ADDED.tokens) else reserved(tokenizer)


def trained(model: str) -> Markers:
    """The tokens that a trained model is asked with, from its prm.json."""
    path = Path(model) / FILE
    try:
        found = tuple(json.loads(path.read_text(encoding="utf-8"))["tokens"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        remedy = "train one with `python -m sft.prm`"
        raise UserError(f"{model} has no usable {FILE}, so it is no process reward model; {remedy}") from error
    return Markers(found)


@cache
def prompt() -> str:
    """What stands before a note, with a slot for the dialogue."""
    return (Path(__file__).parent / "prompt.txt").read_text(encoding="utf-8")


def encode(tokenizer: Any, markers: Markers, dialogue: str, graded: Sequence[Position], shown: bool = False) -> Encoded:
    """The ids of dialogue and note; no text in them is read as a token of its own. Labels are shown or held back."""
    check(graded)
    texts = [prompt().replace(DIALOGUE, dialogue), *(position.text for position in graded if position.text)]
    pieces = iter(tokenizer(texts, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"])
    number = dict(zip(markers.tokens, tokenizer.convert_tokens_to_ids(list(markers.tokens)), strict=True))
    ids = [*([tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []), *next(pieces)]
    start, slots = len(ids), []
    for position in graded:
        label = markers.label(position.label if shown else "")
        ids += [*(next(pieces) if position.text else ()), number[markers.kind(position.kind)], number[label]]
        slots.append(len(ids) - 1)
    return Encoded(ids, start, slots)


def render(graded: Iterable[Position], markers: Markers) -> str:
    """The note as the text that such tokens are read from."""
    return "".join(f"{one.text}{markers.kind(one.kind)}{markers.label(one.label)}" for one in graded)


def read(text: str, markers: Markers) -> list[Position]:
    """The positions of a text with such tokens; ValueError where they do not follow the grammar."""
    kinds, labels = ({name(value): value for value in values} for name, values in _names(markers))
    parts = re.split(f"({'|'.join(map(re.escape, markers.tokens))})", text)
    if len(parts) % 4 != 1 or parts[-1]:
        raise ValueError("the text does not end with a kind and a label; every position has both")
    found = []
    for at in range(0, len(parts) - 1, 4):
        words, kind, between, label = parts[at : at + 4]
        if kind not in kinds or between or label not in labels:
            raise ValueError(f"position {at // 4} is not a text, a token for its kind and one for its label")
        found.append(Position(kinds[kind], words, labels[label]))
    check(found)
    return found


def _names(markers: Markers) -> list[tuple[Callable[[str], str], tuple[str, ...]]]:
    return [(markers.kind, KINDS), (markers.label, ("", RIGHT, WRONG))]
