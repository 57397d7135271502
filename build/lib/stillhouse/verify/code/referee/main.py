"""Reads jobs and writes a report of each: the first process of the sandbox.

One candidate runs the asserts of an answer one after the other, as benchmarks do. If it hangs, crashes or breaks the
protocol, the following asserts get a new candidate.

The sandbox is reused for the next answer only if this answer has left it unchanged (`surroundings`): no process, file
or shared memory, and no changed folder or limit. Otherwise the sandbox ends, and the next answer gets a new one.
"""

from __future__ import annotations

import _ctypes
import _signal  # type: ignore[import-not-found]
import errno
import math
import os
import sys

from stillhouse.verify.code.referee.asserts import assert_outcomes
from stillhouse.verify.code.referee.forkserver import ForkServer, start_candidate
from stillhouse.verify.code.referee.meter import RunLimits, Total
from stillhouse.verify.code.referee.programs import compile_cpp, python_command, renew, stdio_test
from stillhouse.verify.code.referee.wire import from_json, suppress, to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    # The outcome of one test ("pass", "wrong", "error", ...), and a detail for the evidence.
    Outcome = tuple[str, str]

PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
LENGTH_BYTES = 8  # size of the big-endian length before each job
REGULAR = (
    "pass",
    "wrong",
    "error",
    "missing",
)  # after these outcomes the candidate can be used again
SPARE_CPU_SECONDS = 2  # how far the kernel's limit is above ours
PACKAGES = "/packages"  # mount point of the packages of the machine, if there are any
# Errors by a lack of resources of the machine. Any other error of files is caused by the answer.
OF_THE_MACHINE = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


def surroundings(fork_server: ForkServer) -> list[Any]:
    """Return the state of the sandbox that an answer could change, for a comparison.

    An answer cannot write to the memory of the fork server and of this process, but any process of the user may set
    their limits and priorities. The time of a folder's last status change cannot be set, so that it shows every change
    of mode, owner, times or content.
    """
    pids = ("1", str(fork_server.pid))
    found: list[Any] = [sorted(name for name in os.listdir("/proc") if name.isdigit())]
    for folder in ("/tmp", "/dev/shm"):
        status = os.stat(folder)
        found += [os.listdir(folder), status.st_mode, status.st_uid, status.st_gid]
        found += [status.st_mtime_ns, status.st_ctime_ns]
    shared = ["keys", *(f"sysvipc/{kind}" for kind in ("shm", "sem", "msg"))]
    for name in (*shared, *(f"{pid}/limits" for pid in pids)):
        with suppress(FileNotFoundError), open(f"/proc/{name}", "rb") as file:
            found.append(file.read())
    for pid in pids:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        # priority, nice, rt_priority, policy of proc(5), where the field after the name is the third
        found += [fields[number - 3] for number in (18, 19, 40, 41)]
        found.append(os.sched_getaffinity(int(pid)))
    return found


def sweep() -> None:
    """Kill and reap all other processes, including the fork server."""
    with suppress(ChildProcessError):
        while True:
            if os.getpid() == 1:
                with suppress(ProcessLookupError):
                    os.kill(-1, _signal.SIGKILL)
            else:
                for pid in children():
                    with suppress(ProcessLookupError):
                        os.kill(pid, _signal.SIGKILL)
            os.waitpid(-1, 0)


