import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stand_in import TOKEN, HubStandIn


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    """A running stand-in for the Hub; waits between tries, ours and the client's, take no time in this process."""
    # The stand-in does not speak Xet; the variable of the same name is read when the client is imported.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("time.sleep", lambda _: None)
    with HubStandIn() as running:
        yield running


@pytest.fixture
def hub_environment(hub: HubStandIn, tmp_path: Path) -> dict[str, str]:
    """Environment for a child process whose Hub is the stand-in: the client reads these when it is imported."""
    return {
        **os.environ,
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(tmp_path / "hf_home"),
        "HF_HUB_DISABLE_XET": "1",
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
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
