"""A plug-in that breaks the weight sync: vLLM is told that new weights have come and keeps those it has."""

import types

import wrapt


def drop_received_weights(transfer: types.ModuleType) -> None:
    receive = transfer.BucketedWeightReceiver.receive_weights
    transfer.BucketedWeightReceiver.receive_weights = lambda self, on_bucket: receive(self, lambda weights, last: None)


wrapt.register_post_import_hook(drop_received_weights, "verl.workers.rollout.vllm_rollout.bucketed_weight_transfer")
