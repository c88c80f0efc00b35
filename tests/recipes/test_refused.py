"""What would stop a run is one sentence before anything starts."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from tests.conftest import ROOT, World, assert_refused, run_command, run_process
from tests.support.commands import refused

RECIPE = "drg_sapphire/strict"


BAD_INPUT: list[tuple[tuple[str, ...], dict[str, str], tuple[str, ...]]] = [
    (("drg_sapphire/strikt",), {}, ("strikt", "did you mean drg_sapphire/strict")),
    ((RECIPE, "hardware=cpuu"), {}, ("cpuu", "cpu, gpu24x1, gpu48x1, h100x1")),
    ((RECIPE, "hardware=cpu", "data.train_batchsize=8"), {}, ("data.train_batchsize", "data.train_batch_size")),
    ((RECIPE, "hardware=cpu", "+data.train_batchsize=8"), {}, ("data.train_batchsize", "data.train_batch_size")),
    ((RECIPE, "hardware=cpu", "trainer.nnodes"), {}, ("trainer.nnodes", "key=value")),
    ((RECIPE, "hardware=cpu", "reward.custom_reward_function.reward_kwargs.accuracy=strickt"), {}, ("strickt",)),
    ((RECIPE, "hardware=cpu", "+reward.custom_reward_function.reward_kwargs.acuracy=strict"), {}, ("acuracy",)),
    ((RECIPE, "hardware=cpu", "actor_rollout_ref.actor.grad_clip=2"), {}, ("optim.clip_grad",)),
    (
        (RECIPE, "hardware=cpu", "data.train_batch_size=10", "actor_rollout_ref.actor.ppo_mini_batch_size=4"),
        {},
        ("10",),
    ),
    ((RECIPE, "hardware=cpu", "data.train_batch_size=3"), {}, ("24 completions", "ppo_micro_batch_size_per_gpu 16")),
    ((RECIPE, "hardware=cpu"), {"DATA_DIR": "nowhere"}, ("nowhere/drg/rl/small.parquet", "make demo")),
    ((RECIPE, "hardware=cpu"), {"MODEL_PATH": "nowhere/model/x"}, ("nowhere/model/x", "make demo")),
    ((RECIPE, "hardware=cpu", "data.max_response_length=1000000"), {}, ("context",)),
    ((RECIPE, "hardware=cpu", "name=../up"), {}, ("../up",)),
    ((RECIPE, "hardware=cpu", "sft_share=91"), {}, ("sft_share", "91", "90")),
    ((RECIPE, "hardware=cpu", "trainer.v1.medcode.kl_schedule=linear"), {}, ("linear", "cosine")),
    ((RECIPE, "hardware=cpu", "trainer.max_actor_ckpt_to_keep=1"), {}, ("max_actor_ckpt_to_keep", "keep 2")),
    (("drg_sapphire/remove_hard", "hardware=cpu"), {}, ("small_without_hard.parquet", "data_prep.curriculum")),
    (("drg_sapphire/no_kl", "hardware=cpu", "trainer.v1.medcode.kl_schedule=cosine"), {}, ("use_kl_loss",)),
    ((RECIPE, "hardware=cpu"), {"HANG_SECONDS": "soon"}, ("HANG_SECONDS", "soon")),
    ((RECIPE, "hardware=cpu"), {"TMPDIR": "/nonexistent"}, ("temporary folder", "TMPDIR")),
]


@pytest.mark.parametrize(("words", "environment", "said"), BAD_INPUT, ids=lambda value: str(value)[-60:])
def test_bad_input_is_one_sentence_before_anything_starts(
    world: World, tmp_path: Path, words: tuple[str, ...], environment: dict[str, str], said: tuple[str, ...]
) -> None:
    done = refused(*words, **{**world.environment(tmp_path / "runs"), **environment})
    assert_refused(done, *said)
    assert not list((tmp_path / "runs").rglob("run.json"))


def test_the_launcher_ends_with_the_sentence_of_its_check(world: World, tmp_path: Path) -> None:
    words, _, said = BAD_INPUT[0]
    assert_refused(run_process("bash", "recipes/launch.sh", *words, **world.environment(tmp_path)), *said)
    assert not list(tmp_path.iterdir())


def test_paths_that_a_user_gives_count_from_where_he_stands(world: World, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def compute_score(*_, **__): return 0\n")
    (tmp_path / "world").symlink_to(world.data.parent)
    places = {"DATA_DIR": "world/data", "MODEL_PATH": "world/model", "RUNS_DIR": "runs", "HANG_SECONDS": "soon"}
    words = ("hardware=cpu", "name=here", "data.val_files=world/data/drg/test_small.parquet")
    own = ("reward.custom_reward_function.path=mine.py", "~reward.custom_reward_function.reward_kwargs")
    done = run_process("bash", ROOT / "recipes/launch.sh", RECIPE, *words, *own, cwd=tmp_path, **places)
    assert_refused(done, "HANG_SECONDS")  # the last thing that is looked at: everything else was found
    assert "ready to run" in done.stderr and (tmp_path / "runs" / RECIPE / "here").is_dir()
    missing = run_process(
        "bash", ROOT / "recipes/launch.sh", RECIPE, words[0], cwd=tmp_path, **{**places, "DATA_DIR": "no"}
    )
    assert_refused(missing, str(tmp_path / "no/drg/rl"))


def test_an_environment_that_lacks_a_package_is_set_up_by_make_setup(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("recipes.launcher.check_machine.version", lacks)
    for hardware, kind in (("cpu", "cpu"), ("h100x4", "gpu")):
        done = run_command("recipes.check", RECIPE, f"hardware={hardware}")
        assert_refused(done, "is not installed in this environment", f"run `make setup ACCEL={kind}`")


def test_a_model_folder_without_tokenizer_is_refused(world: World, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((world.model / name).read_bytes())
    done = run_command(
        "recipes.check", RECIPE, "hardware=cpu", **{"DATA_DIR": str(world.data)}, MODEL_PATH=str(tmp_path)
    )
    assert_refused(done, str(tmp_path), "tokenizer")


def test_a_run_that_would_fill_the_disk_is_refused(world: World, tmp_path: Path) -> None:
    kept = "trainer.max_actor_ckpt_to_keep=100000000"  # of some megabytes each
    done = run_command("recipes.check", RECIPE, "hardware=cpu", kept, **world.environment(tmp_path))
    assert_refused(done, "GB", "RUNS_DIR")
