"""The pool: an item that hangs, crashes or takes too much costs itself only, and no load changes what it comes to."""

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from stillhouse.errors import StillhouseError
from stillhouse.records import Check
from stillhouse.verify import pool as pool_module
from stillhouse.verify.checks import kind_of
from stillhouse.verify.pool import Pool
from stillhouse.verify.rules.math import check_math

PASS = Check(verifier="made", version="1", state="pass", score=1.0)


def note(log: str) -> None:
    with open(log, "a") as file:
        file.write("started\n")


def starts(log: Path) -> int:
    return log.read_text().count("started")


def spin(log: str) -> Check:
    note(log)
    while True:
        pass


def spin_in_c(log: str) -> Check:
    """Compute in one C call, which no Python signal handler can interrupt."""
    note(log)
    pow(7, 10**9)
    return PASS


def sleep_long(log: str) -> Check:
    note(log)
    while True:
        time.sleep(1000)


def kill_itself(log: str, number: int, times: int) -> Check:
    note(log)
    if starts(Path(log)) <= times:
        os.kill(os.getpid(), number)
        time.sleep(1000)
    return PASS


def read_null(log: str) -> Check:
    note(log)
    ctypes.string_at(0)
    return PASS


def take_memory() -> Check:
    assert bytearray(4 << 30)
    return PASS


def heavy_modules() -> Check:
    found = sorted({"torch", "vllm", "transformers"} & set(sys.modules))
    return Check(verifier="made", version="1", state="pass", score=1.0, evidence=repr(found))


def prepare() -> None:
    """Called by a worker before an item of this module, out of the item's time."""
    if not prepared:
        started = time.process_time()
        while time.process_time() < started + 0.6:
            pass
        prepared.append(True)


prepared: list[bool] = []


def is_prepared() -> Check:
    assert prepared
    return PASS


def raise_value_error() -> Check:
    raise ValueError("seven")


def raise_os_error() -> Check:
    raise OSError("too many open files")


def raise_missing_tool() -> Check:
    raise StillhouseError("no such tool")


def in_pool(
    work: Callable[[Pool], Awaitable[list[Check]]], workers: int = 2, cpu_seconds: float = 20.0
) -> list[Check]:
    async def run() -> list[Check]:
        pool = Pool(workers, cpu_seconds)
        try:
            return await work(pool)
        finally:
            await pool.close()

    return asyncio.run(run())


async def honest(pool: Pool) -> list[Check]:
    return await asyncio.gather(
        *(pool.run(check_math, str(i), f"\\boxed{{{i}}}") for i in range(20))
    )


@pytest.mark.parametrize("function", [spin, spin_in_c])
def test_past_its_cpu_time_an_item_is_too_complex_at_once(
    function: Callable[[str], Check], tmp_path: Path
) -> None:
    log = tmp_path / "log"

    async def work(pool: Pool) -> list[Check]:
        found, good = await asyncio.gather(pool.run(function, str(log)), honest(pool))
        return [found, *good]

    found, *good = in_pool(work, cpu_seconds=1.0)
    assert (found.state, found.score, found.reason) == ("ungradable", None, "too_complex")
    assert found.evidence == f"{function.__name__}: stopped after 1 s of CPU time"
    assert starts(log) == 1
    assert [check.state for check in good] == ["pass"] * 20


def test_what_a_module_needs_at_first_is_not_counted_in_an_items_time() -> None:
    async def work(pool: Pool) -> list[Check]:
        return [await pool.run(is_prepared)]

    assert in_pool(work, workers=1, cpu_seconds=0.5) == [PASS]


def test_a_worker_killed_from_outside_costs_its_item_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"

    async def work(pool: Pool) -> list[Check]:
        found = await pool.run(kill_itself, str(log), signal.SIGKILL, 1)
        return [found, *await honest(pool)]

    found, *good = in_pool(work)
    assert found == PASS
    assert starts(log) == 2
    assert [check.state for check in good] == ["pass"] * 20


def test_a_worker_that_is_killed_each_time_is_trouble_of_the_machine(tmp_path: Path) -> None:
    log = tmp_path / "log"

    async def work(pool: Pool) -> list[Check]:
        return [await pool.run(kill_itself, str(log), signal.SIGKILL, 9)]

    (found,) = in_pool(work)
    assert (found.state, found.reason) == ("ungradable", "crash")
    assert found.evidence == "kill_itself: its worker was ended by SIGKILL"
    assert kind_of(found.reason) == "machine"
    assert starts(log) == 2


def test_an_item_that_crashes_the_checker_alone_too_is_too_complex(tmp_path: Path) -> None:
    always, once = tmp_path / "always", tmp_path / "once"

    async def work(pool: Pool) -> list[Check]:
        return [
            await pool.run(read_null, str(always)),
            await pool.run(kill_itself, str(once), signal.SIGSEGV, 1),
        ]

    crashed, second = in_pool(work)
    assert (crashed.state, crashed.reason) == ("ungradable", "too_complex")
    assert crashed.evidence == "read_null: its worker was ended by SIGSEGV"
    assert starts(always) == 2
    assert second == PASS
    assert starts(once) == 2


