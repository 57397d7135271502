"""What hanging answers cost: the throughput with 1 % of them over that without, both with the time they must take paid.

An answer that hangs takes its whole limit of CPU time; no pool can give that back. So the ratio compares the rate of
the other answers in the time that the cores had for them: elapsed time, less the CPU time of the hanging ones over the
cores. What is lost beyond that is the pool's own doing: workers not replaced, restarts that others wait for.
The last answers have no hanging one among them: else a core waits at the end, with nothing to do, for the last of them.
"""

import argparse
import asyncio
import os
import time

from _answers import math
from _result import write_result

from stillhouse.records import Check
from stillhouse.verify.pool import Pool
from stillhouse.verify.rules.math import check_math

GOAL = 0.9
SHARE = 0.01
SECONDS = 1.0
ROUNDS = 2
# The share of the answers that have hanging ones among them: the rest keep the other cores busy for over SECONDS.
SPREAD = 0.7
AT_ONCE = 64  # as in the verify stage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=3000)
    count = parser.parse_args().answers
    cores = len(os.sched_getaffinity(0))
    hanging = int(count * SHARE)
    clean, hung = [], []
    for _ in range(ROUNDS):
        clean.append(asyncio.run(seconds(count, 0, cores)))
        hung.append(asyncio.run(seconds(count, hanging, cores)))
    owed = hanging * SECONDS / cores
    write_result(
        "verify_hang",
        min(clean) / (min(hung) - owed),
        GOAL,
        answers=count,
        hanging=hanging,
        limit_cpu_seconds=SECONDS,
        cores=cores,
        clean_seconds=round(min(clean), 2),
        hanging_seconds=round(min(hung), 2),
        owed_seconds=round(owed, 2),
    )


async def seconds(count: int, hanging: int, cores: int) -> float:
    """Return the seconds for `count` math answers with hanging ones spread among them."""
    pool = Pool(cores, SECONDS)
    answers = enumerate(list(math(count)))
    places = {int(place * SPREAD * count / hanging) for place in range(hanging)}
    try:
        await asyncio.gather(*(pool.run(check_math, "1", "2") for _ in range(2 * cores)))
        started = time.perf_counter()
        checks: list[Check] = []

        async def grade() -> None:
            for number, (query, response) in answers:
                truth = str(query.ground_truth)
                checks.append(await pool.run(check_math, truth, response.answer))
                if number in places:
                    checks.append(await pool.run(hang))

        await asyncio.gather(*(grade() for _ in range(AT_ONCE)))
        spent = time.perf_counter() - started
    finally:
        await pool.close()
    assert sum(check.reason == "too_complex" for check in checks) == hanging
    return spent


def hang() -> Check:
    """Never return."""
    while True:
        pass


if __name__ == "__main__":
    main()
