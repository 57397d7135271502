"""Several runs at once, each in a process of its own, of which only one runs at a time.

What a shared machine does from one minute to the next falls on all of them alike, and their times can be compared.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

TURN_SECONDS = 4.0

# Prepares itself, calls what it is given, and does what is timed.
Timed = Callable[[Callable[[], None]], Any]


class Run(NamedTuple):
    """The seconds of a run's own turns, and what it returned."""

    seconds: float
    result: Any


class _Side:
    """A process, the leader of a group with all that it starts, and the time that it has had."""

    def __init__(self, timed: Timed) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_child, args=(timed, theirs))
        self._process.start()
        theirs.close()
        self._pipe.recv()  # it is ready
        self._signal(signal.SIGSTOP)
        self._pipe.send("go")
        self._seconds = 0.0

    def turn(self) -> Run | None:
        """Let it run for a turn, or to its end; it is stopped afterwards."""
        self._signal(signal.SIGCONT)
        began = time.monotonic()
        ended = self._pipe.poll(TURN_SECONDS)
        self._seconds += time.monotonic() - began
        result = self._pipe.recv() if ended else None
        self._signal(signal.SIGSTOP)
        return Run(self._seconds, result) if ended else None

    def end(self) -> None:
        """Let it end by itself."""
        self._signal(signal.SIGCONT)
        self._pipe.send("end")
        self._process.join()

    def kill(self) -> None:
        """Kill all that is left of it."""
        self._signal(signal.SIGKILL)
        self._process.join()

    def _signal(self, number: int) -> None:
        assert self._process.pid is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def in_turns(*timed: Timed) -> list[Run]:
    """Run each function in turns with the others; what it does before it calls its argument is not timed.

    Raises:
        EOFError: a process died; its traceback has been printed.
    """
    sides: list[_Side] = []
    try:
        for function in timed:
            sides.append(_Side(function))
        runs: list[Run | None] = [None] * len(sides)
        while None in runs:
            runs = [run or side.turn() for side, run in zip(sides, runs, strict=True)]
        for side in sides:
            side.end()
        return [run for run in runs if run is not None]
    finally:
        for side in sides:
            side.kill()


def _child(timed: Timed, pipe: Connection) -> None:
    os.setpgrp()

    def start() -> None:
        pipe.send("ready")
        pipe.recv()

    pipe.send(timed(start))
    pipe.recv()  # to end would take time that is another's
