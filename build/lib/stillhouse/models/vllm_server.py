"""Starts a vLLM server for a local model in its own process group, waits until it is ready, and stops the group.

The server gets the same arguments as vLLM in process (models/vllm_engine.py), so that a model gives the same answers
behind an endpoint. vLLM's own command line is not used: `vllm serve` does not start under the CPU build.
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
from stillhouse.params.teacher import TeacherRuntime

MODULE = "vllm.entrypoints.openai.api_server"
POLL_SECONDS = 0.5  # interval of the checks whether the server is ready or has exited
REPORT_SECONDS = 15.0  # interval of the progress lines while the model loads
STOP_SECONDS = 20.0  # time for the server to exit after a signal; then it is killed
SHOWN_LINES = 12  # last lines of the log that are shown if the server exited
_EVERYWHERE = ("0.0.0.0", "::")


def server_arguments(
    load: Load, runtime: TeacherRuntime, chat_template: str | None, host: str, port: int
) -> list[str]:
    """Return the command-line flags of the server.

    The model is served under the name in the teacher's file. `--generation-config vllm` ignores the default sampling
    that a model ships with: a parameter that a request leaves out is then off, as in process.

    Args:
        load: The model to load.
        runtime: The settings of vLLM.
        chat_template: A file that replaces the model's chat template.
        host: The address to listen on.
        port: The port to listen on.

    Raises:
        EngineError: vLLM is not installed.
        WeightsError: the weights do not exist.
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
    """A running server. As a context manager it is stopped at the end, also after an error."""

    def __init__(
        self,
        load: Load,
        runtime: TeacherRuntime,
        *,
        chat_template: str | None = None,
        host: str = "127.0.0.1",
        port: int = 8000,
    ) -> None:
        """Start the server; `wait` returns when it answers requests.

        Args:
            load: The model to load.
            runtime: The settings of vLLM.
            chat_template: A file that replaces the model's chat template.
            host: The address to listen on.
            port: The port to listen on.

        Raises:
            EngineError: the port is in use, or vLLM is not installed.
            WeightsError: the weights do not exist.
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
                start_new_session=True,  # Ctrl-C then signals only this process, and one signal ends the group
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

    def wait(self, report: Callable[[str], None]) -> None:
        """Block until the server answers requests; `report` gets a progress line every `REPORT_SECONDS`.

        Raises:
            EngineError: the server exited; the message ends with the last lines of its log.
        """
        started = reported = time.monotonic()
        while not self._answers():
            self._check_alive()
            time.sleep(POLL_SECONDS)
            if (now := time.monotonic()) - reported >= REPORT_SECONDS:
                reported = now
                report(f"loading {self._model}: {now - started:.0f} s, log in {self.log}")
        self._check_alive()  # otherwise another server answers at this port

    def watch(self) -> None:
        """Block until the server exits.

        Raises:
            EngineError: the server exited.
        """
        while True:
            self._check_alive()
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Stop the server, and kill those of its children that did not end with it."""
        try:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        finally:
            self._signal(signal.SIGKILL)  # to the remaining processes of the group
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _answers(self) -> bool:
        health = self.url.removesuffix("/v1") + "/health"
        # A request to the same machine must not go through a proxy.
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
            f"the server of {self._model} exited with code {code}; its log, {self.log}, ends with:\n{last}"
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
