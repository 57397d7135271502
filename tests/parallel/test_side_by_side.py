"""Stages side by side, in small DVC projects whose stages are shell commands."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

# A stage that ends only when another one is running at the same time.
MEETS = """
touch started_{me}
for i in $(seq 300); do test -e started_{other} && break; sleep 0.1; done
test -e started_{other}
mkdir -p all
echo {me} > all/{me}
"""


def project(stages: dict[str, dict[str, object]]) -> None:
    subprocess.run(["dvc", "init", "--no-scm", "--quiet"], check=True)
    Path("params.yaml").write_text("a: 1\n")
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))


def start(*arguments: str) -> "subprocess.Popen[str]":
    code = "from stillhouse.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "repro", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def repro(*arguments: str) -> tuple[int, str]:
    process = start(*arguments)
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


def meeting(me: str, other: str) -> dict[str, object]:
    return {"cmd": MEETS.format(me=me, other=other).strip().splitlines(), "outs": [f"all/{me}"]}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def test_independent_stages_run_at_the_same_time_and_a_fan_in_after_them() -> None:
    project(
        {
            "one": meeting("one", "two"),
            "two": meeting("two", "one"),
            "both": {"cmd": "cat all/one all/two > sum", "deps": ["all"], "outs": ["sum"]},
        }
    )
    code, output = repro("--jobs", "2")
    assert code == 0, output
    assert Path("sum").read_text() == "one\ntwo\n"
    assert output.index("[both] started") > max(
        output.index("[one] done"), output.index("[two] done")
    )
    assert "Data and pipelines are up to date." in output
    code, output = repro("--jobs", "2")
    assert code == 0
    assert "started" not in output


def test_a_failed_stage_starts_nothing_more_and_what_runs_is_finished() -> None:
    project(
        {
            "bad": {"cmd": "echo the reason; exit 3", "outs": ["bad"]},
            "good": {"cmd": "sleep 3; echo good > good", "outs": ["good"]},
            "after": {"cmd": "cat good > after", "deps": ["good"], "outs": ["after"]},
        }
    )
    code, output = repro("--jobs", "2")
    assert code == 2
    assert "[bad] the reason" in output
    assert "bad failed: the messages are above" in output
    assert Path("good").read_text() == "good\n"
    assert not Path("after").exists()
    assert "Traceback" not in output


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGKILL])
def test_no_stage_outlives_the_command(ended_by: signal.Signals) -> None:
    project(
        {
            name: {"cmd": f"echo $$ > pid_{name}; exec sleep 300", "outs": [name]}
            for name in ("one", "two")
        }
    )
    process = start("--jobs", "2")
    stages = [pid_in(Path(f"pid_{name}")) for name in ("one", "two")]
    dvcs = [parent_of(stage) for stage in stages]
    assert all("repro" in command_of(dvc) for dvc in dvcs)
    process.send_signal(ended_by)
    process.wait(timeout=90)
    assert gone(dvcs)
    if ended_by == signal.SIGINT:
        assert process.returncode == 130
        assert gone(stages)
    # After SIGKILL the kernel ends DVC; stages of ours watch their DVC (tests/test_dvc_process.py), sleep does not.
    for stage in stages:
        if alive(stage):
            os.kill(stage, signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    if ended_by == signal.SIGINT:
        assert output.rstrip().endswith("interrupted; run the same command to go on")


def test_a_neighbour_that_holds_the_lock_of_dvc_is_waited_for() -> None:
    project({"one": {"cmd": "echo 1 > one", "outs": ["one"]}})
    hold = (
        "import sys, time\nfrom dvc.repo import Repo\n"
        "with Repo('.').lock:\n    print('held', flush=True)\n    time.sleep(8)\n"
    )
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True) as held:
        assert held.stdout is not None
        assert held.stdout.readline() == "held\n"
        started = time.monotonic()
        code, output = repro("--jobs", "2")
    assert code == 0, output
    assert time.monotonic() - started > 5
    assert Path("one").read_text() == "1\n"


def test_one_job_is_plain_dvc_repro() -> None:
    project({"one": {"cmd": "echo $OMP_NUM_THREADS > one", "outs": ["one"]}})
    code, output = repro("--jobs", "1")
    assert code == 0
    assert "Running stage 'one'" in output


def pid_in(path: Path) -> int:
    for _ in range(600):
        if path.exists() and path.read_text().strip():
            return int(path.read_text())
        time.sleep(0.1)
    raise AssertionError(f"{path} was not written")


def gone(pids: list[int]) -> bool:
    for _ in range(200):
        if not any(alive(pid) for pid in pids):
            return True
        time.sleep(0.1)
    return False


def alive(pid: int) -> bool:
    return command_of(pid) != ""


def command_of(pid: int) -> str:
    """Return the words of a process; empty when it has ended, waited for or not."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def parent_of(pid: int) -> int:
    """Return the DVC of a stage: its parent, or the parent of its shell."""
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return parent if "repro" in command_of(parent) else parent_of(parent)
