"""A verl checkpoint as a folder of transformers: the next stage starts from the model that was trained."""

from pathlib import Path
from typing import Any

import pytest

from data_prep import parquet
from tests.conftest import World, run_process

# two steps, as the first one's rate is 0, with a reward that always varies: the exported weights are trained ones
STEPS = (
    *("hardware=cpu", "trainer.total_training_steps=2", "data.train_batch_size=4", "trainer.val_before_train=False"),
    *("actor_rollout_ref.actor.optim.lr=3e-3", "reward.custom_reward_function.path=tests/support/graded_reward.py"),
)
PROMPTS = 8


def greedy(model: Any, tokenizer: Any, chats: list[list[dict[str, str]]]) -> list[list[int]]:
    """What a model answers at temperature 0."""
    found = []
    for chat in chats:
        text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)
        said = model.generate(**ids, max_new_tokens=40, do_sample=False)
        found.append(said[0, ids["input_ids"].shape[1] :].tolist())
    return found


@pytest.mark.slow
def test_greedy_answers_of_a_verl_checkpoint_survive_its_export(world: World, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    words = ("bash", "recipes/launch.sh", "drg_sapphire/strict", *STEPS, "name=two")
    done = run_process(*words, **world.environment(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    run = tmp_path / "drg_sapphire/strict/two"
    actor = run / "checkpoints/global_step_2/actor"
    merge = ("verl.model_merger", "merge", "--backend", "fsdp", "--local_dir", actor, "--target_dir", run / "merged")
    merged = run_process(*merge)
    assert merged.returncode == 0, merged.stderr

    tokenizer = AutoTokenizer.from_pretrained(run / "merged")
    folders = [AutoModelForCausalLM.from_pretrained(run / name) for name in ("hf_model", "merged")]
    shard = torch.load(actor / "model_world_size_1_rank_0.pt", weights_only=False)
    # verl exports bfloat16, what its rollouts are sampled in; made so, for .to() would round the rotary frequencies too
    trained = AutoModelForCausalLM.from_config(folders[0].config, dtype=folders[0].dtype).eval()
    trained.load_state_dict({name: value.to_local() for name, value in shard.items()})
    trained.generation_config = folders[0].generation_config
    chats = parquet.read(world.data / "drg/test.parquet")["prompt"].to_pylist()[:PROMPTS]
    before, *after = (greedy(model.eval(), tokenizer, chats) for model in (trained, *folders))
    assert after == [before, before]
    start = AutoModelForCausalLM.from_pretrained(world.model, dtype=trained.dtype).eval()
    assert greedy(start, tokenizer, chats) != before
