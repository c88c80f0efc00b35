"""Chat prompts in, completions out: a Ray Data pipeline over a pool of vLLM engines, one per GPU or one on a CPU.

    with ray_session() as gpus:
        for block in complete(blocks, "models/mine", settings, gpus): ...     # eval.generation.filling.settings

A block is an Arrow table with the columns `index` (int) and `prompt` (a chat); it comes back without `prompt` and with
`completions`, `n_tokens` and `finish_reason`, lists of one entry per sample, and `ready`, the time at which its engine
was up and had work. Blocks come back as they are done.
"""

import copy
import gc
import hashlib
import os
import queue
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from common.commands import UserError
from eval.generation.parts import SCHEMA

# Sequences that an engine decodes at once. Twice as many are handed to it, so that it stays full from block to block.
SEQUENCES_ON_CPU, SEQUENCES_ON_GPU = 256, 512
TOLD = "generate.log tells the whole story"

Sample = tuple[str, int, str]  # text, number of tokens, reason of the end
Chat = list[dict[str, str]]
Request = tuple[str, dict[str, list[int]], Any]  # name, prompt, SamplingParams


def complete(
    blocks: Sequence[pa.Table], model: str, settings: dict[str, Any], gpus: int, shared_by: int = 1
) -> Iterator[pa.Table]:
    """Give each block back with the completions of a local model folder, as soon as it is done; so many GPUs share an
    engine."""
    import ray.data
    from ray.exceptions import RayError

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.raise_original_map_exception = True
    sequences = SEQUENCES_ON_GPU if gpus else SEQUENCES_ON_CPU
    at_once = calls(blocks, sequences, settings)
    pool = ray.data.ActorPoolStrategy(
        size=max(1, min(gpus // shared_by, len(blocks))),
        max_concurrent_calls_per_actor=at_once,
        max_tasks_in_flight_per_actor=at_once + 1,
        enable_true_multi_threading=True,  # Engine.__call__ waits for its rows while one thread drives vLLM
    )
    done = ray.data.from_arrow(list(blocks)).map_batches(
        Engine,
        batch_size=max(block.num_rows for block in blocks),
        batch_format="pyarrow",
        compute=pool,
        fn_constructor_args=(model, settings, sequences, shared_by, 0 if gpus else threads()),
        num_cpus=1,
        num_gpus=shared_by if gpus else 0,
        max_restarts=1,  # Ray Data's default brings an engine back for ever
    )
    try:
        yield from done.iter_batches(batch_size=None, batch_format="pyarrow")
    except RayError as error:
        traceback.print_exception(error)  # for generate.log
        raise UserError(sentence(error, model)) from error


def calls(blocks: Sequence[pa.Table], sequences: int, settings: dict[str, Any]) -> int:
    """Blocks that an engine has at once, so that it stays full from one to the next."""
    return 1 + -(-2 * sequences // (max(block.num_rows for block in blocks) * settings["sampling"]["n"]))


def threads() -> int:
    """Threads of an engine on a CPU."""
    return int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))


def on_cpu(model: str) -> dict[str, Any]:
    """What an engine is told on a CPU, where vLLM cannot rewind the generator of a seeded request whose prompt is
    prefilled in pieces: the longest must fit in one step, which takes as many tokens as the model's context."""
    from transformers import AutoConfig

    longest = AutoConfig.from_pretrained(model).max_position_embeddings
    return {"enforce_eager": True, "enable_chunked_prefill": False, "max_num_batched_tokens": max(4096, longest)}


@dataclass(eq=False)
class Call:
    """A block that is being answered. Its caller is woken once: every waking takes the interpreter from vLLM."""

    rows: list[dict[str, Any]]  # index and prompt
    answers: dict[str, Any] = field(default_factory=dict)
    whole: Future = field(default_factory=Future)

    def answer(self, output: Any) -> None:
        """Keep what one request got."""
        self.answers[output.request_id] = output
        if len(self.answers) == len(self.rows):
            self.whole.set_result([self.answers[f"{row['index']}"].outputs for row in self.rows])


class Engine:
    """One vLLM engine. Calls from several threads share it: each hands in its rows and waits for them."""

    def __init__(self, model: str, settings: dict[str, Any], sequences: int, gpus: int, cpu_threads: int) -> None:
        os.environ.update(environment(cpu_threads))
        from vllm import EngineArgs, LLMEngine, SamplingParams
        from vllm.sampling_params import RequestOutputKind
        from vllm.usage.usage_lib import UsageContext

        self.model, self.settings = model, settings
        options = {
            "model": model,
            "dtype": settings["dtype"],
            # of prompt and completion; -1: all that the model takes and the memory has room for
            "max_model_len": settings.get("context", -1),
            "generation_config": "vllm",  # never the checkpoint's: sampling is what the settings say
            "enable_prefix_caching": True,
            "max_num_seqs": sequences,
            "disable_log_stats": True,
            "tensor_parallel_size": gpus,
            "distributed_executor_backend": "mp" if gpus > 1 else None,  # here, not by asking Ray for the GPUs again
        }
        asked = EngineArgs(**options | (on_cpu(model) if cpu_threads else {}))
        # the context of vLLM's own LLM decides how many tokens a step takes: 16,384 on a large GPU, not 2,048
        config = asked.create_engine_config(UsageContext.LLM_CLASS)
        self.longest = config.model_config.max_model_len
        self.engine = LLMEngine.from_vllm_config(config, UsageContext.LLM_CLASS, disable_log_stats=True)
        self.room = self.engine.model_config.max_model_len  # less than the longest where the memory is small
        self.tokenizer = self.engine.get_tokenizer()
        self.params = SamplingParams(**settings["sampling"], output_kind=RequestOutputKind.FINAL_ONLY)
        self.inbox: queue.SimpleQueue[Call] = queue.SimpleQueue()
        self.waiting: dict[str, Call] = {}
        gc.freeze()  # the hundred thousands of objects of torch and vLLM stay, and need not be looked through again
        threading.Thread(target=self._drive, daemon=True).start()
        self.ready: float | None = None

    def __call__(self, block: pa.Table) -> pa.Table:
        self.ready = self.ready or time.time()
        call = Call(block.select(["index", "prompt"]).to_pylist())
        self.inbox.put(call)  # all at once: prompts that come one by one make vLLM take steps for a few of them
        samples = [[(one.text, len(one.token_ids), one.finish_reason) for one in row] for row in call.whole.result()]
        return answered(block, samples).append_column("ready", pa.array([self.ready] * len(samples)))

    def requests(self, cases: Sequence[tuple[int, Chat]]) -> list[Request]:
        """What vLLM is handed for these (index, chat)."""
        tokens = prompts_as_tokens(self.tokenizer, [chat for _, chat in cases], self.settings["prefill"])
        return [self._request(index, prompt) for (index, _), prompt in zip(cases, tokens, strict=True)]

    def _request(self, index: int, tokens: list[int]) -> Request:
        if len(tokens) >= self.longest:
            raise UserError(
                f"the prompt of case {index} has {len(tokens)} tokens and {self.model} takes {self.longest} with "
                "the completion; prepare the data with a smaller --max-prompt-tokens"
            )
        needed = min(len(tokens) + self.params.max_tokens, self.longest)
        if needed > self.room:
            raise UserError(
                f"case {index} may take {needed} tokens with its completion, and beside {self.model} there is room for "
                f"{self.room}; let more GPUs share it (--tensor-parallel 2) or lower --max-tokens"
            )
        params = copy.copy(self.params)  # vLLM clones it itself, which is deep and slow
        params.seed = request_seed(self.settings["seed"], index)
        return f"{index}", {"prompt_token_ids": tokens}, params

    def _drive(self) -> None:
        """Feed vLLM and collect what it finishes, for ever; an error reaches every call that waits."""
        try:
            while True:
                self._take()
                for output in self.engine.step():
                    if output.finished:
                        self.waiting.pop(output.request_id).answer(output)
        except BaseException as error:
            for call in set(self.waiting.values()):
                call.whole.set_exception(error)
            while True:  # nobody may wait for an engine that is gone
                self.inbox.get().whole.set_exception(error)

    def _take(self) -> None:
        """Hand vLLM what came. Prompts become tokens in this thread: in another one, vLLM's would lose the interpreter
        to it at every operation."""
        while not self.inbox.empty() or not self.waiting:
            call = self.inbox.get()
            try:
                requests = self.requests([(row["index"], row["prompt"]) for row in call.rows])
            except UserError as error:
                call.whole.set_exception(error)
                continue
            self.waiting |= dict.fromkeys((name for name, *_ in requests), call)
            for request in requests:
                self.engine.add_request(*request)


def answered(cases: pa.Table, samples: list[list[Sample]]) -> pa.Table:
    """The cases with their samples in the place of the prompts."""
    made = cases.drop_columns(["prompt"])
    for at, name in enumerate(("completions", "n_tokens", "finish_reason")):
        values = [[sample[at] for sample in row] for row in samples]
        made = made.append_column(name, pa.array(values, SCHEMA.field(name).type))
    return made


def prompts_as_tokens(tokenizer: Any, chats: Sequence[Chat], prefill: str = "") -> list[list[int]]:
    """What the model is given: the chats in its own template, and what opens the answer. At once, because the tokenizer
    then leaves the interpreter to others and may take all cores."""
    texts = tokenizer.apply_chat_template(list(chats), tokenize=False, add_generation_prompt=True)
    return tokenizer([text + prefill for text in texts], add_special_tokens=False)["input_ids"]


def prompt_tokens(tokenizer: Any, chat: Chat, prefill: str = "") -> list[int]:
    """The same of one chat."""
    return prompts_as_tokens(tokenizer, [chat], prefill)[0]


def request_seed(seed: int, index: int) -> int:
    """The seed of a prompt, the same in every run; vLLM gives its samples this one, the next one, and so on."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{index}".encode(), digest_size=4).digest())


def environment(cpu_threads: int) -> dict[str, str]:
    """vLLM reads these when it is imported; the model is a local folder, so nothing needs the network."""
    settings = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "TOKENIZERS_PARALLELISM": "true"}
    if cpu_threads:
        settings |= {
            "TOKENIZERS_PARALLELISM": "false",  # the cores are the engine's
            "OMP_NUM_THREADS": str(cpu_threads),
            "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin cost most of the speed when others use the cores
            "VLLM_CPU_KVCACHE_SPACE": os.environ.get("VLLM_CPU_KVCACHE_SPACE", "1"),
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # a second process would import vLLM again
        }
    return settings


def sentence(error: BaseException, model: str) -> str:
    """What went wrong in an engine: our own sentence, or the last line of the error that Ray brings."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, UserError):
        return str(cause).splitlines()[0]  # Ray Data adds lines about its retries
    last = [line.strip() for line in str(error).splitlines() if line.strip()][-1:]
    return f"vLLM failed on {model}: {' '.join(last)}; {TOLD}"
