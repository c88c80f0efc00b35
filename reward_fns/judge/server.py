"""Is there a judge, and does it keep to the grades? Asked before a run starts, by recipes.check and recipes/judge.sh.

    python -m reward_fns.judge.server [--base-url URL] [--model NAME] [--structured-output choice]

Ends with status 2 and a sentence when no server answers, when it has no such model, or when it ignores the structured
output, which is tried with a request whose natural answer is a word. JUDGE_URL and JUDGE_MODEL are the defaults.
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import Any

from common.commands import UserError, parser, run
from common.llm_server import Client, Fault, read_models
from reward_fns.judge.grading import STRUCTURES, Settings, read_grade, request

URL, MODEL = "http://localhost:8001/v1", "meta-llama/Llama-3.1-8B-Instruct"
_PROBE = [{"role": "user", "content": "Say hello in one word, please."}]


async def why_not(settings: Settings) -> str:
    """Why grades cannot be expected from the server, in a sentence, or ""; it is asked once."""
    server, model = f"the judge server at {settings.base_url.rstrip('/')}", repr(settings.model)
    structure = f"structured_output={settings.structured_output}"
    async with aclosing(Client(settings)) as client:
        with suppress(Fault):  # not every server lists its models
            names = list(read_models(await client.send(None)))
            if names and settings.model not in names:
                return f"{server} has no model {model}; it has {', '.join(names[:5])}; set JUDGE_MODEL"
        try:
            read_grade(await client.send(request(settings, _PROBE)))
        except Fault as fault:
            if not fault.status:
                start = "start one with `bash recipes/judge.sh MODEL`, or set JUDGE_URL to yours"
                return f"no judge server answers at {settings.base_url} ({fault}); {start}"
            if fault.status in (401, 403):
                return f"{server} refuses the key (HTTP {fault.status}); set JUDGE_API_KEY"
            if fault.status != 200:
                what = f"is {model} a chat model of it, and does it know {structure}?"
                return f"{server} answers a request with {fault}; {what}"
            others = " or ".join(name for name in STRUCTURES if name != settings.structured_output)
            what = f"it answered with something else than a grade; try structured_output={others}"
            return f"{server} does not keep to {structure}: {what}"
    return ""


def add_arguments(add: Callable[..., Any]) -> None:
    """The options that say where a judge is, for every command that needs one."""
    add("--base-url", default=os.environ.get("JUDGE_URL", URL), help="default $JUDGE_URL, else %(default)s")
    add("--model", default=os.environ.get("JUDGE_MODEL", MODEL), help="default $JUDGE_MODEL, else %(default)s")
    add("--structured-output", choices=tuple(STRUCTURES), default="choice", help="how grades are enforced")
    add("--timeout", type=float, default=Settings.timeout, help="seconds for one request (default %(default)g)")


def settings_of(given: Any, **more: Any) -> Settings:
    """The settings that these options name."""
    more |= {"structured_output": given.structured_output, "timeout": given.timeout}
    return Settings(given.base_url, given.model, **more)


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__, "python -m reward_fns.judge.server --base-url http://localhost:8001/v1 --model judge")
    add_arguments(arguments.add_argument)
    settings = settings_of(arguments.parse_args(argv))
    if why := asyncio.run(why_not(settings)):
        raise UserError(why)
    print(f"{settings.model} at {settings.base_url} grades")


if __name__ == "__main__":
    run(main)
