"""Every upstream name and key that verl_ext and the recipes rely on: a version that moves one of them fails here."""

import ast
import importlib
import importlib.metadata
import inspect

import pytest

from recipes.launcher.check_config import KEYS as KNOWN
from recipes.launcher.compose import compose, leaves, unresolved, verl_defaults
from tests.conftest import ROOT
from verl_ext import VERL_VERSION

SYMBOLS = [
    ("verl.plugin.platform.platform_base", "PlatformBase"),
    ("verl.plugin.platform.platform_manager", "PlatformRegistry.register"),
    ("verl.workers.engine.base", "EngineRegistry.get_engine_cls"),
    ("verl.workers.engine.fsdp.transformer_impl", "CPUOffloadPolicy"),
    ("verl.workers.rollout.vllm_rollout.bucketed_weight_transfer", "BucketedWeightReceiver.receive_weights"),
    ("verl.workers.rollout.vllm_rollout.bucketed_weight_transfer", "BucketedWeightSender.__init__"),
    ("vllm.model_executor.layers.utils", "dispatch_cpu_unquantized_gemm"),
    ("verl.trainer.main_ppo", "main"),
    ("verl.trainer.ppo.v1", "register_trainer"),
    ("verl.trainer.ppo.v1.trainer_sync", "PPOTrainerSync._build_replay_buffer"),
    ("verl.trainer.ppo.v1.trainer_sync", "PPOTrainerSync._update_actor"),
    ("verl.trainer.ppo.v1.trainer_sync", "PPOTrainerSync._compute_old_log_prob"),
    ("verl.trainer.ppo.v1.trainer_sync", "PPOTrainerSync._validate"),
    ("verl.trainer.ppo.v1.trainer_sync", "PPOTrainerSync._save_checkpoint"),
    ("verl.trainer.ppo.v1.trainer_sync", "PPOTrainerSync._compute_advantage"),
    ("verl.trainer.ppo.v1.trainer_base", "compute_advantage_for_multi_trajectories"),
    ("verl.trainer.ppo.rollout_corr_helper", "compute_rollout_correction_and_add_to_batch"),
    ("verl.workers.utils.padding", "response_from_nested"),
    ("verl.checkpoint_engine", "CheckpointEngineManager.sleep_replicas"),
    ("verl.trainer.ppo.v1.agent_loop_tq", "AgentLoopManagerTQ"),
    ("verl.trainer.ppo.v1.agent_loop_tq", "AgentLoopWorkerTQ.__ray_metadata__.modified_class._run_prompt"),
    ("verl.trainer.ppo.v1.agent_loop_tq", "AgentLoopWorkerTQ.__ray_metadata__.modified_class._agent_loop_postprocess"),
    ("verl.trainer.ppo.v1.agent_loop_tq", "_settle_session_tasks"),
    ("verl.trainer.ppo.v1.agent_loop_tq", "apply_greedy_sampling_params"),
    ("verl.workers.utils.losses", "ppo_loss"),
    ("verl.workers.engine_workers", "ActorRolloutRefWorker.set_loss_fn"),
    ("verl.utils.tracking", "FileLogger"),
]
# Source text on which a seam depends: where verl would no longer say this, the seam would silently do nothing.
SOURCES = [
    ("verl.workers.engine.base", "VERL_ENGINE_DEVICE"),
    ("verl.utils.distributed", 'f"cpu:gloo,{get_device_name()}:{get_nccl_backend()}"'),
    ("verl.workers.engine.fsdp.transformer_impl", "CPUOffloadPolicy(pin_memory=True)"),
    ("verl.workers.rollout.vllm_rollout.bucketed_weight_transfer", "on_bucket_received(weights, is_last)"),
    ("vllm.model_executor.layers.linear", "import dispatch_cpu_unquantized_gemm"),
    ("verl.trainer.ppo.v1.replay_buffer", "time.sleep(self.poll_interval)"),
    ("verl.trainer.ppo.v1.trainer_base", 'self.trainer_mode == "sync"'),
    ("verl.utils.tracking", "VERL_FILE_LOGGER_PATH"),
    ("verl.utils.tracking", "TENSORBOARD_DIR"),
    ("verl.trainer.ppo.v1.trainer_base", "ready to fit"),
    ("verl.trainer.ppo.v1.trainer_base", "output: KVBatchMeta = self.actor_rollout_wg.compute_log_prob(batch)"),
    ("verl.trainer.ppo.v1.trainer_base", "batch = self._compute_old_log_prob(batch, metrics=metrics)"),
    ("verl.trainer.ppo.v1.trainer_base", "rollout_corr_config is not None and"),
    (
        "verl.trainer.ppo.core_algos",
        'valid_response_length = batch["attention_mask"][:, prompt_length:].sum(dim=1) - 1',
    ),
    ("verl.trainer.ppo.v1.trainer_base", "val_metrics = self._validate()"),
    ("verl.workers.engine.fsdp.transformer_impl", "if not self.engine_config.entropy_checkpointing:"),
    ("verl.utils.checkpoint.fsdp_checkpoint_manager", "state_dict = get_fsdp_full_state_dict(self.model,"),
    ("verl.trainer.ppo.v1.trainer_base", "torch.save(self.train_dataloader.state_dict(), dataloader_local_path)"),
    ("verl.workers.utils.losses", 'metrics["kl_coef"] = config.kl_loss_coef'),
    ("verl.trainer.main_ppo", "agent_loop_manager_class"),
    ("verl.utils.debug.metrics", "training/rollout_actor_probs_pearson_corr"),
]
# Sections in which keys are added that verl's YAML does not hold, and what must exist for them to act.
KEYS = [
    "actor_rollout_ref.actor.fsdp_config.strategy",
    "actor_rollout_ref.actor.loss_agg_mode",
    "actor_rollout_ref.actor.use_kl_loss",
    "actor_rollout_ref.model.lora.merge",
    "skip.rollout_tq.dump_dir",
    "actor_rollout_ref.model.override_config",
    "actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes",
    "algorithm.norm_adv_by_std_in_grpo",
    "ray_kwargs.ray_init.num_cpus",
    "reward.custom_reward_function.path",
    "trainer.v1.trainer_mode",
    "transfer_queue.backend.SimpleStorage.num_data_storage_units",
]
FIELDS = [
    ("verl.workers.config", "FSDPEngineConfig", "mixed_precision"),
    ("verl.workers.config", "RolloutConfig", "enable_sleep_mode"),
]


