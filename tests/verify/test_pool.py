"""The pool: a hanging item and a crashing item cost themselves only."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stillhouse.errors import StillhouseError
from stillhouse.records import Check
from stillhouse.verify.math import check_math
from stillhouse.verify.pool import TRIES, Pool


def hang(log: str) -> Check:
    with open(log, "a") as file:
        file.write("started\n")
    while True:
        pass


def die(log: str) -> Check:
    with open(log, "a") as file:
        file.write("started\n")
    os._exit(3)


def die_once(log: str) -> Check:
    path = Path(log)
    if not path.exists():
        path.write_text("started\n")
        os._exit(3)
    return Check(verifier="made", version="1", state="pass", score=1.0)


def heavy_modules() -> Check:
    found = sorted({"torch", "vllm", "transformers"} & set(sys.modules))
    return Check(verifier="made", version="1", state="pass", score=1.0, evidence=repr(found))


def raise_value_error() -> Check:
    raise ValueError("seven")


def raise_missing_tool() -> Check:
    raise StillhouseError("no such tool")


def test_a_hanging_and_a_crashing_item_cost_only_themselves(tmp_path: Path) -> None:
    logs = [tmp_path / name for name in ("hang", "die", "once")]

    async def run() -> list[Check]:
        pool = Pool(2, 10.0)
        try:
            return await asyncio.gather(
                pool.run_within(0.3, hang, str(logs[0])),
                pool.run(die, str(logs[1])),
                pool.run(die_once, str(logs[2])),
                *(pool.run(check_math, str(i), f"\\boxed{{{i}}}") for i in range(20)),
                pool.run(heavy_modules),
            )
        finally:
            await pool.close()

    hung, crashed, second, *good, heavy = asyncio.run(run())
    assert (hung.state, hung.reason, hung.score) == ("ungradable", "timeout", None)
    assert (crashed.state, crashed.reason) == ("ungradable", "crash")
    assert crashed.evidence is not None
    assert "exit code 3" in crashed.evidence
    assert [log.read_text().count("started") for log in logs] == [TRIES, TRIES, 1]
    assert second.state == "pass"
    assert [check.state for check in good] == ["pass"] * 20
    assert heavy.evidence == "[]"


def test_a_checker_that_raises_is_recorded_and_a_missing_tool_ends_the_run() -> None:
    async def run(function: Callable[[], Check]) -> Check:
        pool = Pool(1, 10.0)
        try:
            return await pool.run(function)
        finally:
            await pool.close()

    check = asyncio.run(run(raise_value_error))
    assert (check.state, check.score, check.reason) == ("ungradable", None, "checker_failed")
    assert check.evidence == "raise_value_error: ValueError: seven"
    with pytest.raises(StillhouseError, match="no such tool"):
        asyncio.run(run(raise_missing_tool))


CLOSED_AT_ONCE = """
import asyncio
from stillhouse.verify.math import check_math
from stillhouse.verify.pool import Pool

async def main():
    for _ in range(5):
        pool = Pool(2, 10.0)
        asked = asyncio.create_task(pool.run(check_math, "1", "1"))
        await asyncio.sleep(0)
        await pool.close()
        asked.cancel()

asyncio.run(main())
"""


def test_workers_that_are_just_starting_when_the_pool_is_closed_say_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", CLOSED_AT_ONCE], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
