"""What the processes of the sandbox use: processor time, memory, and whether any of them has anything to do.

A limit on a program must not depend on what else the machine does. So limits are on processor time, and on the time in
which a program does nothing although it could: a tick counts as idle only if no process of the sandbox was ready to
run, stopped or waiting for a disk. Wall-clock time is a guard for what escapes both. It is counted in ticks of this
process, so that the guard stands still while nothing here is scheduled.
"""

from __future__ import annotations

import os
import resource
import time

from stillhouse.verify.code.referee.wire import suppress

TICK_SECONDS = 0.05  # how often the processes are looked at
MOST_OF_A_TICK = 2 * TICK_SECONDS  # a longer pause was one of this process, not of theirs
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = resource.getpagesize()
CORES = len(os.sched_getaffinity(0))
GUARD_FACTOR = 5.0  # wall-clock time for a second of processor time, before a test is given up
GUARD_SECONDS = 5.0
# Fields of /proc/PID/stat after the name, see proc(5).
STATE, PARENT, USED, THREADS, RESIDENT = 0, 1, slice(11, 15), 17, 21


def use() -> tuple[float, int, bool]:
    """Return what all processes of the sandbox but this one use.

    That is their processor time in seconds, their resident bytes, and whether none of them has anything to do.
    """
    # Ours first, parents before children: one that ends meanwhile is missed for a tick, and never counted twice.
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu, memory, idle = ended.ru_utime + ended.ru_stime, 0, True
    ours = {os.getpid()}
    alone = os.getpid() == 1  # no other processes are to be seen than those of the sandbox
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        if pid in ours:
            continue
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if not alone:
            if int(fields[PARENT]) not in ours:
                continue
            ours.add(pid)
        cpu += sum(map(int, fields[USED])) / TICKS_PER_SECOND
        memory += int(fields[RESIDENT]) * PAGE_BYTES
        if fields[STATE] not in (b"S", b"Z") or (fields[THREADS] != b"1" and _busy_thread(pid)):
            idle = False
    return cpu, memory, idle


def _busy_thread(pid: int) -> bool:
    with suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError), open(f"/proc/{pid}/task/{name}/stat", "rb") as file:
                if file.read().rpartition(b")")[2].split()[STATE] not in (b"S", b"Z"):
                    return True
    return False


class Limits:
    """The limits on one test, and on all tests of an answer together, in seconds of processor time and bytes."""

    def __init__(self, test_seconds: float, total_seconds: float, memory_bytes: int) -> None:
        self.test_seconds = test_seconds
        self.total_seconds = total_seconds
        self.memory_bytes = memory_bytes


class Total:
    """What the tests of an answer have used so far."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.cpu_at_start = use()[0]
        self.idle_seconds = 0.0
        self.wall_seconds = 0.0
        self.guarded = False  # the guard has ended a test

    def is_over(self) -> bool:
        """Whether no time is left for another test."""
        limit = self.limits.total_seconds
        return (
            self.guarded
            or self.idle_seconds > limit
            or use()[0] - self.cpu_at_start > limit
            or self.wall_seconds > GUARD_FACTOR * limit + GUARD_SECONDS
        )


class Watch:
    """Looks at the processes while one test runs."""

    def __init__(self, total: Total) -> None:
        self.total = total
        self.begun = self.looked = time.monotonic()
        self.cpu = self.cpu_at_start = use()[0]
        self.idle_seconds = self.wall_seconds = 0.0

    def until_next(self) -> float:
        """Return the seconds until the next look."""
        return max(0.0, self.looked + TICK_SECONDS - time.monotonic())

    def exceeded(self) -> str:
        """Return the limit that is exceeded ("timeout", "memory", "guard"); an empty text if none, or between looks."""
        now = time.monotonic()
        if now - self.looked < TICK_SECONDS:
            return ""
        tick = min(now - self.looked, MOST_OF_A_TICK)
        self.looked = now
        cpu, memory, idle = use()
        if idle and cpu <= self.cpu:
            self.idle_seconds += tick
            self.total.idle_seconds += tick
        self.wall_seconds += tick
        self.total.wall_seconds += tick
        self.cpu = max(cpu, self.cpu)
        limits = self.total.limits
        if memory > limits.memory_bytes and os.getpid() == 1:
            return "memory"
        if self._out_of_time(cpu):
            return "timeout"
        if self.wall_seconds > GUARD_FACTOR * limits.test_seconds + GUARD_SECONDS or (
            self.total.wall_seconds > GUARD_FACTOR * limits.total_seconds + GUARD_SECONDS
        ):
            self.total.guarded = True
            return "guard"
        return ""

    def _out_of_time(self, cpu: float) -> bool:
        limits = self.total.limits
        return (
            cpu - self.cpu_at_start > limits.test_seconds
            or self.idle_seconds > limits.test_seconds
            or cpu - self.total.cpu_at_start > limits.total_seconds
            or self.total.idle_seconds > limits.total_seconds
        )

    def overrun(self) -> bool:
        """Whether a test that has ended had used more than it may: the last look may have been too early to see it."""
        if (time.monotonic() - self.begun) * CORES < self.total.limits.test_seconds:
            return False
        return self._out_of_time(use()[0])
