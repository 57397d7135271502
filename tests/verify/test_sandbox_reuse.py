"""Sandboxes that serve several answers: only untouched ones do, and nothing of one answer reaches the next."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from stillhouse import records
from stillhouse.params.verify import CodeLimits
from stillhouse.records import Check
from stillhouse.verify.code import check as code
from stillhouse.verify.code import sandbox
from tests.verify.verify_builder import LIMITS, make_query

ADD = "def add(a, b):\n    return a + b"
# What a later program could be harmed by; each is right about the sum.
LEAVING = {
    "a file": "open('/tmp/left', 'w').close()",
    "a file that it removes": "import os\nopen('/tmp/x', 'w').close()\nos.unlink('/tmp/x')",
    "the mode of the folder": "import os\nos.chmod('/tmp', 0o500)",
    "the mode of shared memory": "import os\nos.chmod('/dev/shm', 0o500)",
    "a mode that it puts back": (
        "import os\nos.chmod('/tmp', 0o500)\nos.chmod('/tmp', os.stat('/tmp').st_mode | 0o777)"
    ),
    "the times of the folder": "import os\nos.utime('/tmp', (5, 5))",
    "the times of shared memory": "import os\nos.utime('/dev/shm', (5, 5))",
    "an attribute of the folder": (
        "import os\n"
        "try:\n"
        "    os.setxattr('/tmp', 'user.left', b'x')\n"
        "except OSError:\n"
        "    os.utime('/tmp')"
    ),
    "shared memory": "open('/dev/shm/left', 'w').close()",
    "a System V segment": "import ctypes\nctypes.CDLL(None).shmget(7, 4096, 0o1666)",
    "a System V semaphore": "import ctypes\nctypes.CDLL(None).semget(7, 1, 0o1666)",
    "a System V queue": "import ctypes\nctypes.CDLL(None).msgget(7, 0o1666)",
    "a process": "import subprocess\nsubprocess.Popen(['/bin/sleep', '60'])",
    "an orphan": (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    if os.fork() == 0:\n"
        "        time.sleep(60)\n"
        "    os._exit(0)"
    ),
    "limits": (
        "import os, resource\n"
        "for pid in filter(str.isdigit, os.listdir('/proc')):\n"
        "    resource.prlimit(int(pid), resource.RLIMIT_CPU, (1, 1))"
    ),
    "priorities": (
        "import os\n"
        "for pid in filter(str.isdigit, os.listdir('/proc')):\n"
        "    os.setpriority(os.PRIO_PROCESS, int(pid), 19)"
    ),
    "a scheduling policy": (
        "import os\n"
        "for pid in filter(str.isdigit, os.listdir('/proc')):\n"
        "    os.sched_setscheduler(int(pid), os.SCHED_IDLE, os.sched_param(0))"
    ),
    "a stopped parent": "import os, signal\nos.kill(os.getppid(), signal.SIGSTOP)",
    "a dead parent": "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)",
}
HARMLESS = {
    "nothing": "",
    "its own limits": "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (9, 9))",
    "a signal that is ignored": (
        "import os, signal\nos.kill(1, signal.SIGINT)\nos.kill(os.getppid(), signal.SIGINT)"
    ),
    "a device": "try:\n    open('/dev/left', 'w')\nexcept OSError:\n    pass",
}


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """No sandbox from before, and none left."""
    code.close_sandboxes()
    yield
    code.close_sandboxes()


def check(program: str, *tests: str, limits: CodeLimits = LIMITS) -> Check:
    query = make_query(
        "code",
        tests=[records.CodeTest(kind="assert", code=test) for test in tests],
        language="python",
    )
    return code.check_code(query, f"```python\n{program}\n```", limits)


def waiting() -> list[sandbox.Running]:
    return [running for idle in code._idle.values() for running in idle]


@pytest.mark.parametrize("what", HARMLESS)
def test_an_untouched_sandbox_serves_the_next_answer(sandboxed: None, what: str) -> None:
    assert check(f"{HARMLESS[what]}\n{ADD}", "assert add(1, 2) == 3").state == "pass"
    (first,) = waiting()
    assert check(ADD, "assert add(1, 2) == 4").reason == "wrong_output"
    assert check("add = None", "assert add(1, 2) == 3").reason == "runtime_error"
    assert waiting() == [first]


@pytest.mark.parametrize("what", LEAVING)
def test_a_touched_sandbox_serves_no_other(sandboxed: None, what: str) -> None:
    check(ADD, "assert add(1, 2) == 3")
    assert len(waiting()) == 1
    found = check(f"{LEAVING[what]}\n{ADD}", "assert add(1, 2) == 3")
    assert (found.state, found.score) == ("pass", 1.0), found
    assert waiting() == []


@pytest.mark.parametrize(
    "program",
    ["def add(a, b):\n    while True: pass", "def add(a, b):\n    __import__('os')._exit(0)"],
    ids=["hangs", "leaves"],
)
def test_nor_does_one_in_which_something_was_killed(sandboxed: None, program: str) -> None:
    short = LIMITS.model_copy(update={"test_seconds": 0.5})
    assert check(program, "assert add(1, 2) == 3", limits=short).state == "fail"
    assert waiting() == []


def test_one_that_ends_while_it_waits_costs_nobody_a_verdict(sandboxed: None) -> None:
    check(ADD, "assert add(1, 2) == 3")
    (running,) = waiting()
    running._process.kill()
    running._process.wait()
    assert check(ADD, "assert add(1, 2) == 3").state == "pass"
    assert waiting() != [running]


SEARCH = """
import gc, sys
def find():
    frame, texts = sys._getframe(), []
    while frame:
        texts.append(repr(frame.f_locals))
        frame = frame.f_back
    texts += [repr(o) for o in gc.get_objects() if type(o) in (dict, list, tuple)]
    word = "".join(["FIND", "ME"])
    return any(word in text for text in texts)
"""
TESTS = ("assert find() is False  # FINDME", "assert 'FINDME' and find() is False")


def test_no_candidate_has_the_tests_of_any_answer_in_its_memory(
    sandboxed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        assert check(SEARCH, *TESTS).state == "pass"
    assert len(waiting()) == 1
    # The same program does find them if the fork server is started after a job was read.
    late = tmp_path / "referee"
    shutil.copytree(code.REFEREE, late)
    early = "job = Job(data, fork_server, modules)"
    source = (code.REFEREE / "main.py").read_text()
    assert early in source
    (late / "main.py").write_text(source.replace(early, f"fork_server = ForkServer(); {early}"))
    monkeypatch.setattr(code, "REFEREE", late)
    assert check(SEARCH, *TESTS).score == 0.0
