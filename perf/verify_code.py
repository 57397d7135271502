"""Code verification against its limit, and against one sandbox per test.

The limit is a single start of Python in the sandbox per answer, which runs the answer and its asserts as one program:
nothing isolates the tests from the answer, only both from the machine.
"""

import argparse
import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor

from _answers import code, timed, verify_params
from _result import write_result

from stillhouse.records import Query, Response
from stillhouse.verify.code import sandbox
from stillhouse.verify.code.extract import extract_code
from stillhouse.verify.grade import Grader

GOAL = 0.8
GOAL_AGAINST_ONE_EACH = 5.0
TESTS = 10
ROUNDS = 3
SECONDS = 20.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=100)
    answers = list(code(parser.parse_args().answers, TESTS))
    cores = len(os.sched_getaffinity(0))
    limit, each, our = [], [], []
    for _ in range(ROUNDS):
        limit.append(timed(lambda: programs([whole(*pair) for pair in answers], cores)))
        each.append(timed(lambda: programs([p for pair in answers for p in single(*pair)], cores)))
        our.append(asyncio.run(ours(answers, cores)))
    write_result(
        "verify_code",
        min(limit) / min(our),
        GOAL,
        answers=len(answers),
        tests_per_answer=TESTS,
        cores=cores,
        answers_per_second=round(len(answers) / min(our), 1),
        limit_answers_per_second=round(len(answers) / min(limit), 1),
        times_one_sandbox_per_test=round(min(each) / min(our), 2),
        goal_times_one_sandbox_per_test=GOAL_AGAINST_ONE_EACH,
    )


def whole(query: Query, response: Response) -> str:
    """Return one program of the answer and all of its tests."""
    return "\n".join([str(extract_code(response.answer, "python")), *single_tests(query)])


def single(query: Query, response: Response) -> list[str]:
    """Return a program of the answer for each test."""
    return [f"{extract_code(response.answer, 'python')}\n{test}" for test in single_tests(query)]


def single_tests(query: Query) -> list[str]:
    return [str(test.code) for test in query.tests]


def programs(sources: list[str], cores: int) -> None:
    """Run each program in a sandbox of its own."""

    def run(source: str) -> None:
        done = sandbox.run(source, b"", isolation="bubblewrap", seconds=SECONDS)
        assert done.returncode == 0, done

    with ThreadPoolExecutor(cores) as threads:
        list(threads.map(run, sources))


async def ours(answers: list[tuple[Query, Response]], cores: int) -> float:
    """Return the seconds for all verdicts, with workers that have started."""
    grader = Grader(verify_params(), judge=None, workers=cores)
    try:
        await asyncio.gather(*(grader.grade(*pair) for pair in answers[: 2 * cores]))
        started = time.perf_counter()
        verdicts = await asyncio.gather(*(grader.grade(*pair) for pair in answers))
        seconds = time.perf_counter() - started
    finally:
        await grader.close()
    assert all(verdict.state == "pass" for verdict in verdicts)
    return seconds


if __name__ == "__main__":
    main()
