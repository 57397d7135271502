"""Math verification by the pool against bare math-verify: the rate over cores times the rate of one bare process."""

import argparse
import asyncio
import os
import time

from _answers import math, timed, verify_params
from _result import write_result
from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

from stillhouse.records import Query, Response
from stillhouse.verify.grade import Grader

GOAL = 0.85
ROUNDS = 3
AT_ONCE = 64
WARM_UP = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=500)
    answers = list(math(parser.parse_args().answers))
    cores = len(os.sched_getaffinity(0))
    bare_seconds, our_seconds = [], []
    for _ in range(ROUNDS):  # in turns, so that what else the machine does falls on both
        bare_seconds.append(timed(lambda: bare(answers)))
        our_seconds.append(asyncio.run(ours(answers, cores)))
    bare_rate, our_rate = (len(answers) / min(s) for s in (bare_seconds, our_seconds))
    write_result(
        "verify_math",
        our_rate / (cores * bare_rate),
        GOAL,
        answers=len(answers),
        cores=cores,
        answers_per_second=round(our_rate),
        bare_answers_per_second_and_core=round(bare_rate),
    )


def bare(answers: list[tuple[Query, Response]]) -> None:
    """Parse and compare each pair as math-verify's documentation does, without its time limits."""
    targets = [LatexExtractionConfig(), ExprExtractionConfig()]
    for query, response in answers:
        gold = parse(f"${query.ground_truth}$", targets, parsing_timeout=None)
        verify(gold, parse(response.answer, targets, parsing_timeout=None), timeout_seconds=None)


async def ours(answers: list[tuple[Query, Response]], cores: int) -> float:
    """Return the seconds for all verdicts, with workers that have started."""
    grader = Grader(verify_params(), judge=None, workers=cores)
    stream = iter(answers)

    async def worker() -> None:
        for query, response in stream:
            await grader.grade(query, response)

    try:
        await asyncio.gather(*(grader.grade(*pair) for pair in answers[:WARM_UP]))
        started = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
        return time.perf_counter() - started
    finally:
        await grader.close()


if __name__ == "__main__":
    main()
