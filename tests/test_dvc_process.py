"""A stage ends with the DVC that started it, and an early Ctrl-C is one line."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

STAGE = """
import os, time
from pathlib import Path
import stillhouse.stage as stage
stage.refuse_stale_stage = lambda: None
@stage.stage_command
def main():
    Path("pid").write_text(str(os.getpid()))
    try:
        time.sleep(600)
    finally:
        Path("cleaned").touch()
main()
"""
SECONDS = 120  # far more than DVC needs to start a stage on a busy machine


def wait_for(path: Path) -> str:
    """Return the text of a file as soon as it has one."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if path.is_file() and (text := path.read_text(encoding="utf-8")):
            return text
        time.sleep(0.05)
    raise AssertionError(f"{path} was not written")


@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGKILL])
def test_a_stage_ends_and_cleans_up_when_dvc_is_ended(
    tmp_path: Path, ended_by: signal.Signals
) -> None:
    (tmp_path / "stage.py").write_text(STAGE, encoding="utf-8")
    (tmp_path / "dvc.yaml").write_text(
        f"stages: {{wait: {{cmd: {sys.executable} stage.py && echo done}}}}\n", encoding="utf-8"
    )
    subprocess.run(["dvc", "init", "--no-scm", "--quiet"], cwd=tmp_path, check=True)
    dvc = subprocess.Popen(
        ["dvc", "repro"], cwd=tmp_path, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    wait_for(tmp_path / "pid")
    dvc.send_signal(ended_by)
    dvc.wait(timeout=SECONDS)
    deadline = time.monotonic() + SECONDS
    while not (tmp_path / "cleaned").exists():
        assert time.monotonic() < deadline, "the stage runs on as an orphan"
        time.sleep(0.05)


INTERRUPTED_IMPORT = """
import signal, stillhouse
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background has it ignored
signal.raise_signal(signal.SIGINT)
"""


def test_ctrl_c_during_the_imports_of_a_stage_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IMPORT],
        env=os.environ | {"DVC_STAGE": "generate@worked"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == "interrupted before the stage began\n"
    assert done.returncode == -signal.SIGINT  # 130 in a shell


def test_the_library_itself_leaves_the_hook_of_its_user_alone() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "DVC_STAGE"}
    code = "import sys, stillhouse; assert sys.excepthook is sys.__excepthook__"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
