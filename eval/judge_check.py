"""How far a judge can be trusted: on labelled reasonings that are good, or bad in a known way, and on attacks.

    python -m eval.judge_check --base-url http://localhost:8001/v1 --model judge --out runs/judge_check.json

Asks the judge with the prompt of training about the cases of eval/judging/cases.yaml (all invented) and prints a table;
every number has a 95 % interval (bootstrap over the cases), its n and its definition. Nothing is cached: equal requests
are sent again. About 300 short requests.
"""

import asyncio
import json
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from common import llm_server
from common.commands import UserError, existing, parser, run
from common.files import sha256, whole_file
from common.record import command_line, commit, versions
from eval.judging.measure import CASES, Item, load, measure, requests, table
from reward_fns.judge.grading import Settings, grade
from reward_fns.judge.prompt import Prompt, chat, read_prompt
from reward_fns.judge.server import add_arguments, settings_of, why_not

SHORT_WAIT = 20.0  # seconds; a training run would wait longer, here a missing grade is a result


class Asker:
    """Sends requests round by round: equal ones never share an answer."""

    def __init__(self, settings: Settings, total: int) -> None:
        self.settings, self.missing = settings, 0
        self.bar = tqdm(total=total, desc="judging", unit="request", leave=False)

    def __call__(self, items: Sequence[Item], prompt: Prompt) -> np.ndarray:
        return np.array(asyncio.run(self._round(items, prompt)), dtype=float)

    async def _round(self, items: Sequence[Item], prompt: Prompt) -> list[int | None]:
        async def one(item: Item) -> int | None:
            answer = await grade(self.settings, chat(prompt, item.note, item.reasoning, item.code))
            self.bar.update()
            self.missing += answer.value is None
            return answer.value

        try:
            return await asyncio.gather(*map(one, items))
        finally:
            await llm_server.close()


def main(argv: list[str] | None = None) -> None:
    p = parser(__doc__)
    add_arguments(p.add_argument)
    p.add_argument("--cases", default=CASES, help="labelled cases (default eval/judging/cases.yaml)")
    p.add_argument("--prompt", help="the judge's prompt (default reward_fns/judge/prompt.txt)")
    p.add_argument("--repeats", type=int, default=3, help="how often equal requests are sent (default %(default)s)")
    p.add_argument("--concurrency", type=int, default=16, help="requests at once (default %(default)s)")
    p.add_argument("--out", help="write the numbers with their definitions to this JSON file, too")
    given = p.parse_args(argv)
    for name in ("repeats", "concurrency"):
        if getattr(given, name) < 1:
            raise UserError(f"--{name} must be at least 1")
    path = existing(given.cases, "the file of cases", "leave --cases out for eval/judging/cases.yaml")
    cases = load(path)
    patience = max(SHORT_WAIT, given.timeout)
    settings = settings_of(given, concurrency=given.concurrency, cache_size=0, max_wait=patience)
    try:
        prompt = read_prompt(given.prompt)
    except OSError as error:
        raise UserError(f"{given.prompt} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(str(error)) from error
    if why := asyncio.run(why_not(settings)):
        raise UserError(why)
    ask = Asker(settings, requests(cases, given.repeats))
    numbers = measure(cases, ask, prompt, given.repeats)
    ask.bar.close()
    if ask.missing == ask.bar.n:
        raise UserError(f"the judge at {given.base_url} gave no grade for any of {ask.bar.n} requests; look at its log")
    print(table(numbers))
    print(f"{ask.missing} of {ask.bar.n} requests brought no grade")
    if given.out:
        content = {
            "judge": {"base_url": given.base_url, "model": given.model, "structured_output": given.structured_output},
            "cases": {"file": path.name, "sha256": sha256(path), "reasonings": len(cases.items)},
            "requests": {"asked": ask.bar.n, "without_grade": ask.missing},
            "numbers": numbers,
            "provenance": {
                "command": command_line("eval.judge_check", argv),
                "commit": commit(),
                "versions": versions(),
            },
        }
        with whole_file(given.out) as made:
            made.write_text(json.dumps(content, indent=2) + "\n")
        print(given.out)


if __name__ == "__main__":
    run(main)
