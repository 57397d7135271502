"""Worker processes for checks that may hang or crash: each item has its own limits, and costs only itself.

The limit of an item is CPU time of its worker, from when the item starts there: a verdict does not depend on how busy
the machine is. An item past it is too complex, and so is one that needs too much memory or that crashes its worker
twice. Wall time is a generous guard only. What the machine itself did (the guard, a worker killed from outside) says
nothing of the item, which is run again while nothing else is; only if that fails too is the check ungradable by trouble
of the machine.

Each worker has a channel of its own, so that one that is stopped or killed at any moment holds up no other. Workers are
forked from a small server process that has the rules imported and warm, so that a killed one is replaced in
milliseconds; neither has torch, an engine, or anything else of the process that asks.
"""

import asyncio
import contextlib
import multiprocessing
import pickle
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from stillhouse.errors import StillhouseError
from stillhouse.records import Check
from stillhouse.verify.checks import Reason, kind_of, make_check
from stillhouse.verify.worker import LENGTH, OVER_TIME, READY, Failed, Limits, serve

NAME = "pool"
VERSION = "3"
SPARE = 1  # workers beyond those asked for: no core is idle while one that was killed is replaced
# Beyond what a warm worker has. No check of an answer that it can read takes more than tens of megabytes.
ITEM_MEMORY_BYTES = 1 << 30
# The guard on wall time: so much slower than alone may a worker run, and so long may it not run at all.
GUARD_FACTOR = 30.0
GUARD_SECONDS = 60.0
ALONE_FACTOR = 4.0  # of the guard, when nothing else is graded
START_SECONDS = 600.0  # for a worker to start: the first waits until all is imported
CLOSE_SECONDS = 2.0  # for workers to end by themselves
# A new worker imports the program that was started anew: most of what a stage script imports is here already.
PRELOADED = ["stillhouse.stage", "stillhouse.verify.grade", "stillhouse.verify.warm"]
# The program itself failed, for one by a stack overflow in C; anything else that ends a worker comes from outside.
FAULTS = frozenset(
    {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP}
)

P = ParamSpec("P")
C = TypeVar("C", bound=Check | None)  # null: a rule that does not apply


class _EndedError(Exception):
    """A worker ended before it answered, with this exit code (negative: the signal)."""

    def __init__(self, code: int | None) -> None:
        self.code = code


class _Worker:
    """One worker process, as its parent sees it."""

    def __init__(self, context: ForkServerContext, folder: str) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process: ForkServerProcess = context.Process(
                target=serve, args=(theirs, folder), daemon=True, name="stillhouse grading"
            )
            self._process.start()
        self._socket = ours
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def connect(self) -> None:
        """Wait until the worker has started.

        Raises:
            _EndedError: it ended instead.
        """
        self._reader, self._writer = await asyncio.open_unix_connection(sock=self._socket)
        assert await self._receive() == READY

    async def ask(self, message: bytes) -> Any:
        """Return what the worker makes of an item.

        Raises:
            _EndedError: it died of the item, or was killed.
        """
        assert self._writer is not None
        self._writer.write(LENGTH.pack(len(message)) + message)
        with contextlib.suppress(ConnectionError):  # what is read says why
            await self._writer.drain()
        return pickle.loads(await self._receive())

    async def _receive(self) -> bytes:
        assert self._reader is not None
        try:
            head = await self._reader.readexactly(LENGTH.size)
            return await self._reader.readexactly(LENGTH.unpack(head)[0])
        except (asyncio.IncompleteReadError, ConnectionError):
            await asyncio.to_thread(self._process.join, CLOSE_SECONDS)
            raise _EndedError(self._process.exitcode) from None

    def hang_up(self) -> None:
        """Close the channel: a worker that has nothing to do ends."""
        if self._writer is not None:
            self._writer.close()
        else:
            self._socket.close()

    def kill(self) -> None:
        """Kill the worker, whatever it is doing; one that is stopped too."""
        self.hang_up()
        self._process.kill()

    def join(self, seconds: float) -> None:
        """Wait for the worker's end, and kill it if that does not come."""
        self._process.join(seconds)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()


class _Turns:
    """Many at a time, or one alone. Who asks to be alone waits for those before, and holds up those after."""

    def __init__(self) -> None:
        self._running = 0
        self._open = asyncio.Event()
        self._open.set()
        self._empty = asyncio.Event()
        self._one = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        while not self._open.is_set():
            await self._open.wait()
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self._empty.set()

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        async with self._one:
            self._open.clear()
            try:
                while self._running:
                    self._empty.clear()
                    await self._empty.wait()
                yield
            finally:
                self._open.set()


