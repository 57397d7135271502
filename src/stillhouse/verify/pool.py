"""Worker processes for checks that may hang or crash: each item has its own time limit, and costs only itself.

A check that runs past its time is killed with its worker, and tried once more, since a busy machine can slow down an
honest item; after that it is ungradable, for a verdict is never a guess. The clock of an item starts in the worker, not
in the queue. Workers are forked from a small server process that has the symbolic engine imported and warm, so that a
killed one is replaced in milliseconds; neither has torch, an engine, or anything else of the process that asks.
"""

import asyncio
import concurrent.futures
from collections.abc import Callable
from multiprocessing import synchronize
from multiprocessing.context import ForkServerContext
from typing import Any, ParamSpec

from pebble import CONSTS, ProcessExpired, ProcessPool

from stillhouse.errors import StillhouseError
from stillhouse.records import Check

NAME = "pool"
VERSION = "1"
TRIES = 2
SPARE = 1  # workers beyond those asked for: no core is idle while a hung one is killed and replaced
MAX_EVIDENCE_CHARS = 300
# A new worker imports the program that was started anew: most of what a stage script imports is here already.
PRELOADED = ["stillhouse.stage", "stillhouse.verify.grade", "stillhouse.verify.warm"]

# Seconds between pebble's looks for items past their time and for workers to replace. A hanging item waits for two of
# them; an engine that computes on the same cores is disturbed by each.
CONSTS.sleep_unit = 0.05

P = ParamSpec("P")


class _Context(ForkServerContext):
    """Keeps the locks that a pool makes for as long as the pool: pebble drops its own before it stops the workers.

    A lock has a name in the system until it is dropped; a worker that is just starting would look for it in vain, and
    print a traceback.
    """

    def __init__(self) -> None:
        super().__init__()
        self._locks: list[synchronize.RLock] = []

    def RLock(self) -> synchronize.RLock:  # noqa: N802
        """Return a new lock, and keep it."""
        lock = super().RLock()
        self._locks.append(lock)
        return lock


class Pool:
    """Runs check functions in processes that keep `workers` cores busy, at most `seconds` each."""

    def __init__(self, workers: int, seconds: float):
        self._seconds = seconds
        context = _Context()
        context.set_forkserver_preload(PRELOADED)
        self._processes: Any = ProcessPool(max_workers=workers + SPARE, context=context)

    async def run(self, function: Callable[P, Check], *args: P.args, **kwargs: P.kwargs) -> Check:
        """Return what a check function returns, or an ungradable check: `timeout`, `crash` or `checker_failed`.

        The function and its arguments must be picklable.

        Raises:
            StillhouseError: the function raised it: the machine lacks what the check needs.
        """
        return await self.run_within(self._seconds, function, *args, **kwargs)

    async def run_within(
        self, seconds: float, function: Callable[P, Check], *args: P.args, **kwargs: P.kwargs
    ) -> Check:
        """As `run`, with another time limit for this item."""
        reason = evidence = ""
        for _ in range(TRIES):
            future = self._processes.schedule(function, args=args, kwargs=kwargs, timeout=seconds)
            try:
                check: Check = await asyncio.wrap_future(future)
                return check
            except (TimeoutError, concurrent.futures.TimeoutError):
                reason, evidence = "timeout", f"killed after {seconds:g} s, {TRIES} times"
            except ProcessExpired as expired:
                reason, evidence = "crash", f"the worker died with exit code {expired.exitcode}"
            except StillhouseError:
                raise
            except Exception as error:
                # Libraries that parse a model's text fail in ways of their own (sympy: InconsistentAssumptions). One
                # such text must not end a run of a million others.
                said = " ".join(f"{type(error).__name__}: {error}".split())
                reason, evidence = "checker_failed", said[:MAX_EVIDENCE_CHARS]
                break
        return Check(
            verifier=NAME,
            version=VERSION,
            state="ungradable",
            reason=reason,
            evidence=f"{function.__name__}: {evidence}",
        )

    async def close(self) -> None:
        """Stop all workers at once, dropping what they have not finished."""
        self._processes.stop()
        await asyncio.to_thread(self._processes.join)
