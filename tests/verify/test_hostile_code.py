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

from stillhouse.records import Check
from stillhouse.verify.code import sandbox
from stillhouse.verify.code.check import REFEREE, check_code, close_sandboxes
from stillhouse.verify.code.extract import extract_code
from tests.verify.verify_builder import LIMITS, code_query, golden

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
                state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
                # A dead process of which only the entry is left, for another parent than us to remove: the init process
                # of a container may look for its dead children once a second only.
                if state != "Z" or int(parent) == os.getpid():
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
    limits = SHORT.model_copy(update={"packages": case.get("packages", [])})
    check = check_code(code_query(case), answer, limits)
    if check.reason == "timeout":
        check = check_code(code_query(case), answer, limits, alone=True)
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
    monkeypatch.setattr("stillhouse.verify.code.check.REFEREE", open_referee)
    check = check_code(code_query(case), case["output"], LIMITS)
    assert check.score is not None
    assert check.score > 0, check


# What a text would do in the referee: say on every pipe that the test has passed, and leave.
SAYS_PASS = """import os
for fd in range(3, 40):
    try: os.write(fd, b'["pass", ""]' + bytes([10]))
    except OSError: pass
os._exit(0)
"""
EVALUATED = {
    "eval": "assert eval(secret(2)) == 41",
    "exec, and every exception is caught": (
        "names = {}\ntry: exec(secret(2), names)\nexcept BaseException: names['x'] = 41\n"
        "assert names['x'] == 41"
    ),
    "a name of the test": "wanted = 41\nassert eval(secret(3)) == wanted",
    "timeit": "import timeit\nassert timeit.timeit(secret(2), number=1) == 41",
    "an annotation": (
        "import typing\nclass C: pass\nC.__annotations__ = {'n': secret(2)}\n"
        "assert typing.get_type_hints(C)['n'] == 41"
    ),
    "pickle": "import pickle\nassert pickle.loads(secret(4)) == 41",
    "pickle, by way of a module": "import pickle\nassert pickle.loads(secret(6)) == 41",
    "simplify of sympy": "import sympy\nassert sympy.simplify(secret(2)) == 41",
    "lambdify of sympy": "import sympy\nassert sympy.lambdify(sympy.Symbol('x'), secret(2))(1) == 41",
    "lambdify of an object": "import sympy\nassert sympy.lambdify(sympy.Symbol('x'), secret(5))(1) == 41",
}
TEXTS = f"""
import pickle
class Named:
    def __reduce__(self): return exec, ({SAYS_PASS!r},)
class Printed:
    def __str__(self): return secret(2)
    __repr__ = __str__
def secret(n):
    text = "exec(" + repr({SAYS_PASS!r}) + ")"
    by_module = b"ccollections\\n_itemgetter\\n(S'exec'\\ntR(ccollections\\n__builtins__\\ntR."
    return {{2: text, 3: "wanted", 4: pickle.dumps(Named()), 5: Printed(), 6: by_module}}[n]
"""


@pytest.mark.parametrize("test", EVALUATED.values(), ids=EVALUATED)
def test_no_text_of_an_answer_is_evaluated_in_the_referee(test: str, sandboxed: None) -> None:
    check = evaluated(test, TEXTS)
    assert (check.state, check.reason) == ("ungradable", "unsupported_test"), check


@pytest.mark.parametrize(
    ("test", "text"),
    [
        ("assert eval(secret(2)) == 41", "(1 + 3) * 10 + 1"),
        ("import sympy\nassert sympy.simplify(secret(2)) == sympy.sympify('2*x + 1')", "x + x + 1"),
        ("from collections import namedtuple\nassert namedtuple('P', 'x')(secret(2)).x", "text"),
        (
            "import pickle\nassert pickle.loads(pickle.dumps({1, 2})) == {1, 2} and secret(2)",
            "text",
        ),
    ],
)
def test_what_can_do_nothing_is_evaluated(test: str, text: str, sandboxed: None) -> None:
    check = evaluated(test, f"def secret(n): return {text!r}")
    assert check.state == "pass", check


def evaluated(test: str, code: str) -> Check:
    case = {"tests": [{"kind": "assert", "code": test}], "entry_point": "secret"}
    packages = ["sympy"] if "sympy" in test else []
    return as_graded({**case, "packages": packages}, f"```python\n{code}\n```")


def wait_until_gone(user: int, before: set[int]) -> set[int]:
    """Return which of the sandbox processes that are new now stay; a killed one may need a moment to be reaped."""
    left = sandbox_processes(user) - before
    end = time.monotonic() + REAP_SECONDS
    while left and time.monotonic() < end:
        time.sleep(0.005)
        left &= sandbox_processes(user)
    return left
