"""A vLLM server in a process group of its own: started for a local model, waited for, and stopped with its children.

It is started with what vLLM in process is started with (models/vllm_engine.py), so that the same model answers in the
same way behind an endpoint. vLLM's own command line is not used: under the CPU build `vllm serve` does not start.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from types import TracebackType

from stillhouse.models.engine import EngineError
from stillhouse.models.vllm_engine import Load, engine_arguments, engine_environment
from stillhouse.models.weights import cache_folder
from stillhouse.params import TeacherRuntime

MODULE = "vllm.entrypoints.openai.api_server"
LOOK_SECONDS = 0.5  # between looks at whether the server is ready or has died
TELL_SECONDS = 15.0  # between lines that say that it is still loading
STOP_SECONDS = 20.0  # for a server to end by itself; then it is killed
SHOWN_LINES = 12  # of the log of a server that died
_EVERYWHERE = ("0.0.0.0", "::")


def server_arguments(
    load: Load, runtime: TeacherRuntime, chat_template: str | None, host: str, port: int
) -> list[str]:
    """Return the flags of the server.

    The model is served under the name that a teacher's file gives it. `--generation-config vllm` keeps the sampling
    that a model ships as its default out of the requests: what a request leaves out is then off, as in process.

    Raises:
        EngineError: vLLM is not installed.
        WeightsError: there are no such weights.
    """
    flags = ["--host", host, "--port", str(port), "--served-model-name", load.model]
    flags += ["--generation-config", "vllm", "--no-enable-log-requests"]
    if chat_template is not None:
        flags += ["--chat-template", chat_template]
    for name, value in engine_arguments(load, runtime).items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            flags.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None:
            flags += [f"--{flag}", str(value)]
    return flags


class VllmServer:
    """A running server; as a context manager it is stopped at the end, whatever happened."""

    def __init__(
        self,
        load: Load,
        runtime: TeacherRuntime,
        *,
        chat_template: str | None = None,
        host: str = "127.0.0.1",
        port: int = 8000,
    ) -> None:
        """Start it; `wait` returns when it answers.

        Raises:
            EngineError: the port is taken, or vLLM is not installed.
            WeightsError: there are no such weights.
        """
        _check_free(host, port)
        flags = server_arguments(load, runtime, chat_template, host, port)
        self.url = f"http://{'127.0.0.1' if host in _EVERYWHERE else host}:{port}/v1"
        self.log = cache_folder() / "serve" / f"{port}.log"
        self._model = load.model
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", MODULE, *flags],
                env={**engine_environment(load, runtime), **os.environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches us alone, and one signal reaches all of them
            )

    def __enter__(self) -> "VllmServer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def wait(self, tell: Callable[[str], None]) -> None:
        """Return when the server answers; `tell` gets a line now and then until it does.

        Raises:
            EngineError: it died; the message ends with the last lines of its log.
        """
        started = told = time.monotonic()
        while not self._answers():
            self._check_alive()
            time.sleep(LOOK_SECONDS)
            if (now := time.monotonic()) - told >= TELL_SECONDS:
                told = now
                tell(f"loading {self._model}: {now - started:.0f} s, log in {self.log}")
        self._check_alive()  # or else somebody else's server answers at this port

    def watch(self) -> None:
        """Return never while the server lives.

        Raises:
            EngineError: it died.
        """
        while True:
            self._check_alive()
            time.sleep(LOOK_SECONDS)

    def stop(self) -> None:
        """Stop the server, and kill whichever of its children have not ended with it."""
        try:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        finally:
            self._signal(signal.SIGKILL)  # whoever is left of the group
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _answers(self) -> bool:
        health = self.url.removesuffix("/v1") + "/health"
        # No proxy stands between this machine and itself.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(health, timeout=5) as reply:
                return bool(reply.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def _check_alive(self) -> None:
        code = self._process.poll()
        if code is None:
            return
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        last = "\n".join(f"  {line}" for line in lines[-SHOWN_LINES:])
        raise EngineError(
            f"the server of {self._model} ended with code {code}; its log, {self.log}, ends with:\n{last}"
        )


def _check_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise EngineError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another --port"
        ) from None
