"""Options of the rewards that ask a server: where it is, and how patiently it is asked (common.llm_server)."""

from collections.abc import Mapping
from typing import Any

from common.llm_server import Server
from reward_fns.options import is_number

CACHED = 65_536  # answers that a reward remembers
# Option -> its default and what it must be. base_url and model have none: every recipe says where its server is.
NUMBERS = {
    "concurrency": (Server.concurrency, "a whole number of requests, at least 1"),
    "timeout": (Server.timeout, "seconds above 0"),
    "max_wait": (Server.max_wait, "seconds, at least 0"),
    "backoff": (Server.backoff, "seconds above 0"),
    "retries": (Server.retries, "a whole number, at least 0"),
    "cache_size": (CACHED, "a whole number, at least 0"),
}
WHOLE, ABOVE_0 = ("concurrency", "retries", "cache_size"), ("concurrency", "timeout", "backoff")


def check(given: Mapping[str, Any], numbers: Mapping[str, tuple[float, str]], whom: str, variable: str) -> None:
    """Raise ValueError with a sentence when a number makes no sense, or where it is not said which server is asked."""
    for name, (default, what) in numbers.items():
        value = given.get(name, default)
        fits = is_number(value) and (value > 0 if name in ABOVE_0 else value >= 0)
        if not fits or (name in WHOLE and value != int(value)):
            raise ValueError(f"{name}={value!r} must be {what}, for instance {default}")
    for name, of in (("base_url", "URL"), ("model", "MODEL")):
        if not isinstance(given.get(name), str) or not given[name]:
            raise ValueError(f"{name}={given.get(name)!r} must say which {whom} is asked; set {variable}_{of}")
    if not given["base_url"].startswith(("http://", "https://")):
        raise ValueError(f"base_url={given['base_url']!r} must start with http:// or https://")
