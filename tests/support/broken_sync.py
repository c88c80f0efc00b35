"""A plug-in that breaks the weight sync: vLLM is told that new weights have come and keeps those it has."""

import types
from collections.abc import Callable
from typing import Any

import wrapt


def drop_received_weights(transfer: types.ModuleType) -> None:
    receive = transfer.BucketedWeightReceiver.receive_weights

    def receive_weights(self: Any, on_bucket_received: Callable[[list, bool], None]) -> None:
        receive(self, lambda weights, is_last: None)

    transfer.BucketedWeightReceiver.receive_weights = receive_weights


wrapt.register_post_import_hook(drop_received_weights, "verl.workers.rollout.vllm_rollout.bucketed_weight_transfer")