def test_past_the_guard_on_wall_time_an_item_is_run_again_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "GUARD_FACTOR", 0.0)
    monkeypatch.setattr(pool_module, "GUARD_SECONDS", 6.0)
    monkeypatch.setattr(pool_module, "ALONE_FACTOR", 1.5)
    log = tmp_path / "log"

    async def work(pool: Pool) -> list[Check]:
        await honest(pool)
        return [await pool.run(sleep_long, str(log))]

    (found,) = in_pool(work)
    assert (found.state, found.reason) == ("ungradable", "timeout")
    assert found.evidence == "sleep_long: no reply within 9 s"
    assert starts(log) == 2


def test_alone_is_alone(tmp_path: Path) -> None:
    running: list[str] = []
    seen: list[list[str]] = []

    async def work(pool: Pool) -> list[Check]:
        async def together(name: str) -> None:
            async with pool._turns.together():
                running.append(name)
                await asyncio.sleep(0)
                running.remove(name)

        async def alone(name: str) -> None:
            async with pool._turns.alone():
                running.append(name)
                for _ in range(5):
                    await asyncio.sleep(0)
                seen.append(list(running))
                running.remove(name)

        names = [f"t{i}" for i in range(20)]
        await asyncio.gather(
            *(together(name) for name in names[:10]),
            *(alone(name) for name in ("a1", "a2")),
            *(together(name) for name in names[10:]),
        )
        return []

    in_pool(work)
    assert seen == [["a1"], ["a2"]]
    assert running == []


def test_memory_has_a_limit_of_its_own() -> None:
    async def work(pool: Pool) -> list[Check]:
        return [await pool.run(take_memory), *await honest(pool)]

    found, *good = in_pool(work, workers=1)
    assert (found.state, found.reason) == ("ungradable", "too_complex")
    assert found.evidence == "take_memory: needs more than 1024 MB of memory"
    assert [check.state for check in good] == ["pass"] * 20


def test_workers_have_nothing_heavy() -> None:
    async def work(pool: Pool) -> list[Check]:
        return [await pool.run(heavy_modules)]

    assert in_pool(work)[0].evidence == "[]"


def test_a_checker_that_raises_is_recorded_and_a_missing_tool_ends_the_run() -> None:
    def outcome(function: Callable[[], Check]) -> Check:
        async def work(pool: Pool) -> list[Check]:
            return [await pool.run(function)]

        return in_pool(work, workers=1)[0]

    check = outcome(raise_value_error)
    assert (check.state, check.score, check.reason) == ("ungradable", None, "checker_failed")
    assert check.evidence == "raise_value_error: ValueError: seven"
    check = outcome(raise_os_error)
    assert (check.state, check.reason) == ("ungradable", "crash")
    with pytest.raises(StillhouseError, match="no such tool"):
        outcome(raise_missing_tool)


def test_workers_that_are_stopped_most_of_the_time_give_the_same_checks() -> None:
    """Each worker is stopped for nine tenths of the time, in whatever it does, the channel's use included."""
    pairs = [(str(i), f"So it is $\\boxed{{{i + (i % 3 == 0)}}}$.") for i in range(60)]

    async def graded(pool: Pool) -> list[Check]:
        return await asyncio.gather(*(pool.run(check_math, *pair) for pair in pairs))

    async def disturbed(pool: Pool) -> list[Check]:
        asked = asyncio.create_task(graded(pool))
        while not asked.done():
            pids = [worker._process.pid for worker in pool._workers]
            for number, seconds in ((signal.SIGSTOP, 0.09), (signal.SIGCONT, 0.01)):
                for pid in pids:
                    if pid is not None:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, number)
                await asyncio.sleep(seconds)
        return await asked

    undisturbed = in_pool(graded)
    assert {check.state for check in undisturbed} == {"pass", "fail"}
    assert in_pool(disturbed, cpu_seconds=2.0) == undisturbed


CLOSED_AT_ONCE = """
import asyncio
from stillhouse.verify.rules.math import check_math
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


def test_a_check_that_is_cancelled_while_the_pool_closes_is_no_error(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()

    async def run() -> None:
        pool = Pool(1, 20.0)
        check = asyncio.create_task(pool.run(sleep_long, str(log)))
        while not starts(log):
            await asyncio.sleep(0.01)
        closing = asyncio.create_task(pool.close())
        await asyncio.sleep(0)  # it waits for the worker that it has killed
        check.cancel()
        await closing
        with pytest.raises(asyncio.CancelledError):
            await check

    asyncio.run(run())


def test_nothing_is_left_when_the_pool_is_closed() -> None:
    left: list[Path] = []

    async def work(pool: Pool) -> list[Check]:
        found = await honest(pool)
        assert pool._folder is not None
        left.append(Path(pool._folder))
        assert left[0].is_dir()
        return found

    in_pool(work)
    assert not left[0].exists()
