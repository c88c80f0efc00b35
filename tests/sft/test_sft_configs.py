"""Every SFT, DPO and trace configuration of the papers composes, says what the paper says, and is named by its file."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from common.commands import UserError
from recipes.launcher.compose import compose
from sft import classify, dpo, train
from sft.tracing.settings import parse as traces
from sft.training import settings, start

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
PRM = RECIPES / "clinical_prm/sft"  # tests/sft/test_prm.py reads these
CLASSIFIERS = {"drg_llama", "classifier", "classifier_tiny"}  # tests/sft/test_classify.py reads these
SFT = sorted(
    path
    for path in RECIPES.glob("*/sft/*.yaml")
    if path.stem[0] != "_" and path.parent != PRM and path.stem not in CLASSIFIERS
)
TRACES = sorted(path for path in RECIPES.glob("*/traces/*.yaml") if path.stem[0] != "_")
PAPER = {  # drg_sapphire B.3 and A.7, deepicd_r1 "Training": epochs, rate, cases a step on 4 GPUs
    "drg_sapphire": (3, 4e-5, 64),
    "deepicd_r1": (1, 2e-5, 32),
    "codiesp": (8, 2e-4, 16),  # our own
    "drg_sapphire/cold": (9, 4e-5, 64),
    "drg_sapphire/cold_lr_3e-6": (9, 3e-6, 64),
    "drg_sapphire/cold_1_epoch": (1, 4e-5, 64),
    "drg_sapphire/differential": (9, 4e-5, 64),
    "drg_sapphire/staged_dpo": (3, 3e-6, 64),
}


@pytest.fixture(autouse=True)
def default_places(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATA_DIR", "RUNS_DIR", "MODEL_PATH", "BASE_MODEL", "TRACES", "TRACE_MODEL"):
        monkeypatch.delenv(name, raising=False)


ON_CPU = ("--hardware", "cpu")


def parsed(path: Path, *flags: str) -> tuple[Any, Any]:
    from trl import DPOConfig, SFTConfig

    kinds = (dpo.Source, DPOConfig) if "dpo" in path.stem else (settings.Source, SFTConfig)
    return settings.parse(["--config", str(path), *flags], *kinds, train.__doc__)


def ids(path: Path) -> str:
    return f"{path.parent.parent.name}/{path.stem}"


@pytest.mark.parametrize("path", SFT, ids=ids)
def test_an_sft_configuration_is_that_of_the_paper(path: Path) -> None:
    paper = path.parent.parent.name
    source, config = parsed(path, *ON_CPU)
    if path.stem == "tiny":
        return
    epochs, rate, batch = PAPER.get(f"{paper}/{path.stem}", PAPER[paper])
    assert (config.num_train_epochs, config.learning_rate) == (epochs, rate)
    assert source.name == path.stem and config.output_dir == f"runs/{paper}/sft/{path.stem}"
    written = yaml.safe_load((path.parent / "_base.yaml").read_text()) | yaml.safe_load(path.read_text())
    assert written["global_batch"] == batch and batch % (8 * written["per_device_train_batch_size"]) == 0
    assert path.read_text().startswith("# ") and "GB" in path.read_text().split("\nbase:")[0]


@pytest.mark.parametrize("path", TRACES, ids=ids)
def test_a_trace_configuration_composes(path: Path) -> None:
    wanted = traces(["--config", str(path)], train.__doc__)
    assert wanted.name == path.stem
    assert f"{wanted.task}_{wanted.style}" in wanted.out


@pytest.mark.parametrize("name", ["cold", "small_50", "small_95", "full_50", "full_90", "differential"])
def test_sft_reads_the_traces_that_the_configuration_of_that_name_writes(name: str) -> None:
    reads, _ = parsed(RECIPES / f"drg_sapphire/sft/{name}.yaml", "--use_cpu", "true", "--bf16", "false")
    writes = traces(["--config", str(RECIPES / f"drg_sapphire/traces/{name}.yaml")], train.__doc__)
    assert reads.traces == f"{writes.out}/traces.parquet" and reads.cases == writes.data


def test_flags_sweep_a_configuration_without_a_file_and_grpo_starts_from_it() -> None:
    flags = ("--name", "cold_lr_1e-5", "--learning_rate", "1e-5")
    source, config = parsed(RECIPES / "drg_sapphire/sft/cold_lr_3e-6.yaml", *ON_CPU, *flags)
    assert config.output_dir == "runs/drg_sapphire/sft/cold_lr_1e-5" and config.learning_rate == 1e-5
    assert source.cases == "outputs/demo/data/drg/sft/cold.parquet"
    assert compose("drg_sapphire/dense", ["study.sft=cold_lr_1e-5"]).study.start == config.output_dir


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*/sft/*.yaml")), ids=ids)
def test_a_configuration_of_a_classifier_is_read_by_its_command(path: Path) -> None:
    from transformers import TrainingArguments

    written = yaml.safe_load(path.read_text())
    named = {path.stem, str(written.get("base")).removesuffix(".yaml")} & CLASSIFIERS
    assert bool(named) == (path.stem in CLASSIFIERS)
    if named:
        flags = ["--config", str(path), *ON_CPU]
        source, config = settings.parse(flags, classify.Source, TrainingArguments, train.__doc__)
        assert source.note_tokens == 512 and config.output_dir.endswith(f"sft/{path.stem}") and source.dev
        assert config.metric_for_best_model in ("loss", "micro_f1") and config.load_best_model_at_end


def test_hardware_files_name_keys_that_sft_or_dpo_reads() -> None:
    from trl import DPOConfig, SFTConfig

    known = {key for kind in (settings.Source, SFTConfig, dpo.Source, DPOConfig) for key in kind.__dataclass_fields__}
    for path in settings.HARDWARE.glob("*.yaml"):
        assert set(yaml.safe_load(path.read_text())) <= known


@pytest.mark.parametrize("path", sorted((RECIPES / "accelerate").glob("*.yaml")), ids=lambda path: path.stem)
def test_an_accelerate_profile_is_read_by_accelerate(path: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    found = load_config_from_file(str(path))
    assert found.num_processes == int(path.stem.rpartition("x")[2]) and found.fsdp_config["fsdp_version"] == 2


def test_adapters_are_off_unless_asked_for() -> None:
    source, _ = parsed(RECIPES / "drg_sapphire/sft/cold.yaml", *ON_CPU)
    assert start.adapters(source) is None
    source, _ = parsed(RECIPES / "drg_sapphire/sft/cold.yaml", *ON_CPU, "--lora_rank", "16")
    assert start.adapters(source).r == 16


@pytest.mark.parametrize(("rows", "steps"), [(16, 4), (32, 2), (64, 1)])
def test_accumulation_makes_the_global_batch(rows: int, steps: int) -> None:
    flags = (*ON_CPU, "--global_batch", "64", "--per_device_train_batch_size", str(rows))
    source, config = parsed(RECIPES / "drg_sapphire/sft/cold.yaml", *flags)
    start.share(source, config)
    assert config.gradient_accumulation_steps == steps and config.world_size == 1
    for more in (("--global_batch", "63"), ("--gradient_accumulation_steps", "8"), ("--global_batch", "8")):
        source, config = parsed(RECIPES / "drg_sapphire/sft/cold.yaml", *flags, *more)
        with pytest.raises(UserError, match=r"is no whole number of micro-batches: 1 GPUs x .*global_batch 0"):
            start.share(source, config)


@pytest.mark.parametrize("path", SFT, ids=ids)
def test_no_gpu_holds_whole_gradients(path: Path) -> None:
    """What accelerate and transformers read: gradients are shared out after every micro-batch."""
    _, config = parsed(path, *ON_CPU)
    kwargs = config.accelerator_config.gradient_accumulation_kwargs or {}
    assert kwargs.get("sync_each_batch") or path.stem == "tiny"


def test_examples_are_packed_only_where_flash_attn_takes_them() -> None:
    source, config = parsed(RECIPES / "drg_sapphire/sft/cold.yaml", *ON_CPU, "--padding_free", "true",
                            "--per_device_train_batch_size", "4", "--global_batch", "64")  # fmt: skip
    start.share(source, config)
    assert start.attention() == "sdpa" and not config.padding_free
    assert (config.per_device_train_batch_size, config.gradient_accumulation_steps) == (1, 64)
