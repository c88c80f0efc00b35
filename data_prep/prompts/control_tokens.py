"""Control tokens of chat templates that stand in a text: a blank breaks each, so that a tokenizer reads it as text.

    notes, count = control_tokens.broken(notes, tokenizer)     # "<|im_start|>" becomes "< |im_start|>"

Those of the tokenizer, and with or without one those of the common families: data outlive the model they were made for.
"""

import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

FAMILIES = (
    r"<\|[^|<> \n\t]+\|>",  # Qwen, Llama 3, Phi, Command, Falcon, GPT
    "<\uff5c[^\uff5c<> \n\t]+\uff5c>",  # DeepSeek
    r"<<SYS>>|<</SYS>>|</?(?:s|bos|eos|pad|unk|mask|sep|cls)>",  # Llama 2, Mistral, Gemma
    r"<(?:start|end)_of_[a-z]+>|<extra_id_[0-9]+>|</?tool_(?:call|response)>",  # Gemma, Nemotron, Qwen's tools
    r"\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|gMASK)\]",  # Mistral, GLM
)


def broken(notes: pa.Array, tokenizer: Any = None) -> tuple[pa.Array, int]:
    """The notes with every control token broken up, and how many there were."""
    found = pa.repeat(False, len(notes))
    patterns = _patterns(tokenizer)
    for pattern in patterns:  # each begins with one letter, which makes the search as fast as that for the letter
        found = pc.or_(found, pc.fill_null(pc.match_substring_regex(notes, pattern), False))
    begins = re.compile(f"(?=({'|'.join(patterns)}))(.)", re.DOTALL)
    changed = [begins.subn(r"\2 ", note) for note in notes.filter(found).to_pylist()]
    if changed:
        notes = pc.replace_with_mask(notes, found, pa.array([note for note, _ in changed], notes.type))
    return notes, sum(count for _, count in changed)


def plain(text: str) -> str:
    """One text without control tokens of the common families."""
    return broken(pa.array([text]))[0][0].as_py()


def _patterns(tokenizer: Any) -> list[str]:
    """What finds them, an expression a first letter, for Python and for Arrow alike."""
    added = tokenizer.added_tokens_decoder.values() if tokenizer else ()
    own = {token.content.strip() for token in added if token.special or token.content[:1] in "<["}
    own = sorted((token for token in own if len(token) > 1), key=len, reverse=True)
    firsts: dict[str, list[str]] = {}
    for one in (*FAMILIES, *(re.sub(r"\\(\s)", r"\1", re.escape(token)) for token in own)):
        firsts.setdefault(one[:2] if one[0] == "\\" else one[0], []).append(one)
    return ["|".join(of) for of in firsts.values()]
