"""Compiles, runs and measures programs that read an input and print an output, and compares the output."""

from __future__ import annotations

import os
import resource
import select
import sys

from stillhouse.verify.code.referee.compare import same_text
from stillhouse.verify.code.referee.meter import TICK_SECONDS, RunLimits, Total, Watch
from stillhouse.verify.code.referee.wire import MAX_DETAIL_CHARS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Outcome = tuple[str, str]

COMPILE_BYTES = 2 << 30  # address space of one g++ process
# CPU time of the compiler. It does not count in the total, because it is not part of the program.
COMPILE_SECONDS = 30
# The stack size of programs (the limit of the sandbox), which is part of their address space.
STACK_BYTES = 64 << 20
# By default further threads have a stack as large as the first one's, which would exhaust the address space.
PYTHON = """
import _thread, sys
_thread.stack_size(8 << 20)
sys.argv = ["main"]
sys.path[:] = [path for path in sys.path if path] + {paths!r}
__file__ = "main"
with open("main", "rb") as _file:
    _program = compile(_file.read(), "main", "exec", dont_inherit=True)
del _thread, sys, _file
exec(_program)
"""


def python_command(paths: list[str]) -> list[str]:
    """Return the command that runs the file `main`, with `paths` as further folders to import from."""
    options = ["-I", "-S", "-X", "int_max_str_digits=0"]
    return [sys.executable, *options, "-c", PYTHON.format(paths=paths)]


def stdio_test(
    job: dict[str, Any], test: dict[str, Any], command: list[str], total: Total
) -> Outcome:
    """Run the program on one input, compare its output, and return the outcome.

    Args:
        job: the job, with the limits.
        test: the test, with input and expected output.
        command: the command that runs the program.
        total: the CPU time used so far.
    """
    import subprocess

    watch = Watch(total)
    descriptor = os.open(".", os.O_TMPFILE | os.O_RDWR)
    with os.fdopen(descriptor, "r+b") as given:
        given.write((test["input"] or "").encode())
        given.seek(0)
        process = subprocess.Popen(
            command,
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: limit(job["memory_bytes"] + STACK_BYTES, job["cpu_seconds"]),
        )
    printed, how = collect([process.stdout, process.stderr], watch, job["output_bytes"])
    if how:
        return how, ""
    code, how = wait(process.pid, watch)
    if how or watch.overrun():
        return how or "timeout", ""
    errors = printed[1].decode("utf-8", "replace").strip().splitlines()
    if code != 0:
        return "error", f"exit code {code}: {errors[-1] if errors else ''}"[:MAX_DETAIL_CHARS]
    output = printed[0].decode("utf-8", "replace")
    if same_text(output, test["output"] or "", test["tolerance"]):
        return "pass", ""
    return "wrong", f"printed {output[:100]!r}, expected {(test['output'] or '')[:100]!r}"


def limit(memory_bytes: int, cpu_seconds: int) -> None:
    """Limit the address space and the CPU time of the process that is about to start."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))


def collect(pipes: list[Any], watch: Watch, most_bytes: int) -> tuple[list[bytes], str]:
    """Read pipes until they close; return their bytes, and the reason if reading was stopped early.

    Args:
        pipes: the pipes.
        watch: the limits of the test.
        most_bytes: the limit on the output.
    """
    chunks: dict[int, list[bytes]] = {pipe.fileno(): [] for pipe in pipes}
    waiting = set(chunks)
    total = 0
    while waiting:
        if how := watch.exceeded():
            return [], how
        for descriptor in select.select(waiting, [], [], watch.until_next())[0]:
            chunk = os.read(descriptor, 65536)
            total += len(chunk)
            if total > most_bytes:
                return [], "output"
            if chunk:
                chunks[descriptor].append(chunk)
            else:
                waiting.discard(descriptor)
    return [b"".join(parts) for parts in chunks.values()], ""


def wait(pid: int, watch: Watch) -> tuple[int, str]:
    """Return the exit code of a child, or the reason why waiting was stopped."""
    pause = 0.0005
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status), ""
        if how := watch.exceeded():
            return 0, how
        select.select([], [], [], pause)
        pause = min(2 * pause, TICK_SECONDS)


def renew(program: bytes) -> None:
    """Remove all files of an earlier test from the writable folders, and write the program again."""
    for folder in (".", "/dev/shm") if os.getpid() == 1 else (".",):
        clear(folder)
    descriptor = os.open("main", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o700)
    with os.fdopen(descriptor, "wb") as file:
        file.write(program)


def clear(folder: str) -> None:
    """Remove the content of a folder, with any modes and at any depth.

    The content of a subfolder is moved up before the subfolder is removed, so that no path becomes too long.
    """
    os.chmod(folder, 0o755)
    moved, mark = 0, os.urandom(8).hex()
    while entries := list(os.scandir(folder)):
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)
                continue
            os.chmod(entry.path, 0o700)
            for inner in list(os.scandir(entry.path)):
                if inner.is_dir(follow_symlinks=False):
                    os.chmod(inner.path, 0o700)
                    os.rename(inner.path, f"{folder}/{mark}{moved}")
                    moved += 1
                else:
                    os.unlink(inner.path)
            os.rmdir(entry.path)


def compile_cpp(job: dict[str, Any]) -> tuple[bytes, str, str]:
    """Compile the answer; return the program, the compiler's first error, and "guard" if the compiler did not end."""
    import subprocess

    with open("main.cpp", "w") as file:
        file.write(job["code"])
    process = subprocess.Popen(
        ["g++", "-std=c++20", "-O2", "-pipe", "-o", "main", "main.cpp"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: limit(COMPILE_BYTES, COMPILE_SECONDS),
    )
    watch = Watch(Total(RunLimits(COMPILE_SECONDS, COMPILE_SECONDS, COMPILE_BYTES)))
    messages, how = collect([process.stderr], watch, job["output_bytes"])
    code = 1
    if not how:
        code, how = wait(process.pid, watch)
    if how:
        return b"", f"compiler stopped: {how}", how if how == "guard" else ""
    if code == 0:
        with open("main", "rb") as file:
            return file.read(), "", ""
    complaints = [
        line for line in messages[0].decode("utf-8", "replace").splitlines() if "error" in line
    ]
    return b"", (complaints or ["compiler failed"])[0][:MAX_DETAIL_CHARS], ""
