"""Is there a judge, and does it keep to the grades? Asked before a run starts, by recipes.check and recipes/judge.sh.

    python -m reward_fns.judge.server [--base-url URL] [--model NAME] [--structured-output choice]

Ends with status 2 and a sentence when no server answers, when it has no such model, or when it ignores the structured
output, which is tried with a request whose natural answer is a word. JUDGE_URL and JUDGE_MODEL are the defaults.
"""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from common.commands import UserError, parser, run
from reward_fns.judge.client import STRUCTURES, Fault, Settings, headers, read_grade, request_body

URL, MODEL = "http://localhost:8001/v1", "meta-llama/Llama-3.1-8B-Instruct"
_START = "start one with `bash recipes/judge.sh MODEL`, or set JUDGE_URL to yours"
_PROBE = [{"role": "user", "content": "Say hello in one word, please."}]


def check(settings: Settings) -> None:
    """Raise ValueError with a sentence when grades cannot be expected from the server."""
    url = settings.base_url.rstrip("/")
    status, body = _request(settings, f"{url}/models")
    names = _names(body) if status == 200 else []
    if names and settings.model not in names:
        raise ValueError(
            f"the judge server at {url} has no model {settings.model!r}; it has {', '.join(names[:5])}; set JUDGE_MODEL"
        )
    status, body = _request(settings, f"{url}/chat/completions", request_body(settings, _PROBE))
    if status in (401, 403):
        raise ValueError(f"the judge server at {url} refuses the key (HTTP status {status}); set JUDGE_API_KEY")
    if status != 200:
        raise ValueError(
            f"the judge server at {url} answers a request with HTTP status {status}; is {settings.model!r} a chat "
            f"model of it, and does it know structured_output={settings.structured_output}?"
        )
    try:
        read_grade(body)
    except Fault:
        others = [name for name in STRUCTURES if name != settings.structured_output]
        raise ValueError(
            f"the judge server at {url} does not keep to structured_output={settings.structured_output}: it answered "
            f"with something else than a grade; try structured_output={' or '.join(others)}"
        ) from None


def _request(settings: Settings, url: str, body: dict[str, Any] | None = None) -> tuple[int, bytes]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers(settings)})
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # as training asks: by no proxy
    try:
        with direct.open(request, timeout=settings.timeout) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, b""
    except (OSError, ValueError, urllib.error.URLError) as error:
        why = getattr(error, "reason", error)
        why = getattr(why, "strerror", None) or why
        raise ValueError(f"no judge server answers at {settings.base_url} ({why}); {_START}") from None
    except Exception as error:  # http.client's, which share no base with the others
        raise ValueError(f"what answers at {settings.base_url} is no judge server ({error!r}); {_START}") from None


def _names(body: bytes) -> list[str]:
    try:
        return [str(model["id"]) for model in json.loads(body)["data"]]
    except (ValueError, KeyError, TypeError):
        return []


def add_arguments(add: Callable[..., Any]) -> None:
    """The options that say where a judge is, for every command that needs one."""
    add("--base-url", default=os.environ.get("JUDGE_URL", URL), help="default $JUDGE_URL, else %(default)s")
    add("--model", default=os.environ.get("JUDGE_MODEL", MODEL), help="default $JUDGE_MODEL, else %(default)s")
    add("--structured-output", choices=tuple(STRUCTURES), default="choice", help="how grades are enforced")
    add("--timeout", type=float, default=Settings.timeout, help="seconds for one request (default %(default)g)")


def settings_of(given: Any, **more: Any) -> Settings:
    """The settings that these options name."""
    key = os.environ.get("JUDGE_API_KEY", "")
    names = ("base_url", "model", "structured_output", "timeout")
    return Settings(**{name: getattr(given, name) for name in names}, api_key=key, **more)


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__, "python -m reward_fns.judge.server --base-url http://localhost:8001/v1 --model judge")
    add_arguments(arguments.add_argument)
    settings = settings_of(arguments.parse_args(argv))
    try:
        check(settings)
    except ValueError as error:
        raise UserError(str(error)) from None
    print(f"{settings.model} at {settings.base_url} grades")


if __name__ == "__main__":
    run(main)
