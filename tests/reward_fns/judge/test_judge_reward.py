"""What the judge adds to the ICD reward, and when nobody is asked."""

import pytest

from reward_fns.icd import reward as icd
from reward_fns.judge.grading import STRUCTURES
from tests.support.judge_scenarios import KEYS, NEEDS_NONE, run, score, write


@pytest.mark.parametrize("grade", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(("options", "weight"), [({}, 0.8), ({"judge_weight": 2}, 2.0)])
def test_a_grade_times_its_weight_joins_the_icd_score(grade, options, weight):
    async def scenario(server):
        server.judge.grade = grade
        result = await score(server, write(), **options)
        alone = icd.compute_score("mimic_icd", write(), "I214")
        assert result == {**alone, "judge": weight * grade, "score": pytest.approx(46 + weight * grade)}

    run(scenario)


@pytest.mark.parametrize("completion", NEEDS_NONE.values(), ids=NEEDS_NONE)
def test_without_a_usable_format_and_code_nothing_is_asked(completion):
    async def scenario(server):
        result = await score(server, completion)
        assert result == icd.compute_score("mimic_icd", completion, "I214") and set(result) == KEYS
        assert result["judge"] == 0 and not server.judge.requests

    run(scenario)


def test_a_weight_of_0_asks_nothing():
    async def scenario(server):
        result = await score(server, write(), judge_weight=0)
        assert result == icd.compute_score("mimic_icd", write(), "I214") and not server.judge.requests

    run(scenario)


def test_options_of_the_icd_reward_pass_through():
    async def scenario(server):
        server.judge.grade = 5
        result = await score(server, write().removeprefix("<think>"), prefill="<think>", outcome_weight=0.0)
        assert (result["score"], result["judge"]) == (1 + 4.0, 4.0)

    run(scenario)


@pytest.mark.parametrize("kind", list(STRUCTURES))
def test_every_way_of_structured_output_gives_the_same_grade(kind):
    async def scenario(server):
        server.judge.grade = 3
        assert (await score(server, write(), structured_output=kind))["judge"] == pytest.approx(2.4)
        (body,) = server.judge.requests
        assert STRUCTURES[kind].items() <= body.items()
        assert body["temperature"] == 0 and body["max_tokens"] <= 32

    run(scenario)


def test_a_key_comes_from_the_environment_and_more_fields_from_the_recipe(monkeypatch):
    from omegaconf import OmegaConf

    async def scenario(server):
        server.judge.key = "secret"
        monkeypatch.setenv("JUDGE_API_KEY", "secret")
        extra = OmegaConf.create({"chat_template_kwargs": {"enable_thinking": False, "stop": ["a"]}})
        assert (await score(server, write(), extra_body=extra))["judge"] > 0
        assert server.judge.requests[0]["chat_template_kwargs"] == {"enable_thinking": False, "stop": ["a"]}

    run(scenario)
