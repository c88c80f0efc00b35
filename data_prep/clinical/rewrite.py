"""Alterations by a language model behind an OpenAI-compatible server; the prompts stand in rewrite.yaml.

    writer = Rewriter(Server(url, name))
    await writer("factual", gold, (1, 2), rng)

An answer that is empty, much longer than the line or the same as the line is asked for again with another seed; after
the third the caller takes another kind of error or another line.
"""

import hashlib
import json
import random
from typing import Any

from common.commands import UserError
from common.files import beside
from common.llm_server import Fault, Server, of
from data_prep.clinical.graded import Graded
from data_prep.clinical.rules import Unit, plain, prefix
from reward_fns.clinical_note.alterations import TITLE, units
from reward_fns.clinical_note.written import write

SAY = beside(__file__)  # rewrite.yaml
ATTEMPTS, TEMPERATURE = 3, 0.9


class Rewriter:
    """A writer of alterations that asks a server."""

    def __init__(self, server: Server) -> None:
        self.server, self.name = server, server.model

    async def __call__(self, kind: str, gold: Graded, unit: Unit, rng: random.Random) -> str | None:
        text = units(gold.note)[unit]
        slots = {"line": text, "error": SAY["errors"][kind], "note": write(gold.note), "dialogue": gold.dialogue}
        asked = SAY["user"].format(**slots)
        body = {
            "model": self.server.model,
            "messages": [{"role": "system", "content": SAY["system"]}, {"role": "user", "content": asked}],
            "temperature": TEMPERATURE,
            "max_tokens": 64 + 4 * len(text.split()),
        }
        for seed in [rng.randrange(2**31) for _ in range(ATTEMPTS)]:
            answer = await of(self.server).ask(body | {"seed": seed}, _read)
            if answer.fault:
                raise UserError(
                    f"{self.server.base_url} did not rewrite a line of case {gold.case}: {answer.fault}; what was "
                    "written is kept, and the same command goes on"
                )
            if made := tidy(answer.value, text, titled=unit[1] == TITLE):
                return made
        return None


def mark(server: Server, golds: list[Graded]) -> str:
    """What tells apart what was asked of other models, in other words or about other notes."""
    said = json.dumps([server.model, SAY, TEMPERATURE, [(gold.case, gold.dialogue, gold.note) for gold in golds]])
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def tidy(answer: str, text: str, titled: bool = False) -> str | None:
    """An answer as a line of the note, with the section's word in front; None when it is of no use."""
    lines = [line.strip().strip('"').strip() for line in answer.strip().splitlines() if line.strip()]
    if len(lines) != 1 or len(lines[0].split()) > 20 + 3 * len(text.split()):
        return None
    made = lines[0] if titled else f"{prefix(text)}{plain(lines[0])}"
    return made if plain(made) and differs(made, text) else None


def differs(made: str, text: str) -> bool:
    """Whether two lines differ in more than case and white space."""
    return made.lower().split() != text.lower().split()


def _read(answer: bytes) -> str:
    try:
        content: Any = json.loads(answer)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError):
        raise Fault("an answer that cannot be read", 200, rejected=True) from None
    return content if isinstance(content, str) else ""
