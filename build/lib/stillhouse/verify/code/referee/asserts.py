"""Evaluates asserts against one candidate, in a separate process."""

from __future__ import annotations

import os
import select
import sys

from stillhouse.verify.code.referee.meter import Total, Watch
from stillhouse.verify.code.referee.names import (
    ONLY_AST,
    MissingNameError,
    Names,
    SetupNames,
    Solution,
    imports,
    names_in,
)
from stillhouse.verify.code.referee.programs import limit
from stillhouse.verify.code.referee.referee_end import RefereeEnd
from stillhouse.verify.code.referee.testing import provide_pytest, run_defined
from stillhouse.verify.code.referee.texts import guard_texts
from stillhouse.verify.code.referee.wire import (
    GoneError,
    Unsupported,
    describe,
    from_json,
    suppress,
    to_json,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Outcome = tuple[str, str]

QUIET_SECONDS = 1.0  # time for the candidate of a finished answer to exit
ANSWER_MODULES = ("solution", "main", "answer", "candidate")


def assert_outcomes(
    job: dict[str, Any], tests: list[dict[str, Any]], pipes: tuple[int, int], total: Total
) -> list[Outcome]:
    """Evaluate asserts in a forked referee, so that an assert that hangs or crashes affects only itself.

    Returns at least one outcome, and fewer outcomes than tests if the other tests need a new candidate.

    Args:
        job: the job, with the code and the limits.
        tests: the asserts.
        pipes: the pipes to the candidate: read from, write to.
        total: the CPU time used so far.
    """
    reading, writing = os.pipe()
    referee = os.fork()
    if referee == 0:
        try:
            os.close(reading)
            silence()
            limit(job["memory_bytes"], job["cpu_seconds"])

            def report(outcome: Any) -> None:
                os.write(writing, to_json(outcome))

            assert_tests(job, tests, pipes, report)
        finally:
            os._exit(0)
    for descriptor in (writing, *pipes):
        os.close(descriptor)
    received: list[Any] = []
    how = ""
    with os.fdopen(reading, "rb", buffering=0) as pipe:  # `select` does not see buffered data
        while len(received) <= len(tests):
            watch = Watch(total)
            line, how = read_line(pipe, watch)
            if not line:
                break
            outcome = from_json(line.decode())
            received.append(["timeout", ""] if outcome and watch.overrun() else outcome)
        outcomes = [tuple(outcome) for outcome in received[1:]]
        if len(outcomes) == len(tests):
            if select.select([pipe], [], [], QUIET_SECONDS)[0]:  # the forked process is exiting
                os.waitpid(referee, 0)
            return outcomes
    if outcomes and not how:
        return outcomes
    stopped = (how, "") if how else ("crash", "the test was killed")
    # A failure before the first test applies to every test.
    return [*outcomes, stopped] if received else [stopped] * len(tests)


def read_line(pipe: Any, watch: Watch) -> tuple[bytes, str]:
    """Return the next line of a pipe, or nothing and the reason why reading was stopped (empty at the pipe's end).

    A line is written with one call and is shorter than the atomic write size of a pipe, so that it arrives whole.
    """
    while True:
        if select.select([pipe], [], [], watch.until_next())[0]:
            return pipe.readline(), ""
        if how := watch.exceeded():
            return b"", how


def silence() -> None:
    """Connect the standard streams to /dev/null."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)


def assert_tests(
    job: dict[str, Any],
    tests: list[dict[str, Any]],
    pipes: tuple[int, int],
    report: Callable[[Any], None],
) -> None:
    """Evaluate asserts against one candidate and report each outcome.

    Fewer outcomes than tests are reported if the candidate cannot be used any more.

    Args:
        job: the job, with the code and the setup.
        tests: the asserts.
        pipes: the pipes to the candidate: read from, write to.
        report: called with None when the program has run, then with each outcome.
    """
    peer = RefereeEnd(*pipes)
    sources = [job["setup"], *(test["code"] for test in tests)]
    guard_texts(sources, job["paths"], peer.end_with)
    setup, failed = _started(job, peer)
    report(None)
    if setup is None:
        for _ in tests:
            report(failed)
        return
    borrowed = imports(job["code"])
    for name in ANSWER_MODULES:
        sys.modules[name] = Solution(name, peer)
    for test in tests:
        outcome = assert_test(job["entry_point"], setup, borrowed, test, peer)
        report(outcome)
        if outcome[0] in ("crash", "unsupported"):
            return


def _started(job: dict[str, Any], peer: RefereeEnd) -> tuple[SetupNames | None, Outcome]:
    """Run the setup here, and setup and answer in the candidate; return the setup's names, or None and the failure.

    A setup that uses names of the answer runs after the answer, and only here.
    """
    sent = {name: job[name] for name in ("setup", "code", "memory_bytes", "cpu_seconds")}
    setup = None
    try:
        setup = SetupNames(job["setup"], peer, after_answer=False)
    except NameError:
        sent["setup"] = ""
    except (Exception, Unsupported) as error:
        return None, ("unsupported", f"setup: {type(error).__name__}: {describe(error)}")
    try:
        peer.send(sent)
        started = peer.receive()
        if started["failed"]:
            return None, ("error", str(started["error"]))
    except GoneError as error:
        return None, ("crash", describe(error))
    except (TypeError, KeyError):
        return None, ("crash", "the program broke the protocol")
    if setup is not None:
        return setup, ("pass", "")
    try:
        return SetupNames(job["setup"], peer, after_answer=True), ("pass", "")
    except MissingNameError as error:
        return None, ("missing", f"{error.name} setup: {describe(error)}")
    except Exception as error:
        how = "error" if hasattr(error, "from_answer") else "unsupported"
        return None, (how, f"setup: {type(error).__name__}: {describe(error)}")
    except (GoneError, Unsupported) as error:
        how = "crash" if isinstance(error, GoneError) else "unsupported"
        return None, (how, f"setup: {describe(error)}")


def assert_test(
    entry_point: str, setup: SetupNames, borrowed: list[str], test: dict[str, Any], peer: RefereeEnd
) -> Outcome:
    """Evaluate one assert and return its outcome.

    Args:
        entry_point: the name of the function under test.
        setup: the names of the setup.
        borrowed: library imports of the answer, which also apply to the test.
        test: the test.
        peer: the connection to the candidate.
    """
    try:
        program = compile(test["code"], "test.py", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as broken:
        return "unsupported", f"the test does not parse: {describe(broken)}"
    if "pytest" in test["code"]:
        provide_pytest()
    raised = _error_of_test(entry_point, setup, borrowed, test["code"], program, peer)
    # A test that catches every exception must not hide that the program has exited.
    error = peer.ended or raised
    how = {
        type(None): "pass",
        AssertionError: "wrong",
        Unsupported: "unsupported",
        GoneError: "crash",
    }.get(type(error), "error")
    if error is None or how in ("unsupported", "crash"):
        return how, "" if error is None else describe(error)
    if how == "wrong":
        return how, describe(error)
    detail = f"{type(error).__name__}: {describe(error)}"
    if isinstance(error, MissingNameError) and error.name != entry_point:
        return "missing", f"{error.name} {detail}"
    if isinstance(error, ImportError) and not hasattr(error, "from_answer"):
        return "unsupported", f"the test cannot import what it needs: {describe(error)}"
    return how, detail


def _error_of_test(
    entry_point: str,
    setup: SetupNames,
    borrowed: list[str],
    text: str,
    program: Any,
    peer: RefereeEnd,
) -> BaseException | None:
    """Run a test and return the exception that it raised, or None."""
    try:
        names = Names(entry_point, setup, borrowed, text, peer)
        exec(program, names)
        ran = "def " in text and run_defined(names, entry_point, names_in(text, bound_too=True))
        if "def " in text and not ran and _only_defines(text):
            return Unsupported("the test defines functions and nothing calls them")
    except (Exception, GoneError, Unsupported) as error:
        return error
    except BaseException as error:
        return RuntimeError(f"the test ended with {type(error).__name__}")
    return None


def _only_defines(text: str) -> bool:
    with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        body = compile(text, "test.py", "exec", ONLY_AST, dont_inherit=True).body
        defining = ("FunctionDef", "AsyncFunctionDef", "ClassDef", "Import", "ImportFrom")
        return all(
            type(node).__name__ in defining
            or (type(node).__name__ == "Expr" and type(node.value).__name__ == "Constant")
            for node in body
        )
    return False
