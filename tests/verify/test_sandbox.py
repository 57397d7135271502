"""The sandbox itself: what is seen inside, what stops it, and what it says where it cannot work."""

import json

import pytest

from stillhouse.verify.code import sandbox
from stillhouse.verify.code.check import check_code
from tests.verify.verify_builder import LIMITS, code_query, golden

LOOK = """
import json, os, socket
def can(action):
    try:
        action()
        return True
    except OSError:
        return False
print(json.dumps({
    "pid": os.getpid(), "uid": os.getuid(), "root": sorted(os.listdir("/")), "tmp": os.listdir("/tmp"),
    "environment": sorted(os.environ), "interfaces": [name for _, name in socket.if_nameindex()],
    "write_root": can(lambda: open("/x", "w")), "write_usr": can(lambda: open("/usr/x", "w")),
    "write_tmp": can(lambda: open("/tmp/x", "w")), "processes": [p for p in os.listdir("/proc") if p.isdigit()],
    "new_user_namespace": can(lambda: os.unshare(0x10000000)) if hasattr(os, "unshare") else False,
}))
"""


def test_what_a_program_sees(sandboxed: None) -> None:
    done = sandbox.run(LOOK, b"", isolation="bubblewrap", seconds=10)
    seen = json.loads(done.stdout)
    assert seen.pop("root") == sorted({"bin", "dev", "lib", "lib64", "proc", "tmp", "usr"})
    assert set(seen.pop("environment")) <= {"HOME", "LANG", "LC_CTYPE", "PATH", "PWD"}
    assert seen == {
        "pid": 1,
        "uid": 65534,
        "tmp": [],
        "interfaces": ["lo"],
        "write_root": False,
        "write_usr": False,
        "write_tmp": True,
        "processes": ["1"],
        "new_user_namespace": False,
    }


@pytest.mark.parametrize("isolation", ["bubblewrap", "rlimits"])
def test_time_and_output_are_bounded(isolation: sandbox.Isolation, sandboxed: None) -> None:
    endless = sandbox.run("while True: pass", b"", isolation=isolation, seconds=0.5)
    assert (endless.returncode, endless.stopped) == (None, "timeout")
    loud = "while True: print('x' * 9999)"
    assert sandbox.run(loud, b"", isolation=isolation, seconds=10).stopped == "output"
    # A closed standard output is no way to stay.
    silent = "import os, time; os.close(1); os.close(2); time.sleep(99)"
    assert sandbox.run(silent, b"", isolation=isolation, seconds=0.5).stopped == "timeout"


def test_the_probe_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_bubblewrap", lambda: "/bin/false")
    reason = sandbox.probe("bubblewrap")
    assert reason is not None
    assert "user namespaces" in reason
    monkeypatch.setattr(sandbox, "INTERPRETERS", ("/nowhere/python3",))
    reason = sandbox.probe("bubblewrap")
    assert reason is not None
    assert "no Python" in reason
    assert "/nowhere/python3" in reason


@pytest.mark.parametrize("why", ["right", "half right", "input and output", "C++"])
def test_limits_only_gives_the_same_verdicts(why: str) -> None:
    if reason := sandbox.probe("rlimits"):
        pytest.skip(reason)
    case = next(case for case in golden("code") if case["why"] == why)
    limits = LIMITS.model_copy(update={"isolation": "rlimits"})
    check = check_code(code_query(case), case["output"], limits)
    assert (check.state, check.score) == (case["verdict"], case["score"]), check.evidence
