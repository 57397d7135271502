"""Hostile programs: none passes, none leaves the sandbox, none outlives its limits."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from verify_builder import LIMITS, code_query, golden

from stillhouse.verify.code import OVERHEAD_SECONDS, check_code
from stillhouse.verify.sandbox import UNPRIVILEGED_ID

SECRET = "41"  # what the tests of the hostile cases expect of the first call
SECONDS_OF_OTHERS = 30.0
SHORT = LIMITS.model_copy(
    update={"test_seconds": 0.6, "total_seconds": 1.2, "memory_mb": 256, "max_tests": 2}
)


@pytest.fixture
def bait(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A file, a folder and a server of the host that would each give the answer away."""
    tmp_path.chmod(0o777)
    file = tmp_path / "secret.txt"
    file.write_text(SECRET)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        port = server.getsockname()[1]
        yield {"file": file, "folder": tmp_path, "server": server, "port": port}


def sandbox_processes() -> set[int]:
    """The processes on this machine that run as the sandbox's user, or whose root is not ours."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (
                folder.stat().st_uid == UNPRIVILEGED_ID
                or b"bwrap" in (folder / "cmdline").read_bytes()
            ):
                found.add(int(folder.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("case", golden("hostile_code"), ids=lambda case: case["why"])
def test_hostile_program(case: dict[str, Any], bait: dict[str, Any], sandboxed: None) -> None:
    answer = (
        case["output"]
        .replace("{host_file}", str(bait["file"]))
        .replace("{host_folder}", str(bait["folder"]))
        .replace("{host_port}", str(bait["port"]))
    )
    before = sandbox_processes()
    started = time.monotonic()
    check = check_code(code_query(case), answer, SHORT)
    took = time.monotonic() - started

    assert check.state == "fail", check
    assert check.score == 0.0, check
    assert took < SHORT.total_seconds + OVERHEAD_SECONDS + 30 * (case.get("language") == "cpp")
    assert os.listdir(bait["folder"]) == ["secret.txt"]
    with pytest.raises(BlockingIOError):  # nobody is waiting to be accepted
        bait["server"].accept()
    assert wait_until_gone(before) == set()


def wait_until_gone(before: set[int]) -> set[int]:
    """Return which of the sandbox processes that are new now stay; those of another run on this machine end soon."""
    left = sandbox_processes() - before
    end = time.monotonic() + SECONDS_OF_OTHERS
    while left and time.monotonic() < end:
        os.sched_yield()
        left &= sandbox_processes()
    return left
