"""Measures what the processes of the sandbox use: CPU time, memory, and whether all of them are idle.

A limit on a program must not depend on the load of the machine. RunLimits therefore apply to CPU time, and to the time
in which a program is idle: a tick counts as idle only if no process of the sandbox was ready to run, stopped or waiting
for a disk. Wall-clock time is a guard for everything else. It is counted in ticks of this process, so that it does not
advance while this process is not scheduled.
"""

from __future__ import annotations

import os
import resource
import time

from stillhouse.verify.code.referee.wire import suppress

TICK_SECONDS = 0.05  # interval of the measurements
MOST_OF_A_TICK = (
    2 * TICK_SECONDS
)  # in a longer interval this process was not scheduled; the rest does not count
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = resource.getpagesize()
CORES = len(os.sched_getaffinity(0))
GUARD_FACTOR = 5.0  # seconds of wall-clock time per second of CPU time before a test is stopped
GUARD_SECONDS = 5.0
# Fields of /proc/PID/stat after the name, see proc(5).
STATE, PARENT, USED, THREADS, RESIDENT = 0, 1, slice(11, 15), 17, 21


def use() -> tuple[float, int, bool]:
    """Return the use of all processes of the sandbox except this one.

    The result is their CPU time in seconds, their resident bytes, and whether all of them are idle.
    """
    # Parents come before children: a process that ends meanwhile is missed for one tick, and never counted twice.
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu, memory, idle = ended.ru_utime + ended.ru_stime, 0, True
    ours = {os.getpid()}
    alone = os.getpid() == 1  # only the processes of the sandbox are visible
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


class RunLimits:
    """The limits on one test and on all tests of an answer together, in seconds of CPU time and in bytes."""

    def __init__(self, test_seconds: float, total_seconds: float, memory_bytes: int) -> None:
        self.test_seconds = test_seconds
        self.total_seconds = total_seconds
        self.memory_bytes = memory_bytes


class Total:
    """The CPU time that the tests of an answer have used so far."""

    def __init__(self, limits: RunLimits) -> None:
        self.limits = limits
        self.cpu_at_start = use()[0]
        self.idle_seconds = 0.0
        self.wall_seconds = 0.0
        self.guarded = False  # whether the guard has stopped a test

    def is_over(self) -> bool:
        """Return whether no time is left for another test."""
        limit = self.limits.total_seconds
        return (
            self.guarded
            or self.idle_seconds > limit
            or use()[0] - self.cpu_at_start > limit
            or self.wall_seconds > GUARD_FACTOR * limit + GUARD_SECONDS
        )


class Watch:
    """Measures the processes while one test runs."""

    def __init__(self, total: Total) -> None:
        self.total = total
        self.begun = self.looked = time.monotonic()
        self.cpu = self.cpu_at_start = use()[0]
        self.idle_seconds = self.wall_seconds = 0.0

    def until_next(self) -> float:
        """Return the seconds until the next measurement."""
        return max(0.0, self.looked + TICK_SECONDS - time.monotonic())

    def exceeded(self) -> str:
        """Return the exceeded limit ("timeout", "memory", "guard"); empty if there is none or no measurement is due."""
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
        """Return whether a finished test exceeded its time after the last measurement."""
        if (time.monotonic() - self.begun) * CORES < self.total.limits.test_seconds:
            return False
        return self._out_of_time(use()[0])
