"""A judge whose context is shorter than a prompt of the training file is refused before a run, with both numbers."""

import json
import re
from pathlib import Path

import pytest

from reward_fns import judge
from reward_fns.judge.prompt import chat, read_prompt
from tests.conftest import World, assert_refused, run_command
from tests.support.judge_server import MODEL, Judge, in_a_thread

NOTES, CODES = ["short", "a much longer note " * 50], ["I214", "J189"]


def longest(**files: str) -> int:
    """Words of the longest prompt, which are the server's tokens."""
    chats = [chat(read_prompt(), NOTES[1], "", code, **files) for code in CODES]
    return max(sum(len(message["content"].split()) for message in asked) for asked in chats)


@pytest.mark.parametrize(("spare", "fits"), [(0, True), (-1, False)])
def test_the_longest_prompt_reasoning_and_grade_must_fit(tmp_path: Path, spare: int, fits: bool) -> None:
    guidelines = tmp_path / "guidelines.json"
    guidelines.write_text(json.dumps({"chapters": {"9": {"text": "Sequence I21.4 first. " * 200}}}))
    files = {"guidelines": str(guidelines)}
    assert longest(**files) > longest() + 500
    needed = longest(**files) + 100 + 32
    with in_a_thread(Judge(context=needed + spare)) as server:
        options = {"base_url": server.url, "model": MODEL, **files}
        if fits:
            judge.check_prompts(NOTES, CODES, 100, **options)
        else:
            with pytest.raises(ValueError, match=rf"up to {needed:,} tokens.*max_model_len of {needed - 1:,}"):
                judge.check_prompts(NOTES, CODES, 100, **options)
        judge.check_prompts(NOTES, CODES, 100, judge_weight=0, **options)


def test_a_server_without_a_limit_is_not_asked_further() -> None:
    with in_a_thread(Judge()) as server:
        judge.check_prompts(NOTES, CODES, 10**9, base_url=server.url, model=MODEL)


def test_a_recipe_is_refused_before_it_runs(world: World, tmp_path: Path) -> None:
    with in_a_thread(Judge(context=300)) as server:
        environment = {**world.environment(tmp_path), "JUDGE_URL": server.url, "JUDGE_MODEL": MODEL}
        done = run_command("recipes.check", "deepicd_r1/sft_grpo", "hardware=cpu", **environment)
    assert_refused(done, "a prompt for the judge takes up to", "max_model_len of 300", "--max-model-len")
    assert int(re.search(r"up to ([\d,]+)", done.stderr)[1].replace(",", "")) > 300
