"""Code answers: take the program out of the answer, run the query's tests against it in the sandbox.

The tests and the program meet in `referee.py`, inside the sandbox. This process parses the answer's text at most; it
never evaluates it. A sandbox that the referee finds untouched after an answer is kept for the next one: starting one
takes longer than most programs run.
"""

import ast
import functools
import json
import re
import secrets
from pathlib import Path
from typing import Any

from stillhouse.params import CodeLimits
from stillhouse.records import Check, Query, Test, to_dict
from stillhouse.verify import sandbox
from stillhouse.verify.checks import AnswerReason, Reason, make_check
from stillhouse.verify.sandbox import Isolation

NAME = "code_tests"
VERSION = "4"

REFEREE = Path(__file__).with_name("referee.py")
MAX_ANSWER_CHARS = 200_000  # finding fences is quadratic in their number
OVERHEAD_SECONDS = (
    5.0  # start of the sandbox and writing of the report, on top of the limits on the tests
)
COMPILE_SECONDS = 30.0  # as in referee.py
LENGTH_BYTES = 8  # as in referee.py
PYTHON_TAGS = frozenset({"", "python", "python3", "py", "py3"})
CPP_TAGS = frozenset({"", "cpp", "c++", "cc", "cxx"})
FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n`]*$", re.MULTILINE)

_HOW: dict[str, AnswerReason] = {
    "wrong": "wrong_output",
    "error": "runtime_error",
    "crash": "crashed",
    "timeout": "time_limit",
    "memory": "memory_limit",
    "output": "output_limit",
}


def extract_code(answer: str, language: str) -> str | None:
    """Return the program in an answer: its last fenced block in the language, or all of it where there is no fence.

    A block without a language tag counts; a block with another tag (the program's output, a shell line) does not. An
    answer without a fence counts only if it reads as a program: it parses as Python, or has a C++ `main`.
    """
    tags = CPP_TAGS if language == "cpp" else PYTHON_TAGS
    fences = list(FENCE.finditer(answer))
    if fences:
        blocks: list[str] = []
        opened: re.Match[str] | None = None
        for fence in fences:
            if opened is None:
                opened = fence
            elif fence[1].startswith(opened[1]) and not fence[2]:
                blocks += _block(answer, opened, fence.start(), tags)
                opened = None
        if opened is not None:
            blocks += _block(answer, opened, len(answer), tags)
        return blocks[-1] if blocks else None
    if language == "cpp":
        return answer if re.search(r"\bint\s+main\s*\(", answer) else None
    try:
        ast.parse(answer)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return answer


def seconds_at_most(query: Query, limits: CodeLimits) -> float:
    """Return the time after which the sandbox of one answer is killed."""
    compiling = COMPILE_SECONDS if query.language == "cpp" else 0.0
    return limits.total_seconds + compiling + OVERHEAD_SECONDS


def check_code(query: Query, answer: str, limits: CodeLimits) -> Check:
    """Run the first `limits.max_tests` tests of a query; the score is the share that passes.

    Raises:
        SandboxError: the sandbox's tools are missing; call `sandbox.probe` first.
    """
    tests = query.tests[: limits.max_tests]
    language = query.language or "python"
    if not tests:
        return _check(None, "no_tests", f"query {query.id} has no tests")
    if language == "cpp" and any(test.kind != "stdio" for test in tests):
        return _check(
            None, "unsupported_test", "a C++ program can be tested by input and output only"
        )
    if len(answer) > MAX_ANSWER_CHARS:
        return _check(
            0.0, "no_code", f"{len(answer)} characters, at most {MAX_ANSWER_CHARS} are read"
        )
    code = extract_code(answer, language)
    if code is None or not code.strip():
        return _check(0.0, "no_code", f"no {language} block in the answer")
    code = code.encode("utf-8", "replace").decode()  # half a surrogate pair is no text
    # The report is the only thing that carries this token, so nothing else can be taken for a report.
    token = secrets.token_hex(16)
    job = {
        "token": token,
        "language": language,
        "code": code,
        "setup": query.setup or "",
        "entry_point": query.entry_point,
        "tests": [to_dict(test) for test in tests],
        "test_seconds": limits.test_seconds,
        "total_seconds": limits.total_seconds,
        "memory_bytes": limits.memory_mb << 20,
    }
    report = _report(job, limits.isolation, seconds_at_most(query, limits))
    if isinstance(report, str):
        return _check(None, "sandbox_failed", report)
    if report["build"]:
        return _check(0.0, "compile_error", report["build"])
    return _judge(tests, report["outcomes"], limits.isolation)


# Sandboxes that wait for an answer, by what they were started with.
_idle: dict[tuple[bytes, Isolation, int], list[sandbox.Running]] = {}

# Reads the referee and its text, and not a byte more: the nursery is forked off before a test is in its memory.
_BOOT = """
import marshal, posix
def read(size):
    data = b""
    while len(data) < size:
        data += posix.read(0, size - len(data))
    return data
exec(marshal.loads(read({compiled})), {{"__name__": "referee", "PROGRAM": read({program}).decode()}})
"""


def _report(job: dict[str, Any], isolation: Isolation, seconds: float) -> dict[str, Any] | str:
    """Return the referee's report on a job, or what was found in its place."""
    program = REFEREE.read_bytes()
    idle = _idle.setdefault((program, isolation, sandbox.UNPRIVILEGED_ID), [])
    text = json.dumps(job).encode()
    request = len(text).to_bytes(LENGTH_BYTES, "big") + text
    while True:
        try:
            running, used = idle.pop(), True
        except IndexError:
            compiled = _compiled(program, isolation)
            boot = _BOOT.format(compiled=len(compiled), program=len(program))
            running, used = sandbox.Running(boot, isolation), False
            request = compiled + program + request
        line, stopped = running.ask(request, seconds)
        try:
            report: dict[str, Any] = json.loads(line)
        except ValueError:
            report = {}
        whole = report.get("token") == job["token"]
        if whole and report["reusable"]:
            idle.append(running)
            return report
        said = running.close()
        if whole:
            return report
        # A used one may have ended while it waited, which is not this answer's doing.
        if stopped or not used:
            return f"no report; {stopped or 'it ended'}; {' '.join(said.split())[-200:]}"


def close_sandboxes() -> None:
    """End the sandboxes that wait for answers."""
    for idle in _idle.values():
        while idle:
            idle.pop().close()


@functools.cache
def _compiled(program: bytes, isolation: Isolation) -> bytes:
    """Return the referee as byte code of the sandbox's Python: compiling it takes longer than that starts."""
    source = (
        "import marshal, sys; "
        "sys.stdout.buffer.write(marshal.dumps(compile(sys.stdin.read(), 'referee.py', 'exec')))"
    )
    done = sandbox.run(source, program, isolation=isolation, seconds=OVERHEAD_SECONDS)
    if done.returncode != 0:
        raise sandbox.SandboxError(
            f"{REFEREE.name} does not compile in the sandbox: {done.stderr.decode('utf-8', 'replace')[-200:]}"
        )
    return done.stdout


def _block(answer: str, opened: re.Match[str], end: int, tags: frozenset[str]) -> list[str]:
    if opened[2].lower() not in tags:
        return []
    code = answer[opened.end() + 1 : end]
    # A block inside a list is indented as its fence is.
    indent = opened[0][: len(opened[0]) - len(opened[0].lstrip())]
    return [re.sub(rf"^{indent}", "", code, flags=re.MULTILINE) if indent else code]


def _judge(tests: list[Test], outcomes: list[tuple[str, str]], isolation: str) -> Check:
    for number, (how, detail) in enumerate(outcomes, start=1):
        if how == "unsupported":
            return _check(None, "unsupported_test", f"test {number} of {len(tests)}: {detail}")
    passed = sum(how == "pass" for how, _ in outcomes)
    failed = [i for i, (how, _) in enumerate(outcomes) if how != "pass"]
    if not failed:
        return _check(1.0, None, f"{passed} of {len(tests)} tests pass ({isolation})")
    test, (how, detail) = tests[failed[0]], outcomes[failed[0]]
    shown = " ".join(((test.code if test.kind == "assert" else test.input) or "").split())[:120]
    evidence = (
        f"{passed} of {len(tests)} tests pass ({isolation}); test {failed[0] + 1} ({test.kind} {shown!r}): {how}"
        + (f": {detail}" if detail else "")
    )
    return _check(passed / len(tests), _HOW[how], evidence)


def _check(score: float | None, reason: Reason | None, evidence: str) -> Check:
    return make_check(NAME, VERSION, score, reason, evidence)
