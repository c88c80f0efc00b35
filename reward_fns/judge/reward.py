"""The whole reward of DeepICD-R1: the ICD score and a judge's grade of the reasoning.

    reward.custom_reward_function:
      path: pkg://reward_fns.judge
      reward_kwargs: {prefill: "<think>", base_url: "${oc.env:JUDGE_URL,http://localhost:8001/v1}", model: judge}

score = format_weight * format + outcome_weight * outcome + judge: all of reward_fns.icd, and

    the completion                                   judge                      request
    wrong format, or a code that does not exist        0                        none
    right format and a code that exists                judge_weight * 1 to 5    one, unless the same was asked before
    ... and judge_weight is 0                          0                        none

The judge sees the note (extra_info.note), the official entry of the predicted code and the reasoning, and never the
gold: see reward_fns.judge.prompt. A fault of its server is no grade: the completion waits (common.llm_server), and
after max_wait it has reward_error 1, which stops the run before the policy is updated. judge_retries and judge_wait
count what a completion went through. `concurrency` holds for one process: verl has reward.num_workers of them.
"""

import asyncio
import json
import math
from collections.abc import Mapping
from typing import Any

from reward_fns import options, served
from reward_fns.answers import parse
from reward_fns.icd import guidance, icd10
from reward_fns.icd import reward as icd
from reward_fns.judge.context import check_context
from reward_fns.judge.grading import STRUCTURES, Settings, grade, say_once
from reward_fns.judge.prompt import chat, read_prompt
from reward_fns.judge.server import why_not

JUDGE_WEIGHT = 0.8  # 0.8 to 4.0, as the paper's job
FILES = {"prompt": read_prompt, "guidelines": guidance.read_guidelines, "symptoms": guidance.read_symptoms}
NUMBERS = {"judge_weight": (JUDGE_WEIGHT, "at least 0; 0 asks no judge"), **served.NUMBERS}
OPTIONS = ("base_url", "model", "structured_output", "extra_body", *NUMBERS, *FILES)


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    **given: Any,
) -> icd.Score:
    """The reward and its components, the keys of reward_fns.icd; never raises: a fault has reward_error 1.

    After a fault of the judge the score is the one without it: nothing is made up, and nothing is trained on it.
    """
    mine, of_icd = _split(given)
    result = icd.compute_score(data_source, solution_str, ground_truth, **of_icd)
    try:
        weight = float(mine.get("judge_weight", JUDGE_WEIGHT))
        if not 0 <= weight < math.inf:
            raise ValueError("unknown option")
        if result["reward_error"] or not weight:
            return result
        code = result["pred"]
        if not code or not icd10.exists(code, icd10.read_codes(of_icd.get("extra_codes"))):
            return result
        reasoning = parse(solution_str, "diagnosis", of_icd.get("prefill", "")).reasoning
        prompt = read_prompt(mine.get("prompt"))
        files = {name: mine.get(name) for name in ("guidelines", "symptoms")}
        answer = await grade(settings(**mine), chat(prompt, _note(extra_info), reasoning, code, **files))
        result.update(judge_retries=float(answer.retries), judge_wait=answer.waited)
        if answer.fault:
            return {**result, "reward_error": 1.0}
        earned = weight * answer.value
        return {**result, "score": result["score"] + earned, "judge": earned}
    except Exception as error:  # verl would turn it into a silently biased batch; the trainer stops at reward_error
        say_once(type(error).__name__)  # a message might quote a note
        return {**result, "reward_error": 1.0}


def settings(**options: Any) -> Settings:
    """How the judge is asked, of the judge's options."""
    asked = {name: value for name, value in options.items() if name not in ("judge_weight", *FILES)}
    body = dict(asked.get("extra_body") or {})
    plain = {"default": lambda value: dict(value) if isinstance(value, Mapping) else list(value)}  # what Hydra gives
    return Settings(**{**asked, "extra_body": json.dumps(body, sort_keys=True, **plain)})


def check_options(**given: Any) -> None:
    """Raise ValueError with a sentence when an option or its value is unknown."""
    mine, of_icd = _split(given)
    options.check_names(given, (*OPTIONS, *icd.OPTIONS), "the judge")
    icd.check_options(**of_icd)
    served.check(mine, NUMBERS, "judge", "JUDGE")
    options.check_choice("structured_output", mine.get("structured_output", "choice"), STRUCTURES, "the judge")
    try:
        settings(**mine)
    except (TypeError, ValueError):
        raise ValueError(f"extra_body={mine.get('extra_body')!r} must be a mapping of fields of a request") from None
    for name, read in FILES.items():
        options.check_file(name, mine.get(name), read)


def check_gold(gold: object, **options: Any) -> None:
    """Raise ValueError with a sentence when the gold is no ICD-10-CM code."""
    icd.check_gold(gold, **_split(options)[1])


def check_extra_info(extra_info: Mapping[str, Any] | None, **options: Any) -> None:
    """Raise ValueError with a sentence when a row does not hold what the judge reads."""
    if options.get("judge_weight", JUDGE_WEIGHT):
        _note(extra_info)


def check_server(**options: Any) -> None:
    """Raise ValueError with a sentence when the judge that these options name cannot grade. It is asked once."""
    mine = _split(options)[0]
    if mine.get("judge_weight", JUDGE_WEIGHT) and (why := asyncio.run(why_not(settings(**mine)))):
        raise ValueError(why)


def check_prompts(notes: list[str], codes: list[str], most: int, **options: Any) -> None:
    """Raise ValueError with a sentence when a prompt with a reasoning of `most` tokens would not fit the judge."""
    mine = _split(options)[0]
    if mine.get("judge_weight", JUDGE_WEIGHT):
        check_context(notes, codes, most, mine, settings(**mine))


def _split(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The judge's options and those of the ICD reward."""
    mine = {name: value for name, value in options.items() if name in OPTIONS}
    return mine, {name: value for name, value in options.items() if name not in OPTIONS}


def _note(extra_info: Mapping[str, Any] | None) -> str:
    note = (extra_info or {}).get("note")
    if not isinstance(note, str) or not note.strip():
        raise ValueError(
            "the row has no extra_info.note, which the judge reads; prepare the data with `python -m data_prep.icd`"
        )
    return note