class Pool:
    """Runs check functions in processes that keep `workers` cores busy, at most `cpu_seconds` of CPU time each.

    Used in one event loop.
    """

    def __init__(self, workers: int, cpu_seconds: float) -> None:
        self._limits = Limits(cpu_seconds, ITEM_MEMORY_BYTES)
        self._guard = GUARD_FACTOR * cpu_seconds + GUARD_SECONDS
        self._most = workers + SPARE
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)
        self._folder: str | None = None
        self._workers: set[_Worker] = set()
        self._free: list[_Worker] = []
        self._places = asyncio.Semaphore(self._most)
        self._turns = _Turns()

    async def run(self, function: Callable[P, C], *args: P.args, **kwargs: P.kwargs) -> C | Check:
        """Return what a check function returns, or an ungradable check.

        By content: `too_complex` (past its CPU time or memory, or it crashes each time), `checker_failed`. By trouble
        of the machine, alone too: `timeout`, `crash`. The function and its arguments must be picklable.

        Raises:
            StillhouseError: the function raised it: the machine lacks what the check needs.
        """
        check = await self._once(self._limits, self._guard, function, *args, **kwargs)
        if check is None or kind_of(check.reason) != "machine":
            return check
        async with self._turns.alone():
            guard = ALONE_FACTOR * self._guard
            return await self._run(self._limits, guard, True, function, *args, **kwargs)

    async def run_sandboxed(
        self, seconds: float, function: Callable[..., Check], *args: object
    ) -> Check:
        """As `run`, for a check that waits for a sandbox, which has limits of its own.

        The worker's own CPU time is limited, its memory is not. The second time, the function is called with
        `alone=True`.

        Args:
            seconds: the guard on wall time, the first time.
            function: returns a check, and takes `alone`.
            args: its other arguments.

        Raises:
            StillhouseError: as in `run`.
        """
        limits = self._limits._replace(memory_bytes=None)
        check = await self._once(limits, seconds, function, *args)
        if kind_of(check.reason) != "machine":
            return check
        async with self._turns.alone():
            return await self._run(
                limits, ALONE_FACTOR * seconds, True, function, *args, alone=True
            )

    async def close(self) -> None:
        """Stop all workers at once, dropping what they have not finished."""
        workers = list(self._workers)  # a check that ends meanwhile takes its worker out
        self._workers.clear()
        for worker in workers:
            if worker in self._free:
                worker.hang_up()
            else:
                worker.kill()
        for worker in workers:
            await asyncio.to_thread(worker.join, CLOSE_SECONDS)
        self._free.clear()
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
            self._folder = None

    async def _once(
        self,
        limits: Limits,
        guard: float,
        function: Callable[P, C],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> C | Check:
        async with self._turns.together():
            return await self._run(limits, guard, False, function, *args, **kwargs)

    async def _run(
        self,
        limits: Limits,
        guard: float,
        alone: bool,
        function: Callable[P, C],
        /,  # the function may take arguments of these names
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> C | Check:
        message = pickle.dumps((limits, function, args, kwargs))
        async with self._places:
            worker: _Worker | None = None
            try:
                async with asyncio.timeout(START_SECONDS):
                    worker = self._free.pop() if self._free else await self._start()
                async with asyncio.timeout(guard):
                    found = await worker.ask(message)
            except (
                BaseException
            ) as error:  # cancelled too: the worker is busy with what nobody waits for
                if worker is not None:
                    self._workers.discard(worker)
                    worker.kill()
                if isinstance(error, TimeoutError):
                    return _trouble(function, "timeout", f"no reply within {guard:g} s")
                if isinstance(error, _EndedError):
                    return _ended(function, error.code, limits, alone)
                raise
            self._free.append(worker)
        if isinstance(found, StillhouseError):
            raise found
        if isinstance(found, Failed):
            return _failed(function, found, limits)
        checked: C = found
        return checked

    async def _start(self) -> _Worker:
        """Return a new worker, which has started."""
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix="stillhouse-grading-")
            # The other user that a sandbox becomes has its own folders in here.
            Path(self._folder).chmod(0o711)
        worker = await asyncio.to_thread(_Worker, self._context, self._folder)
        self._workers.add(worker)
        try:
            await worker.connect()
        except BaseException:
            self._workers.discard(worker)
            worker.kill()
            raise
        return worker


def _failed(function: Callable[..., object], failed: Failed, limits: Limits) -> Check:
    match failed.how:
        case "memory" if limits.memory_bytes is not None:
            most = limits.memory_bytes >> 20
            return _trouble(function, "too_complex", f"needs more than {most} MB of memory")
        case "memory" | "system":
            return _trouble(function, "crash", failed.said)
        case "error":
            return _trouble(function, "checker_failed", failed.said)


def _ended(function: Callable[..., object], code: int | None, limits: Limits, alone: bool) -> Check:
    if code == -OVER_TIME:
        return _trouble(
            function, "too_complex", f"stopped after {limits.cpu_seconds:g} s of CPU time"
        )
    by = f"exit code {code}"
    if code is not None and code < 0:
        by = signal.Signals(-code).name if -code in signal.valid_signals() else f"signal {-code}"
    # Killed from outside, or by a fault that may have come from the machine's lack of something: not so twice.
    reason: Reason = "too_complex" if alone and code is not None and -code in FAULTS else "crash"
    return _trouble(function, reason, f"its worker was ended by {by}")


def _trouble(function: Callable[..., object], reason: Reason, evidence: str) -> Check:
    return make_check(NAME, VERSION, None, reason, f"{function.__name__}: {evidence}")
