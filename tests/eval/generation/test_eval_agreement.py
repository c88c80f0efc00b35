"""verl's validation and ours: the same prompts, and the same verdict on the same samples."""

import json
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from omegaconf import OmegaConf

from common import record
from data_prep import parquet, prompts
from eval.generation import parts
from eval.generation.engines import prompt_tokens
from recipes.launcher.compose import compose
from tests.conftest import ROOT, World, run_process
from tests.support.eval_folders import scores_of, settings

CASES, N = 24, 4


@pytest.mark.parametrize(("recipe", "task"), [("drg_sapphire/strict", "drg"), ("deepicd_r1/zero", "icd")])
def test_training_and_evaluation_put_the_same_tokens_to_the_model(world, recipe, task):
    from transformers import AutoTokenizer

    config = compose(recipe, ["hardware=cpu"])
    tokenizer = AutoTokenizer.from_pretrained(world.model)
    chat = prompts.messages(task, "A hypothetical note.\n\nWith two paragraphs.")
    template = config.actor_rollout_ref.model.get("custom_chat_template")
    given = OmegaConf.to_container(config.data.get("apply_chat_template_kwargs") or OmegaConf.create({}))
    trained = tokenizer.apply_chat_template(
        chat, add_generation_prompt=True, chat_template=template, return_dict=True, **given
    )
    paper = recipe.split("/")[0]
    prefill = yaml.safe_load((ROOT / "recipes" / paper / "eval" / "default.yaml").read_text())["prefill"]
    assert prompt_tokens(tokenizer, chat, prefill) == trained["input_ids"], "a start model with its own template"
    if template:
        tokenizer.chat_template = template  # as verl exports it
        assert prompt_tokens(tokenizer, chat, prefill) == trained["input_ids"]
    assert config.reward.custom_reward_function.reward_kwargs.get("prefill", "") == prefill


@pytest.fixture(scope="module")
def tuned(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has learned the format and a few titles, so that some samples are right and some are not."""
    model = tmp_path_factory.mktemp("tuned") / "model"
    environment = {"BASE_MODEL": str(world.model), "DATA_DIR": str(world.data), "MODEL_PATH": str(model)}
    traces = {"TRACES": str(world.mimic / "traces.parquet"), "CUDA_VISIBLE_DEVICES": ""}
    given = ["sft.train", "--config", "recipes/drg_sapphire/sft/tiny.yaml", "--num_train_epochs", 30]
    done = run_process(*given, "--save_strategy", "no", **environment, **traces)
    assert done.returncode == 0, done.stderr[-3000:]
    return model


@pytest.fixture(scope="module")
def validated(world: World, tuned: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict], dict]:
    """What verl's validation before the first step generates, and what it logs."""
    place = tmp_path_factory.mktemp("agreement")
    done = run_process(
        *("bash", "recipes/launch.sh", "drg_sapphire/strict", "hardware=cpu", "name=agreement"),
        *("trainer.val_before_train=true", "trainer.total_training_steps=1", "data.train_batch_size=4"),
        *(f"data.val_max_samples={CASES}", f"actor_rollout_ref.rollout.val_kwargs.n={N}"),
        f"trainer.validation_data_dir={place}/samples",
        **world.environment(place) | {"MODEL_PATH": str(tuned)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    dumped = [json.loads(line) for line in (place / "samples" / "0.jsonl").read_text().splitlines()]
    (metrics,) = place.glob("drg_sapphire/strict/agreement/metrics.jsonl")
    return dumped, json.loads(metrics.read_text().splitlines()[0])["data"]


def by_prompt(world: World, model: Path) -> dict[str, dict]:
    """The cases by their prompts as eval.generate gives them to the model, special tokens aside as in verl's dump."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    rows = parquet.read(world.data / "drg" / "test_small.parquet").to_pylist()
    return {tokenizer.decode(prompt_tokens(tokenizer, row["prompt"]), skip_special_tokens=True): row for row in rows}


@pytest.mark.slow
def test_verls_validation_accuracy_is_our_pass_at_1_on_the_same_samples(world, tuned, validated, command, tmp_path):
    dumped, logged = validated
    cases = by_prompt(world, tuned)
    samples: dict[str, list[dict]] = defaultdict(list)
    for sample in dumped:
        samples[sample["input"]].append(sample)
    assert len(samples) == CASES and all(len(found) == N for found in samples.values())
    assert set(samples) <= set(cases), "the prompts are those that eval.generate sends"
    out, made_with = tmp_path / "g", settings()
    made_with["sampling"] |= {"n": N}
    out.mkdir()
    rows = [
        {name: case["extra_info"][name] for name in ("index", "hadm_id", "subject_id")}
        | {"data_source": case["data_source"], "ground_truth": case["reward_model"]["ground_truth"]}
        | {"completions": [sample["output"] for sample in found], "n_tokens": [1] * N, "finish_reason": ["stop"] * N}
        for case, found in ((cases[prompt], found) for prompt, found in samples.items())
    ]
    parts.add(out, pa.Table.from_pylist(rows), made_with)
    record.write(out, settings=made_with, prompts=CASES, finished=True)
    done = command("eval.score", "--generations", out)
    assert done.returncode == 0, done.stderr
    ours = {name: row["value"] for name, row in scores_of(out)["metrics"].items()}
    theirs = {name.split("/")[2]: value for name, value in logged.items() if name.endswith(f"/mean@{N}")}
    print({name: round(value, 4) for name, value in theirs.items()})
    assert 0 < theirs["base"] < 1, "a model that is never or always right proves nothing"
    assert ours["drg/pass@1"] == pytest.approx(theirs["acc"], abs=1e-6)
    assert ours["base/pass@1"] == pytest.approx(theirs["base"], abs=1e-6)
    assert ours["status/pass@1"] == pytest.approx(theirs["status"], abs=1e-6)
    assert ours["reward"] == pytest.approx(theirs["reward"], abs=1e-6)
    assert ours["answer_first"] == pytest.approx(theirs["cot_first"], abs=1e-6)
    assert -2 * (1 - ours["format"]) == pytest.approx(theirs["format"], abs=1e-6)
