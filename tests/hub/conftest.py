import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from huggingface_hub.utils._xet import XetSessionHolder

from tests.hub.small_release import write_folder
from tests.hub.stand_in import TOKEN, HubStandIn


@pytest.fixture
def mode(request: pytest.FixtureRequest) -> str:
    """How the client uploads large files: `xet`, as it does today, or `lfs` where a test is parametrized so."""
    return str(getattr(request, "param", "xet"))


@pytest.fixture
def xet_environment(mode: str, tmp_path: Path) -> dict[str, str]:
    """Environment for hf_xet: a cache of its own, no waits between its tries."""
    return {
        "HF_HUB_DISABLE_XET": str(int(mode == "lfs")),
        "HF_XET_CACHE": str(tmp_path / "xet"),
        "HF_XET_CLIENT_RETRY_BASE_DELAY": "1ms",
        "HF_XET_TELEMETRY_ENABLED": "0",
    }


@pytest.fixture
def hub(
    monkeypatch: pytest.MonkeyPatch, mode: str, xet_environment: dict[str, str]
) -> Iterator[HubStandIn]:
    """A running stand-in for the Hub; waits between tries, ours and the client's, take no time in this process."""
    # The client reads the variable of the same name when it is imported, and hf_xet its own when a session begins.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", mode == "lfs")
    monkeypatch.setattr("huggingface_hub.utils._xet._GLOBAL_XET_HOLDER", XetSessionHolder())
    for name, value in xet_environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("time.sleep", lambda _: None)
    with HubStandIn() as running:
        yield running


@pytest.fixture
def hub_environment(
    hub: HubStandIn, xet_environment: dict[str, str], tmp_path: Path
) -> dict[str, str]:
    """Environment for a child process whose Hub is the stand-in: the client reads these when it is imported."""
    return {
        **os.environ,
        **xet_environment,
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(tmp_path / "hf_home"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture
def run_python(hub_environment: dict[str, str]) -> Callable[[str], str]:
    """Run a script in a child process against the stand-in and return what it prints."""

    def run(script: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=hub_environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def run_killed(hub: HubStandIn, hub_environment: dict[str, str]) -> Callable[..., None]:
    """Run a script in a child process, and kill it just before or after a request takes effect."""

    def run(command: list[str], request_line: str, *, after: bool) -> None:
        process = subprocess.Popen(command, env=hub_environment, stderr=subprocess.PIPE)
        plan = hub.run_after if after else hub.run_before
        plan(request_line, process.kill)
        process.communicate()
        assert process.returncode == -signal.SIGKILL

    return run


@pytest.fixture
def api(hub: HubStandIn) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=TOKEN)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "release", 20)
