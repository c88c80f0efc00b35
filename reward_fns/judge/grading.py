"""Grades from a judge: what its server is sent, and what of its answer is a grade.

    answer = await grade(Settings(base_url="http://localhost:8001/v1", model="judge"), messages)

Any server with OpenAI's chat completions will do. answer.value is 1 to 5, or None after a fault that did not pass:
whatever is not a grade is a fault, and common.llm_server says how patiently those are met. A request is never sent
twice for the same text.
"""

import json
import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from common.files import beside
from common.llm_server import Answer, Fault, Server, of
from reward_fns.served import CACHED

GRADES = ("1", "2", "3", "4", "5")
# How servers are told that nothing but a grade may be written, by name: fields of a request.
STRUCTURES: dict[str, dict[str, Any]] = beside(__file__)


@dataclass(frozen=True)
class Settings(Server):
    """Where the judge is and how it is asked."""

    cache_size: int = CACHED
    key_env: str = "JUDGE_API_KEY"
    structured_output: str = "choice"
    extra_body: str = "{}"  # more fields of the request, as JSON


async def grade(settings: Settings, messages: list[dict[str, str]]) -> Answer:
    """The grade of these messages, by the running event loop's client."""
    answer = await of(settings).ask(request(settings, messages), read_grade)
    if answer.fault:
        say_once(f"no grade: {answer.fault}")
    return answer


@lru_cache(maxsize=16)
def say_once(what: str) -> None:
    """A line of the log, not one for every completion of a batch."""
    logging.getLogger(__name__).warning("the judge's part of a reward failed: %s", what)


def request(settings: Settings, messages: list[dict[str, str]]) -> dict[str, Any]:
    """The body of a request for one grade."""
    fixed = {"model": settings.model, "messages": messages, "temperature": 0, "max_tokens": 32}
    return {**fixed, **STRUCTURES[settings.structured_output], **json.loads(settings.extra_body)}


def read_grade(answer: bytes) -> int:
    """The grade in an answer, or a Fault: nothing is guessed from one of another form."""
    try:
        text = json.loads(answer)["choices"][0]["message"]["content"].strip()
        if text not in GRADES:
            text = str(json.loads(text)["grade"])
        return int(GRADES[GRADES.index(text)])
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise Fault("the answer is no grade from 1 to 5", 200) from None
