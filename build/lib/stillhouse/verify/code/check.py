"""Grades code answers: extracts the program from the answer, and runs the query's tests against it in the sandbox.

The referee (package `referee`) runs the tests against the program inside the sandbox. This process only parses the
answer's text and never evaluates it. If the referee finds the sandbox unchanged after an answer, the sandbox is reused
for the next answer, because starting one takes longer than most programs run.
"""

import functools
import json
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillhouse.params.verify import CodeLimits
from stillhouse.records import Check, CodeTest, Query, to_dict
from stillhouse.verify.checks import AnswerReason, Reason, make_check
from stillhouse.verify.code import packages, sandbox
from stillhouse.verify.code.extract import extract_code, names_wanted
from stillhouse.verify.code.sandbox import Isolation

NAME = "code_tests"
VERSION = "5"

REFEREE = Path(__file__).with_name("referee")
# The modules of the referee; each imports only modules before it.
MODULES = (
    *("wire", "values", "peer", "remote", "referee_end", "candidate_end", "meter", "compare"),
    *("programs", "names", "testing", "texts", "asserts", "forkserver", "main"),
)
MAX_ANSWER_CHARS = 200_000  # the search for fences is quadratic in their number
OVERHEAD_SECONDS = 30.0  # time to start the sandbox and to write the report
# The same factor as in the referee, whose own guard on wall-clock time takes effect first.
GUARD_FACTOR = 5.0
GUARD_SECONDS = 10.0
COMPILE_SECONDS = 30.0
LENGTH_BYTES = 8

_HOW: dict[str, AnswerReason] = {
    "wrong": "wrong_output",
    "error": "runtime_error",
    "missing": "runtime_error",
    "crash": "crashed",
    "timeout": "time_limit",
    "guard": "time_limit",
    "memory": "memory_limit",
    "output": "output_limit",
}
_NO_MODULE = re.compile(r"ModuleNotFoundError: No module named '(\w+)")


def seconds_at_most(query: Query, limits: CodeLimits) -> float:
    """Return the wall-clock time in seconds after which the sandbox of one answer is killed."""
    computing = limits.total_seconds + (COMPILE_SECONDS if query.language == "cpp" else 0.0)
    return GUARD_FACTOR * computing + 2 * GUARD_SECONDS + OVERHEAD_SECONDS


def check_code(query: Query, answer: str, limits: CodeLimits, alone: bool = False) -> Check:
    """Run the first `limits.max_tests` tests of a query; the score is the share of tests that pass.

    Args:
        query: the query with tests, language, setup and entry point.
        answer: the answer part of a response.
        limits: the limits of the run.
        alone: whether no other item is graded meanwhile, so that a program that exceeds the guard on wall-clock time
            fails.

    Raises:
        SandboxError: the sandbox's tools or a package are missing; call `sandbox.probe` first.
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
    asserts = [test.code or "" for test in tests if test.kind == "assert"]
    setup = query.setup or ""
    wanted = names_wanted(asserts, setup, query.entry_point) if asserts else []
    code = extract_code(answer, language, wanted)
    if code is None or not code.strip():
        return _check(0.0, "no_code", f"no {language} block in the answer")
    code = code.encode("utf-8", "replace").decode()  # an unpaired surrogate cannot be encoded
    surroundings = _surroundings(limits, language, code, setup, *asserts)
    allowed = surroundings.cost
    # Only the report contains this token, so that no other output can be mistaken for a report.
    job = {
        "token": secrets.token_hex(16),
        "language": language,
        "code": code,
        "setup": setup,
        "entry_point": wanted[0] if query.entry_point and wanted else query.entry_point,
        "tests": [to_dict(test) for test in tests],
        "test_seconds": limits.test_seconds + allowed.cpu_seconds,
        "total_seconds": limits.total_seconds + len(tests) * allowed.cpu_seconds,
        "memory_bytes": (limits.memory_mb << 20) + allowed.memory_bytes,
        "output_bytes": int(limits.output_mb * (1 << 20)),
        "paths": surroundings.paths,
    }
    extra = GUARD_FACTOR * len(tests) * allowed.cpu_seconds
    report = _report(job, surroundings, seconds_at_most(query, limits) + extra)
    if isinstance(report, str):
        reason: Reason = "timeout" if report.startswith("timeout") else "sandbox_failed"
        if reason == "timeout" and alone:
            return _check(0.0, "time_limit", report)
        return _check(None, reason, report)
    if report["build"]:
        return _check(0.0, "compile_error", report["build"])
    return _judge(query, tests, report["outcomes"], limits, surroundings, alone)


@dataclass(frozen=True)
class _Surroundings:
    """The configuration of a sandbox, and the additional CPU time and memory that it allows a program."""

    isolation: Isolation
    mounted: packages.Mounted
    cost: packages.Cost
    description: str

    @property
    def paths(self) -> list[str]:
        if not self.mounted.files:
            return []
        return [sandbox.packages_folder(self.mounted.files, self.isolation)]


def _surroundings(limits: CodeLimits, language: str, *texts: str) -> _Surroundings:
    """Return the configuration of the sandbox for a program and its tests, with packages if their texts import any."""
    nothing = packages.Mounted((), frozenset(), ())
    if language != "python" or not limits.packages:
        return _Surroundings(limits.isolation, nothing, packages.Cost(), limits.isolation)
    names = tuple(limits.packages)
    mounted = packages.mounted(names)
    modules = sorted(packages.mentioned(mounted.modules, *texts))
    if not modules:
        return _Surroundings(limits.isolation, nothing, packages.Cost(), limits.isolation)
    costs = [packages.cost(names, module, limits.isolation) for module in modules]
    total = packages.Cost(sum(c.cpu_seconds for c in costs), sum(c.memory_bytes for c in costs))
    versions = dict(mounted.versions)
    parts = [limits.isolation, *(f"{module} {versions[module]}" for module in modules)]
    return _Surroundings(limits.isolation, mounted, total, ", ".join(parts))


# Sandboxes that wait for an answer, by their configuration.
_idle: dict[tuple[Any, ...], list[sandbox.Running]] = {}

# The program reads exactly the modules of the referee: the fork server must start before a test is in memory.
_BOOT = """
import marshal, posix, sys
def read(size):
    data = b""
    while len(data) < size:
        data += posix.read(0, size - len(data))
    return data