def children() -> list[int]:
    """Return the direct children. Orphans become children of this process, so repeated killing reaches all of them."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError), open(f"/proc/{name}/stat") as file:
                if int(file.read().rpartition(")")[2].split()[1]) == os.getpid():
                    found.append(int(name))
    return found


def prctl(option: int, value: int) -> None:
    """Set a property of this process.

    Raises:
        OSError: the kernel refuses.
    """
    address = _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl")  # type: ignore[arg-type]
    if _ctypes.call_function(address, (option, value, 0, 0, 0)):
        raise OSError(f"prctl {option} failed")


def read_job() -> dict[str, Any] | None:
    """Return the next job from standard input, or None at its end."""
    length = read_exactly(LENGTH_BYTES)
    text = read_exactly(int.from_bytes(length, "big")) if length else b""
    return from_json(text.decode()) if text else None


def read_exactly(size: int) -> bytes:
    """Return `size` bytes of standard input, or no bytes if it ends before."""
    chunks = []
    while size > 0:
        chunk = os.read(0, size)
        if not chunk:
            return b""
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)


class Job:
    """The tests of one answer and their outcomes."""

    def __init__(self, job: dict[str, Any], fork_server: ForkServer, modules: bytes) -> None:
        self.job, self.fork_server, self.modules = job, fork_server, modules
        self.paths = job["paths"]
        self.outcomes: list[Outcome] = []
        self.calm = True  # no process had to be killed yet
        job["cpu_seconds"] = math.ceil(job["total_seconds"]) + SPARE_CPU_SECONDS

    def run(self) -> str:
        """Run all tests; return the compiler's error message, or an empty text."""
        job = self.job
        if job["language"] == "cpp":
            program, complaint, how = compile_cpp(job)
            self._sweep()
            if complaint:
                if how:
                    self.outcomes += [(how, complaint)] * len(job["tests"])
                return "" if how else complaint
            command = ["./main"]
        else:
            program = (job["setup"] + "\n" + job["code"]).encode()
            command = python_command(self.paths)
        limits = RunLimits(job["test_seconds"], job["total_seconds"], job["memory_bytes"])
        total = Total(limits)
        while left := job["tests"][len(self.outcomes) :]:
            if total.is_over():
                how = "guard" if total.guarded else "timeout"
                self.outcomes += [(how, "total time is over")] * len(left)
            elif left[0]["kind"] == "assert":
                if self._asserts(left, total):
                    return ""
            else:
                self._stdio(program, left[0], command, total)
        return ""

    def _asserts(self, left: list[dict[str, Any]], total: Total) -> bool:
        """Evaluate the next asserts; return whether all are done and no process has to be killed."""
        count = next((i for i, test in enumerate(left) if test["kind"] != "assert"), len(left))
        pipes = (
            self.fork_server.candidate() if self.calm else start_candidate(self.modules, self.paths)
        )
        self.outcomes += assert_outcomes(self.job, left[:count], pipes, total)
        regular = all(how in REGULAR for how, _ in self.outcomes)
        done = len(self.outcomes) == len(self.job["tests"])
        if self.calm and regular and done and self.fork_server.is_empty():
            return True
        self._sweep()
        return False

    def _stdio(
        self, program: bytes, test: dict[str, Any], command: list[str], total: Total
    ) -> None:
        try:
            renew(program)
            outcome = stdio_test(self.job, test, command, total)
        except OSError as error:
            if error.errno in OF_THE_MACHINE:
                raise
            outcome = ("crash", f"the program has spoilt its own folder: {error}")
        self.outcomes.append(outcome)
        self._sweep()

    def _sweep(self) -> None:
        sweep()
        self.calm = False


def is_untouched(fork_server: ForkServer, before: list[Any] | None) -> bool:
    """Return whether the sandbox is unchanged. It is not if a remaining process ends the fork server meanwhile."""
    try:
        return surroundings(fork_server) == before
    except OSError:
        return False


def main(modules: bytes) -> None:
    """Read jobs and write a report of each, until a job leaves the sandbox changed.

    Args:
        modules: the byte code of the referee, for new interpreters.
    """
    prctl(PR_SET_DUMPABLE, 0)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    # The interpreter has a handler only for SIGINT; other signals do not reach the first process of a namespace.
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    if os.path.isdir(PACKAGES):
        sys.path.append(PACKAGES)
    fork_server = ForkServer()
    alone = os.getpid() == 1
    before = surroundings(fork_server) if alone else None
    while (data := read_job()) is not None:
        job = Job(data, fork_server, modules)
        build = job.run()
        reusable = alone and job.calm and is_untouched(fork_server, before)
        report = {"token": data["token"], "build": build, "outcomes": job.outcomes}
        os.write(1, to_json({**report, "reusable": reusable}))
        if not reusable:
            break
    os._exit(0)  # the cleanup of the interpreter is not needed
