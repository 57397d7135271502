"""Runs checks that may hang or crash in worker processes, so that an item that exceeds its limits affects only itself.

The limit of an item is the CPU time of its worker while it runs the item. A verdict therefore does not depend on the
load of the machine. An item over this limit is too complex. So is an item that needs too much memory, or that crashes
its worker twice. Wall-clock time is limited only by a generous guard. A failure that the machine may have caused (the
guard, a worker killed from outside) says nothing about the item, so the item is run again while no other item runs.
Only if that fails too, the check is ungradable with a reason of the kind `machine`.

Each worker has its own channel, so that a worker that is stopped or killed never blocks another one. Workers are forked
from a small server process that has imported and warmed up the rules, so that a killed worker is replaced in
milliseconds. Neither process contains torch, an engine, or other state of the calling process.
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
SPARE = 1  # additional workers, so that no core is idle while a killed worker is replaced
# Beyond the memory of a warm worker. No check of a readable answer takes more than tens of megabytes.
ITEM_MEMORY_BYTES = 1 << 30
# The guard on wall-clock time: a factor for a slow worker, and a time in which a worker may not run at all.
GUARD_FACTOR = 30.0
GUARD_SECONDS = 60.0
ALONE_FACTOR = 4.0  # multiplies the guard if no other item is graded
# Time for a worker to start; the first one waits until everything is imported.
START_SECONDS = 600.0
CLOSE_SECONDS = 2.0  # time for workers to exit before they are killed
# A new worker imports the main program again. What a stage script imports is therefore imported here, once for all.
PRELOADED = [
    "stillhouse.stage",
    "stillhouse.params.load",
    "stillhouse.verify.open",
    "stillhouse.verify.grade",
    "stillhouse.verify.warm",
]
# Exit by a fault of the program itself, for example a stack overflow in C. Other exits have a cause outside.
FAULTS = frozenset(
    {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP}
)

P = ParamSpec("P")
C = TypeVar("C", bound=Check | None)  # None: the rule does not apply


class _EndedError(Exception):
    """A worker exited before it replied, with this exit code (negative: the signal)."""

    def __init__(self, code: int | None) -> None:
        self.code = code


class _Worker:
    """One worker process, from the side of its parent."""

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
            _EndedError: the worker exited.
        """
        self._reader, self._writer = await asyncio.open_unix_connection(sock=self._socket)
        assert await self._receive() == READY

    async def ask(self, message: bytes) -> Any:
        """Send an item to the worker and return its reply.

        Raises:
            _EndedError: the item crashed the worker, or the worker was killed.
        """
        assert self._writer is not None
        self._writer.write(LENGTH.pack(len(message)) + message)
        with contextlib.suppress(ConnectionError):  # the following read reports the cause
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

    def close_channel(self) -> None:
        """Close the channel, on which an idle worker exits."""
        if self._writer is not None:
            self._writer.close()
        else:
            self._socket.close()

    def kill(self) -> None:
        """Kill the worker in any state, also if it is stopped."""
        self.close_channel()
        self._process.kill()

    def join(self, seconds: float) -> None:
        """Wait `seconds` for the worker to exit, then kill it."""
        self._process.join(seconds)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()


class _SharedLock:
    """A lock that many tasks hold together or one task holds alone.

    A task that requests it alone waits for the present holders, and later tasks wait for it.
    """

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
    """Runs check functions in worker processes. A pool belongs to one event loop.

    Args:
        workers: the number of cores to keep busy.
        cpu_seconds: the limit on the CPU time of one item.
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
        self._turns = _SharedLock()

    async def run(self, function: Callable[P, C], *args: P.args, **kwargs: P.kwargs) -> C | Check:
        """Return the result of a check function, or an ungradable check.

        Reasons of the kind `content` are `too_complex` (over its CPU time or memory, or a crash in both runs) and
        `checker_failed`. Reasons of the kind `machine` are `timeout` and `crash`, if the run without other items failed
        too.

        Args:
            function: The check function; it must be picklable.
            args: Its positional arguments, which must be picklable.
            kwargs: Its keyword arguments, which must be picklable.

        Raises:
            StillhouseError: the function raised it, because the machine lacks something that the check needs.
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
        """Run a check that waits for a sandbox, which has its own limits; otherwise as `run`.

        The CPU time of the worker itself is limited, its memory is not. The second run calls the function with
        `alone=True`.

        Args:
            seconds: the guard on wall-clock time of the first run.
            function: returns a check, and has a parameter `alone`.
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
        """Stop all workers immediately; unfinished items are dropped."""
        workers = list(self._workers)  # a check that ends meanwhile removes its worker
        self._workers.clear()
        for worker in workers:
            if worker in self._free:
                worker.close_channel()
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
        /,  # the function may have arguments with these names
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
            # BaseException includes cancellation: the worker is then busy with an item whose result is not needed.
            except BaseException as error:
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
        """Return a new worker that has started."""
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix="stillhouse-grading-")
            # The sandbox runs as another user, which has its own folders in this folder.
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
            return _trouble(function, "crash", failed.message)
        case "error":
            return _trouble(function, "checker_failed", failed.message)


def _ended(function: Callable[..., object], code: int | None, limits: Limits, alone: bool) -> Check:
    if code == -OVER_TIME:
        return _trouble(
            function, "too_complex", f"stopped after {limits.cpu_seconds:g} s of CPU time"
        )
    by = f"exit code {code}"
    if code is not None and code < 0:
        by = signal.Signals(-code).name if -code in signal.valid_signals() else f"signal {-code}"
    # Killed from outside, or by a fault that a lack of resources may have caused. A second crash has another cause.
    reason: Reason = "too_complex" if alone and code is not None and -code in FAULTS else "crash"
    return _trouble(function, reason, f"its worker was ended by {by}")


def _trouble(function: Callable[..., object], reason: Reason, evidence: str) -> Check:
    return make_check(NAME, VERSION, None, reason, f"{function.__name__}: {evidence}")