@pytest.fixture(autouse=True)
def vllm_by_either_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """verl's vLLM modules look for a distribution called vllm when they are imported."""
    monkeypatch.setattr(importlib.metadata, "version", importlib.metadata.version)
    importlib.import_module("verl_ext.cpu").find_vllm_under_its_cpu_name()


def test_verl_is_imported_in_verl_ext_alone() -> None:
    for package in ("common", "data_prep", "eval", "recipes", "reward_fns", "sft"):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                assert not any(name.split(".")[0] == "verl" for name in names), file


def test_the_installed_verl_is_the_one_that_verl_ext_names() -> None:
    assert importlib.import_module("verl").__version__ == VERL_VERSION


@pytest.mark.parametrize(("module", "symbol"), SYMBOLS)
def test_upstream_symbol_exists(module: str, symbol: str) -> None:
    found = importlib.import_module(module)
    for name in symbol.split("."):
        found = getattr(found, name)


@pytest.mark.parametrize(("module", "text"), SOURCES)
def test_upstream_source_still_says(module: str, text: str) -> None:
    assert text in inspect.getsource(importlib.import_module(module))


@pytest.mark.parametrize("key", KEYS)
def test_configuration_key_exists(key: str) -> None:
    assert key in {".".join(path) for path, _ in leaves(unresolved(verl_defaults()))}


@pytest.mark.parametrize(("module", "dataclass", "name"), FIELDS)
def test_added_key_is_a_field_that_verl_reads(module: str, dataclass: str, name: str) -> None:
    assert name in inspect.signature(getattr(importlib.import_module(module), dataclass)).parameters


def test_the_trackers_that_a_recipe_may_name_are_verls() -> None:
    assert set(KNOWN["loggers"]) == set(importlib.import_module("verl.utils.tracking").Tracking.supported_backend)


def test_the_keys_that_have_a_least_value_exist() -> None:
    known = {".".join(path) for path, _ in leaves(unresolved(verl_defaults()))}
    assert KNOWN["least"].keys() <= known | set(KNOWN["added"])


def test_our_platform_answers_every_question_that_verl_asks() -> None:
    platform_base = importlib.import_module("verl.plugin.platform.platform_base")
    cpu = importlib.import_module("verl_ext.cpu")
    assert platform_base.PlatformBase.__abstractmethods__ and not cpu.CPU.__abstractmethods__
    assert cpu.CPU().get_device_capability() == (None, None)


def test_entropy_by_the_chunk_reaches_the_engine() -> None:
    """The key stands beside the engine's settings, and the engine reads its own."""
    chunked = compose("drg_sapphire/strict", ["actor_rollout_ref.actor.entropy_from_logits_with_chunking=true"])
    assert chunked.actor_rollout_ref.actor.fsdp_config.entropy_from_logits_with_chunking is True
    usual = compose("drg_sapphire/strict", []).actor_rollout_ref.actor
    assert usual.fsdp_config.entropy_from_logits_with_chunking is False
