"""Verdicts beside a load against those of an undisturbed machine: the share that is equal, of 500 answers.

The load is 16 processes that compute at the lowest priority, while the workers and all that they have started are
stopped for most of the time. Math, code and instructions are mixed; a third of the answers or more is wrong, and some
hang or take too much. Which of two slow answers is past a limit must not depend on what else the machine does.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _answers import math, pair, verify_params
from _result import write_result

from stillhouse.records import CodeTest, Constraint, Query, Response, Verdict
from stillhouse.verify.grade import Grader

GOAL = 1.0
GOLDEN = Path("tests/verify/golden")
ANSWERS = 500
AT_ONCE = 64
BUSY = 16
LOWEST = 19
STOPPED_SECONDS, RUNNING_SECONDS = 0.12, 0.04
SHOWN = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=ANSWERS)
    parser.add_argument("--without", choices=("code", "if", "math"), action="append", default=[])
    parser.add_argument("--out", type=Path, help="also write what differs, as JSON Lines")
    arguments = parser.parse_args()
    answers = list(itertools.islice(mixed(arguments.without), arguments.answers))
    idle, idle_seconds = asyncio.run(graded(answers, disturbed=False))
    busy = [multiprocessing.Process(target=compute, daemon=True) for _ in range(BUSY)]
    for process in busy:
        process.start()
    try:
        loaded, loaded_seconds = asyncio.run(graded(answers, disturbed=True))
    finally:
        for process in busy:
            process.kill()
    differ = [
        f"{query.category}: {_words(one)}, beside the load {_words(other)}"
        for (query, _), one, other in zip(answers, idle, loaded, strict=True)
        if _words(one) != _words(other)
    ]
    if arguments.out:
        arguments.out.write_text("\n".join(differ) + "\n", encoding="utf-8")
    states = {
        state: sum(verdict.state == state for verdict in idle)
        for state in ("pass", "fail", "ungradable")
    }
    write_result(
        "verify_under_load",
        1 - len(differ) / len(answers),
        GOAL,
        answers=len(answers),
        **states,
        undisturbed_seconds=round(idle_seconds, 1),
        loaded_seconds=round(loaded_seconds, 1),
        busy_processes=BUSY,
        share_of_time_stopped=round(STOPPED_SECONDS / (STOPPED_SECONDS + RUNNING_SECONDS), 2),
        differ=differ[:SHOWN],
    )


def mixed(without: list[str]) -> Iterator[tuple[Query, Response]]:
    """Yield code, instructions and math in turn: golden cases, and made ones of math."""
    numbers = itertools.count()
    kinds = [golden(name, numbers) for name in ("code", "if", "math") if name not in without]
    if "math" not in without:
        kinds.append(math(ANSWERS))
    while kinds:
        for kind in list(kinds):
            found = next(kind, None)
            if found is None:
                kinds.remove(kind)
            else:
                yield found


def golden(name: Any, numbers: Iterator[int]) -> Iterator[tuple[Query, Response]]:
    """Yield the golden cases of a category."""
    for case in json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8")):
        fields: dict[str, Any] = {}
        if name == "math":
            fields = {"ground_truth": case["reference"]}
        elif name == "if":
            fields = {"constraints": [Constraint(**one) for one in case["constraints"]]}
        else:
            fields = {
                "tests": [CodeTest(**one) for one in case["tests"]],
                "language": case.get("language", "python"),
                "setup": case.get("setup"),
                "entry_point": case.get("entry_point"),
            }
        yield pair(next(numbers), name, case["output"], **fields)


async def graded(
    answers: list[tuple[Query, Response]], disturbed: bool
) -> tuple[list[Verdict], float]:
    """Return the verdicts, in order, and the seconds for them."""
    grader = Grader(verify_params(), judge=None)
    found: list[Verdict | None] = [None] * len(answers)
    stream = iter(enumerate(answers))

    async def worker() -> None:
        for place, (query, response) in stream:
            found[place] = await grader.grade(query, response)

    started = time.perf_counter()
    stopping = asyncio.create_task(stop_often(os.getpid())) if disturbed else None
    try:
        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    finally:
        seconds = time.perf_counter() - started
        if stopping is not None:
            stopping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await stopping
        await grader.close()
    return [verdict for verdict in found if verdict is not None], seconds


async def stop_often(pid: int) -> None:
    """Stop all that the workers run for most of the time, and let it go on for the rest, until cancelled."""
    spared = {process.pid for process in multiprocessing.active_children()}
    stopped: list[int] = []
    try:
        while True:
            stopped = [one for one in descendants(pid) if one not in spared]
            send(stopped, signal.SIGSTOP)
            await asyncio.sleep(STOPPED_SECONDS)
            send(stopped, signal.SIGCONT)
            await asyncio.sleep(RUNNING_SECONDS)
    finally:
        send(stopped, signal.SIGCONT)


def send(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def descendants(pid: int) -> list[int]:
    """Return all processes below one, but for those between it and the workers: the server that forks them."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    found = [
        worker for server in children.get(pid, ()) for worker in children.get(server, ())
    ]  # of the second generation: the workers
    for one in found:
        found += children.get(one, ())
    return found


def compute() -> None:
    """Keep a core busy at the lowest priority."""
    os.nice(LOWEST)
    parent = os.getppid()
    while os.getppid() == parent:
        pass


def _words(verdict: Verdict) -> str:
    return f"{verdict.state} {verdict.score} {verdict.reason} ({verdict.verifier})"


if __name__ == "__main__":
    main()
