"""A machine under load gives the verdicts of an idle one: limits are on processor time, not on the clock.

The load is as bad as can be: all processes of the sandbox are stopped nine tenths of the time, at any moment.
"""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stillhouse import records
from stillhouse.verify.code import check as code
from tests.verify.verify_builder import LIMITS, make_query

SHORT = LIMITS.model_copy(update={"test_seconds": 0.5, "total_seconds": 2.0})
STOPPED_SECONDS, RUNNING_SECONDS = 0.18, 0.02
COMPUTE = "import time\nwhile time.process_time() < {seconds}: pass\n"
SLEEP = "import time\ntime.sleep({seconds})\n"
CASES = {
    "nothing": ("", "pass", None),
    "computes for less than the limit": (COMPUTE.format(seconds=0.25), "pass", None),
    "computes for more than the limit": (COMPUTE.format(seconds=1.0), "fail", "time_limit"),
    "sleeps for less than the limit": (SLEEP.format(seconds=0.2), "pass", None),
    "sleeps for ever": (SLEEP.format(seconds=10**6), "fail", "time_limit"),
    "waits for itself": (
        "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()",
        "fail",
        "time_limit",
    ),
    "a wrong result": ("n = 0\n", "fail", "wrong_output"),
}


def descendants() -> list[int]:
    """The processes that this one and its children have started."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(folder.name)] = int(fields[1])
    found = {os.getpid()}
    for pid in sorted(parents):
        if parents[pid] in found:
            found.add(pid)
    return sorted(found - {os.getpid()})


@pytest.fixture
def stopped_most_of_the_time() -> Iterator[None]:
    """Stop all that this process has started, again and again."""
    done = threading.Event()

    def signal_all(number: int) -> None:
        for pid in descendants():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def stop() -> None:
        while not done.is_set():
            signal_all(signal.SIGSTOP)
            done.wait(STOPPED_SECONDS)
            signal_all(signal.SIGCONT)
            done.wait(RUNNING_SECONDS)

    thread = threading.Thread(target=stop)
    thread.start()
    yield
    done.set()
    thread.join()
    signal_all(signal.SIGCONT)
    code.close_sandboxes()


@pytest.mark.parametrize("what", CASES)
@pytest.mark.parametrize("kind", ["assert", "stdio"])
def test_stopped_processes_get_the_verdict_of_an_idle_machine(
    what: str, kind: str, sandboxed: None, stopped_most_of_the_time: None
) -> None:
    body, state, reason = CASES[what]
    if kind == "stdio":
        program = f"n = 9\n{body}\nprint(n)"
        tests = [records.CodeTest(kind="stdio", input="", output="9")]
    else:
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        program = f"def f():\n    n = 9\n{lines}    return n"
        tests = [records.CodeTest(kind="assert", code="assert f() == 9")]
    query = make_query("code", tests=tests, language="python")
    check = code.check_code(query, f"```python\n{program}\n```", SHORT)
    assert (check.state, check.reason) == (state, reason), check