sys.path += {paths!r}
modules = read({size})
for name, code in marshal.loads(modules):
    module = sys.modules[name] = type(sys)(name)
    exec(code, module.__dict__)
module.main(modules)
"""


def _report(
    job: dict[str, Any], surroundings: _Surroundings, seconds: float
) -> dict[str, Any] | str:
    """Return the referee's report on a job, or a description of its absence ("timeout; ..." after the time limit)."""
    program = _program()
    isolation, files = surroundings.isolation, surroundings.mounted.files
    idle = _idle.setdefault((program, isolation, files, sandbox.UNPRIVILEGED_ID), [])
    text = json.dumps(job).encode()
    request = len(text).to_bytes(LENGTH_BYTES, "big") + text
    while True:
        try:
            running, used = idle.pop(), True
        except IndexError:
            compiled = _compiled(program, isolation)
            boot = _BOOT.format(size=len(compiled), paths=surroundings.paths)
            running, used = sandbox.Running(boot, isolation, files), False
            request = compiled + request
        line, stopped = running.ask(request, seconds)
        try:
            report: dict[str, Any] = json.loads(line)
        except ValueError:
            report = {}
        whole = report.get("token") == job["token"]
        if whole and report["reusable"]:
            idle.append(running)
            return report
        errors = running.close()
        if whole:
            return report
        # A reused sandbox may have ended while it waited, which this answer did not cause.
        if stopped or not used:
            return f"{stopped or 'it ended'}; no report; {' '.join(errors.split())[-200:]}"


def close_sandboxes() -> None:
    """Close the sandboxes that wait for answers."""
    for idle in _idle.values():
        while idle:
            idle.pop().close()


def _program() -> str:
    """Return the modules of the referee as JSON: pairs of a name and a source text."""
    return _read(REFEREE, tuple((REFEREE / f"{name}.py").stat().st_mtime_ns for name in MODULES))


@functools.cache
def _read(folder: Path, changed: tuple[int, ...]) -> str:
    texts = {name: (folder / f"{name}.py").read_text(encoding="utf-8") for name in MODULES}
    return json.dumps(
        [[f"stillhouse.verify.code.referee.{name}", text] for name, text in texts.items()]
    )


@functools.cache
def _compiled(program: str, isolation: Isolation) -> bytes:
    """Return the referee as byte code of the sandbox's Python; compiling it takes longer than starting that Python."""
    source = (
        "import json, marshal, sys; sys.stdout.buffer.write(marshal.dumps("
        "[(name, compile(text, name, 'exec', dont_inherit=True)) for name, text in json.load(sys.stdin)]))"
    )
    done = sandbox.run(source, program.encode(), isolation=isolation, seconds=OVERHEAD_SECONDS)
    if done.returncode != 0:
        raise sandbox.SandboxError(
            f"the referee does not compile in the sandbox: {done.stderr.decode('utf-8', 'replace')[-200:]}"
        )
    return done.stdout


def _judge(
    query: Query,
    tests: list[CodeTest],
    outcomes: list[tuple[str, str]],
    limits: CodeLimits,
    surroundings: _Surroundings,
    alone: bool,
) -> Check:
    for number, (how, detail) in enumerate(outcomes, start=1):
        where = f"test {number} of {len(tests)}: {detail}"
        if how == "unsupported":
            return _check(None, "unsupported_test", where)
        # The answer must define the names that the query asks for; any other missing name is a fault of the test.
        if how == "missing" and query.entry_point and not _asked_for(query, detail.split()[0]):
            return _check(None, "unsupported_test", where)
        if how == "guard" and not alone:
            return _check(
                None, "timeout", f"{where} (nothing was decided in the time on the clock)"
            )
    passed = sum(how == "pass" for how, _ in outcomes)
    score = passed / len(tests)
    share = f"{passed} of {len(tests)} tests pass ({surroundings.description})"
    failed = [i for i, (how, _) in enumerate(outcomes) if how != "pass"]
    if score >= limits.pass_share:
        return _check(score, None, share, passed=True)
    test, (how, detail) = tests[failed[0]], outcomes[failed[0]]
    if (name := _missing_package(detail, surroundings)) is not None:
        return _check(None, "missing_package", f"{name}; {share}; add it to verify.code.packages")
    shown = " ".join(((test.code if test.kind == "assert" else test.input) or "").split())[:120]
    evidence = f"{share}; test {failed[0] + 1} ({test.kind} {shown!r}): {how}"
    return _check(score, _HOW[how], evidence + (f": {detail}" if detail else ""))


def _asked_for(query: Query, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", query.prompt) is not None


def _missing_package(detail: str, surroundings: _Surroundings) -> str | None:
    """Return the package whose import failed, if the sandbox could have the package but does not."""
    found = _NO_MODULE.search(detail)
    name = found[1] if found else ""
    return name if name in packages.KNOWN - surroundings.mounted.modules else None


def _check(
    score: float | None, reason: Reason | None, evidence: str, passed: bool | None = None
) -> Check:
    return make_check(NAME, VERSION, score, reason, evidence, passed=passed)
