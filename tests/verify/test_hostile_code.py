"""Hostile programs: none passes, none leaves the sandbox, none outlives its limits.

Where `fools` stands, the attack is shown to be one: it succeeds once the defence that it names is taken away.
"""

import contextlib
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from verify_builder import LIMITS, code_query, golden

from stillhouse.records import Check
from stillhouse.verify import sandbox
from stillhouse.verify.code import REFEREE, check_code, close_sandboxes
from stillhouse.verify.extract import extract_code

SECRET = "41"  # what the tests of the hostile cases expect of the first call
REAP_SECONDS = 10.0
FIRST_USER = 50_000
SHORT = LIMITS.model_copy(
    update={"test_seconds": 0.6, "total_seconds": 1.2, "memory_mb": 256, "max_tests": 2}
)


@pytest.fixture
def bait() -> Iterator[dict[str, Any]]:
    """A file, a folder and servers of the host that would each give the answer away, open to every user."""
    folder = Path(tempfile.mkdtemp(prefix="stillhouse-bait-"))
    folder.chmod(0o777)
    file = folder / "secret.txt"
    file.write_text(SECRET)
    name = f"stillhouse-bait-{os.getpid()}"
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        abstract.bind(f"\0{name}")
        abstract.listen()
        server.setblocking(False)
        abstract.setblocking(False)
        port = server.getsockname()[1]
        yield {
            "file": file,
            "folder": folder,
            "servers": [server, abstract],
            "port": port,
            "abstract": name,
        }
    shutil.rmtree(folder)


def baited(case: dict[str, Any], bait: dict[str, Any]) -> str:
    """Return the answer with the names of what it is after."""
    answer: str = case["output"]
    for name in ("file", "folder", "port", "abstract"):
        answer = answer.replace(f"{{host_{name}}}", str(bait[name]))
    return answer


@pytest.fixture(autouse=True)
def own_user(monkeypatch: pytest.MonkeyPatch) -> int:
    """Another user for this test run alone, so that what it leaves behind can be told from the work of others."""
    user = FIRST_USER + os.getpid() % 10_000 if os.geteuid() == 0 else os.geteuid()
    monkeypatch.setattr(sandbox, "UNPRIVILEGED_ID", user)
    return user


def sandbox_processes(user: int) -> set[int]:
    """The processes on this machine that run as a user, other than those of a user's own session."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder.stat().st_uid == user and os.geteuid() == 0) or (
                b"bwrap" in (folder / "cmdline").read_bytes() and os.geteuid() != 0
            ):
                found.add(int(folder.name))
    return found


@pytest.mark.parametrize("case", golden("hostile_code"), ids=lambda case: case["why"])
def test_hostile_program(
    case: dict[str, Any], bait: dict[str, Any], own_user: int, sandboxed: None
) -> None:
    answer = baited(case, bait)
    before = sandbox_processes(own_user)
    check = as_graded(case, answer)
    close_sandboxes()

    assert check.state == "fail", check
    assert check.score == 0.0, check
    assert os.listdir(bait["folder"]) == ["secret.txt"]
    for server in bait["servers"]:
        with pytest.raises(BlockingIOError):  # nobody is waiting to be accepted
            server.accept()
    assert wait_until_gone(own_user, before) == set()


def as_graded(case: dict[str, Any], answer: str) -> Check:
    """Return the check as the grader gets it: what only the guard has ended is checked again, alone."""
    check = check_code(code_query(case), answer, SHORT)
    if check.reason == "timeout":
        check = check_code(code_query(case), answer, SHORT, alone=True)
    return check


def fooled(by: str) -> list[Any]:
    """Return the attacks that a weaker defence falls for, as parameters of a test."""
    cases = [case for case in golden("hostile_code") if case.get("fools") == by]
    assert cases
    return [pytest.param(case, id=case["why"]) for case in cases]


@pytest.mark.parametrize("case", fooled("exit_code"))
def test_it_would_pass_where_answer_and_asserts_share_a_process(
    case: dict[str, Any], sandboxed: None
) -> None:
    code = extract_code(case["output"], "python")
    asserts = "\n".join(test["code"] for test in case["tests"])
    done = sandbox.run(
        f"{case.get('setup', '')}\n{code}\n{asserts}", b"", isolation="bubblewrap", seconds=20
    )
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("case", fooled("rlimits"))
def test_it_would_reach_the_host_without_isolation(
    case: dict[str, Any], bait: dict[str, Any]
) -> None:
    if reason := sandbox.probe("rlimits"):
        pytest.skip(reason)
    unisolated = LIMITS.model_copy(update={"isolation": "rlimits"})
    check = check_code(code_query(case), baited(case, bait), unisolated)
    assert check.score is not None
    assert check.score > 0, check


@pytest.mark.parametrize("case", fooled("dumpable"))
def test_it_would_find_the_tests_in_a_referee_that_can_be_read(
    case: dict[str, Any], sandboxed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_referee = tmp_path / "referee"
    shutil.copytree(REFEREE, open_referee)
    closed = "prctl(PR_SET_DUMPABLE, 0)"
    source = (REFEREE / "main.py").read_text()
    assert closed in source
    (open_referee / "main.py").write_text(source.replace(closed, "pass"))
    monkeypatch.setattr("stillhouse.verify.code.REFEREE", open_referee)
    check = check_code(code_query(case), case["output"], LIMITS)
    assert check.score is not None
    assert check.score > 0, check


def wait_until_gone(user: int, before: set[int]) -> set[int]:
    """Return which of the sandbox processes that are new now stay; a killed one may need a moment to be reaped."""
    left = sandbox_processes(user) - before
    end = time.monotonic() + REAP_SECONDS
    while left and time.monotonic() < end:
        os.sched_yield()
        left &= sandbox_processes(user)
    return left
