"""The judge's prompt: note, official entry of the predicted code and reasoning, put into reward_fns/judge/prompt.txt.

    from reward_fns.judge.prompt import chat, read_prompt
    chat(read_prompt(), note, reasoning, "I214")

Nothing here knows the gold. Note and reasoning are untrusted: each stands between two lines with a mark that is a hash
of the text itself, so that it cannot contain its own end, and what a server might read as a control token of its chat
template ("<|im_start|>", "</s>", "[INST]") is broken up by a space. The note comes first, for all completions of a
prompt share it and servers reuse a common beginning.
"""

import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from reward_fns.icd import guidance, icd10, tabular

HERE = Path(__file__).parent / "prompt.txt"
FIELDS = ("note", "code", "entry", "symptoms", "guideline", "reasoning")
LONGEST = {"note": 40_000, "reasoning": 20_000, "guideline": 24_000, "symptoms": 4_000}  # characters

_BREAK = "====="
_CONTROL = re.compile(r"<(?=[|/!<\uff5c]|[A-Za-z_])|(?<=[|\uff5c])>|\[(?=/?[A-Z_]{3,}\])")
# Unicode's control, format and surrogate characters, separators of lines, and what it calls default ignorable.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5"
    "\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


class Prompt(NamedTuple):
    """What the judge is told, and the frame that the parts are put into."""

    system: str
    user: str


@lru_cache(maxsize=8)
def read_prompt(path: str | None = None) -> Prompt:
    """The prompt of this repository or of a user's file: system text, a line of five "=", the frame with its fields."""
    file = Path(path) if path else HERE
    system, line, user = file.read_text(encoding="utf-8").partition(f"\n{_BREAK}\n")
    missing = [field for field in ("note", "code", "entry", "reasoning") if user.count(f"{{{field}}}") != 1]
    if not line or missing:
        what = f"must contain {{{missing[0]}}} exactly once" if line else f"lacks the line {_BREAK}"
        raise ValueError(f"{file}, the judge's prompt, {what}; reward_fns/judge/prompt.txt is an example")
    return Prompt(system.strip(), user.strip())


def chat(
    prompt: Prompt,
    note: str,
    reasoning: str,
    code: str,
    guidelines: str | None = None,
    symptoms: str | None = None,
) -> list[dict[str, str]]:
    """The chat that asks for the grade of one reasoning; `guidelines` and `symptoms` are paths of the user's files."""
    code = icd10.normalise(code)
    parts = {
        "note": fence("note", note, ""),
        "code": tabular.dotted(code),
        "entry": tabular.describe(code),
        "reasoning": fence("reasoning", reasoning, note),
        "symptoms": _section("What the condition looks like", "symptoms", guidance.symptoms(code, symptoms)),
        "guideline": _section("The coding guideline of the chapter", "guideline", guidance.guideline(code, guidelines)),
    }
    # in one pass: a field's name inside a part stays what it is
    user = re.sub("{(" + "|".join(FIELDS) + ")}", lambda found: parts[found[1]], prompt.user)
    return [{"role": "system", "content": prompt.system}, {"role": "user", "content": user}]


def fence(what: str, text: str, salt: str) -> str:
    """A text that others wrote, harmless to chat templates and between two lines that it cannot imitate."""
    text = _cut(harmless(text), LONGEST[what])
    mark = f"{what} {hashlib.sha256(f'{salt}|{text}'.encode(errors='replace')).hexdigest()[:12]}"
    return f"----- {mark} begins -----\n{text}\n----- {mark} ends -----"


def harmless(text: str) -> str:
    """The text without characters that nobody sees, and with every control token of a chat template broken up."""
    return _CONTROL.sub(lambda found: " >" if found[0] == ">" else f"{found[0]} ", _UNSEEN.sub("", text))


def _section(heading: str, what: str, text: str) -> str:
    return f"\n\n{heading}:\n{_cut(harmless(text), LONGEST[what])}" if text else ""


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most].rsplit(None, 1)[0] + " […]"
